"""Evaluation at the size of ImageNet: 50,000 images, 21,842 labels, hit@k and hp@k for every k up to 20, one scorer.

Vectors and truth are random: the work does not depend on what they are. Run as a module it does one evaluation and
prints its seconds as JSON, so that its memory can be read apart from the rest.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import command
from bench.figures import Figure
from bench.machine import peak_memory
from devise.arrays import Scores
from devise.evaluation.record import ImageRecord, Record, Recorder
from devise.evaluation.tables import EvaluationSettings, evaluate_record
from devise.taxonomy.correct_sets import cached_correct_sets
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

__all__ = ["main", "measure_evaluation"]

_TRAINED, _OTHERS = 1000, 20_842
_DIM = 300
_BLOCK = 256
_KS = tuple(range(1, 21))
_SECONDS = 10.0
_MEGABYTES = 2048.0
_SECTION = "Evaluation"


def measure_evaluation(*, images: int, naive: int) -> list[Figure]:
    """One run with an empty cache, one with a full one, and the naive form on a slice."""
    with tempfile.TemporaryDirectory(prefix="devise-bench-") as folder:
        cold, warm = (_child(images, Path(folder)) for _ in range(2))
    size = f"{images:,} x {_TRAINED + _OTHERS:,}"
    full = images >= 50_000
    return [
        Figure(_SECTION, "matrix product", warm["product"], "s", note=size),
        Figure(_SECTION, "top 20 and rank of the true label", warm["record"], "s"),
        Figure(_SECTION, "correct sets, grown", cold["sets"], "s", note=f"{int(cold['classes']):,} classes, 20 k"),
        Figure(_SECTION, "correct sets, from the cache", warm["sets"], "s"),
        Figure(_SECTION, "hit@k and hp@k, k to 20, and chance", warm["table"], "s"),
        Figure(_SECTION, "beyond the product, first time", _beyond(cold), "s", limit=_SECONDS if full else None),
        Figure(_SECTION, "beyond the product, later", _beyond(warm), "s", limit=_SECONDS if full else None),
        Figure(_SECTION, "memory", warm["megabytes"], "MB", limit=_MEGABYTES if full else None),
        Figure(_SECTION, "naive, per image", 1e3 * _naive(naive), "ms", note=f"of {naive} images"),
        Figure(_SECTION, "ours, per image, first time", 1e3 * _beyond(cold) / images, "ms"),
    ]


def main(arguments: list[str] | None = None) -> None:
    """One evaluation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--cache", type=Path, required=True)
    asked = parser.parse_args(arguments)
    print(json.dumps(_run(asked.images, asked.cache)))


def _beyond(seconds: dict[str, float]) -> float:
    return seconds["record"] + seconds["sets"] + seconds["table"]


def _child(images: int, cache: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(
        command.python("-m", "bench.evaluation", "--images", str(images), "--cache", str(cache))
    )
    return found


def _run(images: int, cache: Path) -> dict[str, float]:
    taxonomy = default_taxonomy()
    candidates, trained, truth, queries, vectors = _question(taxonomy, images)
    product = [0.0]
    began = time.perf_counter()
    recorder = Recorder(candidates, frozenset(trained), truth)
    one = recorder.record(candidates, _blocks(queries, vectors, product))
    recorded = time.perf_counter()
    settings = EvaluationSettings(hit_ks=_KS, hp_ks=_KS, graph=taxonomy.graph_hash)
    record = Record(
        {**vars(settings)},
        candidates,
        trained,
        tuple(ImageRecord(str(number), one) for number, one in enumerate(truth)),
        {"devise": one},
    )
    names = sorted(set(truth))
    asked = time.perf_counter()
    correct = cached_correct_sets(taxonomy, names, _KS, record.labels, cache)
    grown = time.perf_counter()
    evaluate_record(record, taxonomy, correct=correct)
    return {
        "product": product[0],
        "record": recorded - began - product[0],
        "sets": grown - asked,
        "table": time.perf_counter() - grown,
        "classes": len(names),
        "megabytes": peak_memory() / 1e6,
    }


def _question(
    taxonomy: Taxonomy, images: int
) -> tuple[tuple[str, ...], tuple[str, ...], list[str], np.ndarray, np.ndarray]:
    """Candidates, the trained ones among them, the truth, image and label vectors."""
    rng = np.random.default_rng(0)
    nouns = taxonomy.physical_nouns()
    chosen = rng.permutation(len(nouns))[: _TRAINED + _OTHERS]
    candidates = tuple(nouns[place] for place in chosen.tolist())
    truth = [candidates[place] for place in rng.integers(0, len(candidates), images).tolist()]
    queries = rng.standard_normal((images, _DIM), dtype=np.float32)
    vectors = rng.standard_normal((len(candidates), _DIM), dtype=np.float32)
    return candidates, candidates[:_TRAINED], truth, queries, vectors


def _blocks(queries: np.ndarray, vectors: np.ndarray, product: list[float]) -> Iterator[Scores]:
    for start in range(0, len(queries), _BLOCK):
        began = time.perf_counter()
        scores = queries[start : start + _BLOCK] @ vectors.T
        product[0] += time.perf_counter() - began
        yield scores


def _naive(images: int) -> float:
    """Seconds an image of the obvious form: sort all labels, grow each correct set, intersect."""
    taxonomy = default_taxonomy()
    candidates, _, truth, queries, vectors = _question(taxonomy, images)
    scores = queries @ vectors.T
    valid = frozenset(candidates)
    began = time.perf_counter()
    total = 0.0
    for row, label in zip(scores, truth, strict=True):
        order = [candidates[place] for place in np.argsort(-row, kind="stable").tolist()]
        for k in _KS:
            total += label in order[:k]
            total += len(taxonomy.correct_set(label, k, valid) & set(order[:k])) / k
    return (time.perf_counter() - began) / images


if __name__ == "__main__":
    main()
