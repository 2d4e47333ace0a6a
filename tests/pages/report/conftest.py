"""A small evaluation, photo by photo, with pictures on disk."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.evaluation.record import ImageRecord, Record, ScorerRecord, write_record
from devise.evaluation.tables import EvaluationSettings
from devise.taxonomy.wordnet import default_taxonomy

TABBY, ZEBRA, KIANG, HARP, GUITAR = "n02123045", "n02391049", "n02390738", "n03495258", "n03467517"
ENTITY = "n00001740"
TRAINED = (TABBY, ZEBRA)
CANDIDATES = (KIANG, HARP, GUITAR, TABBY, ZEBRA)
IMAGES = (
    (f"{KIANG}/<b>one&.png", KIANG),
    (f"{KIANG}/two.png", KIANG),
    (f"{HARP}/one.png", HARP),
    (f"{ZEBRA}/one.png", ZEBRA),
)
FUSED = [[0, 4, 1, 2, 3], [4, 0, 3, 1, 2], [2, 1, 0, 3, 4], [4, 0, 1, 2, 3]]
SOFTMAX = [[4, 3], [4, 3], [3, 4], [4, 3]]


def settings() -> dict[str, Any]:
    """The rules as a record holds them."""
    rules = EvaluationSettings((1, 2, 5), (2, 5), ties="by place", graph=default_taxonomy().graph_hash)
    return {key: list(of) if isinstance(of, tuple) else of for key, of in asdict(rules).items()}


def scorer(top: list[list[int]], confidence: list[float] | None) -> ScorerRecord:
    truth = [CANDIDATES.index(class_id) for _, class_id in IMAGES]
    ranks = [row.index(place) + 1 if place in row else 0 for row, place in zip(top, truth, strict=True)]
    return ScorerRecord(
        len(top[0]),
        np.array(top),
        np.linspace(1, 0, len(top[0]), dtype=np.float32)[None].repeat(len(top), axis=0),
        np.array(ranks),
        None if confidence is None else np.array(confidence, dtype=np.float32),
    )


@pytest.fixture
def record() -> Record:
    """Four photos of three classes, five candidates; fused is right on the first and the last photo."""
    return Record(
        settings(),
        CANDIDATES,
        TRAINED,
        tuple(ImageRecord(name, truth) for name, truth in IMAGES),
        {"fused": scorer(FUSED, [0.9, 0.3, 0.5, 0.85]), "softmax": scorer(SOFTMAX, [0.6, 0.7, 0.2, 1.0])},
        {"protocol": "all", "model": "small", "folders": ["photos"], "skipped": {"not in a class folder": 2}},
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder with the pictures of the record."""
    root = tmp_path / "photos"
    for number, (name, _) in enumerate(IMAGES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64 + 16 * number, 80), (40 * number, 90, 160)).save(path)
    return root


@pytest.fixture
def record_file(record: Record, tmp_path: Path) -> Path:
    """The record as a file."""
    write_record(record, tmp_path / "record.json")
    return tmp_path / "record.json"
