"""A small model as manifest and parts, and the same written to a directory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devise.bundle.bundle import Bundle
from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
from devise.bundle.parts import (
    BACKBONE,
    CLASSIFIER,
    LABEL_TABLE,
    LABEL_VECTORS,
    SURGERY,
    WORDS,
    SurgeryMap,
    encode_classifier,
    encode_label_vectors,
    encode_surgery,
)
from devise.bundle.writer import PartContent, write_bundle
from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store
from devise.vision.preprocessing import Preprocessing

LABELS = 7
TRAINED = 3
FEATURES = 5
DIM = 4


@dataclass(frozen=True, eq=False)
class Model:
    """What a training command has in its hands."""

    manifest: Manifest
    labels: LabelSet
    trained: list[str]
    classifier: Classifier
    surgery: SurgeryMap
    label_vectors: np.ndarray
    words: WordTable

    def parts(self) -> dict[str, PartContent]:
        return {
            BACKBONE: b"not a network, but bytes",
            CLASSIFIER: encode_classifier(self.classifier, "float32"),
            LABEL_TABLE: encode_label_table(self.labels, self.trained),
            LABEL_VECTORS: encode_label_vectors(self.label_vectors),
            SURGERY: encode_surgery(self.surgery, "float32"),
            WORDS: self.write_words,
        }

    def write_words(self, path: Path) -> None:
        write_vector_store(path, self.words, precision="int8")


def unit_rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    rows = rng.normal(size=shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def model() -> Model:
    rng = np.random.default_rng(5)
    sources = ("term", "parts", "gloss", "parents", "none", "term", "term")
    labels = [Label(f"n{i:08d}", f"name {i}", seen=i in (1, 4, 6), source=source) for i, source in enumerate(sources)]
    manifest = Manifest(
        name="small",
        preprocessing=Preprocessing.of_lite(224).to_dict(),
        backbone=BackboneFacts("lite0", FEATURES),
        label_space=LabelSpaceFacts(LABELS, TRAINED, DIM),
        label_policy=LabelPolicyFacts("terms", {"weight": 0.5}),
        scoring={"conse": {"t": 10}},
        provenance=(Provenance("weights", "some-package", "0.1.0", "Apache-2.0", sha256="0" * 64),),
        licences={"Apache-2.0": "notice"},
        config={"seed": 1, "corpus": ["a", "b"]},
    )
    return Model(
        manifest=manifest,
        labels=LabelSet(labels),
        trained=["n00000004", "n00000001", "n00000006"],
        classifier=Classifier(
            rng.normal(size=(TRAINED, FEATURES)).astype(np.float32),
            rng.normal(size=TRAINED).astype(np.float32),
        ),
        surgery=SurgeryMap(
            rng.normal(size=(DIM, FEATURES)).astype(np.float32),
            {"label_mean": rng.normal(size=DIM).astype(np.float32)},
        ),
        label_vectors=unit_rows(rng, LABELS, DIM),
        words=WordTable(("cat", "snow leopard"), unit_rows(rng, 2, DIM)),
    )


@pytest.fixture
def bundle(model: Model, tmp_path: Path) -> Bundle:
    """The model written to `tmp_path / "model"`."""
    return write_bundle(tmp_path / "model", model.manifest, model.parts())


def _read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture
def content() -> Callable[[Path], dict[str, bytes]]:
    """Reads a directory: the bytes of each file by its name."""
    return _read
