"""Single pieces: bundle, taxonomy, typed labels, the best k of many scores, large photos."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench import command
from bench.figures import Figure, interleaved, ratio
from bench.photos import Photos, large_photo
from devise.bundle.bundle import open_bundle
from devise.model.parts import DEFAULT_BUNDLE
from devise.ranking import top_k
from devise.taxonomy.wordnet import Taxonomy
from devise.vision.decoding import read_picture

__all__ = ["measure_pieces"]

_TAXONOMY_MS = 300.0
_TYPED_MS = 1000.0
_TYPED = "zedonk: offspring of a zebra and a donkey"
_TYPED_SCRIPT = f"""
import json, time
import devise
from devise.model.labeller import LabelRequest
from devise.model.typed import parse_labels
model = devise.load()
model.run(LabelRequest())
times = []
for label in ({_TYPED!r}, "quadbike: a motorcycle with four wheels"):
    began = time.perf_counter()
    model.run(LabelRequest(typed=parse_labels(label)))
    times.append(time.perf_counter() - began)
print(json.dumps(times))
"""


def measure_pieces(photos: Photos, scratch: Path, *, rounds: int) -> list[Figure]:
    """All of them."""
    return [
        *_bundle(rounds),
        *_taxonomy(rounds),
        *_typed(photos.paths[0], rounds),
        *_best(rounds),
        *_large(photos.paths[0], scratch, rounds),
    ]


def _bundle(rounds: int) -> list[Figure]:
    cases = {
        "open": lambda: open_bundle(DEFAULT_BUNDLE),
        "open and verify every part": lambda: open_bundle(DEFAULT_BUNDLE).verify(),
    }
    found = interleaved(cases, rounds)
    return [Figure.of("The bundle", name, [1e3 * one.wall for one in found[name]], "ms") for name in cases]


def _taxonomy(rounds: int) -> list[Figure]:
    kept: list[Taxonomy] = []

    def loaded() -> None:
        kept[:] = [Taxonomy.load()]

    cases = {
        "load": loaded,
        "first gloss": lambda: kept[0].synset("n02084071"),
        "first look-up by name": lambda: kept[0].find("snow leopard"),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):  # in this order: the second and third are first uses of what the first loaded
        for name, work in cases.items():
            found[name] += [1e3 * one.wall for one in interleaved({name: work}, 1, warm=False)[name]]
    return [
        Figure.of("The taxonomy", name, values, "ms", limit=_TAXONOMY_MS if name == "load" else None)
        for name, values in found.items()
    ]


def _typed(photo: Path, rounds: int) -> list[Figure]:
    """In a loaded model, and what it adds to the whole command."""
    section = "Adding a typed label"
    command.python("-c", _TYPED_SCRIPT)
    times = [json.loads(command.python("-c", _TYPED_SCRIPT)) for _ in range(rounds)]
    cases = {
        "without": lambda: command.run("label", str(photo)),
        "with": lambda: command.run("label", str(photo), "--labels", _TYPED),
    }
    found = interleaved(cases, rounds, warm=False)
    added = [1e3 * (w.wall - wo.wall) for w, wo in zip(found["with"], found["without"], strict=True)]
    return [
        Figure.of(section, "the first of a process", [1e3 * first for first, _ in times], "ms", limit=_TYPED_MS),
        Figure.of(section, "the next", [1e3 * second for _, second in times], "ms", limit=_TYPED_MS),
        Figure.of(section, "added to devise label PHOTO", added, "ms", limit=_TYPED_MS),
    ]


def _best(rounds: int) -> list[Figure]:
    """Against numpy's partition of all scores, which also orders ties by chance."""
    rng = np.random.default_rng(0)
    figures = []
    for labels, k in ((39_990, 5), (39_990, 20), (1000, 5)):
        scores = rng.standard_normal((32, labels), dtype=np.float32)
        cases: dict[str, Callable[[], object]] = {
            "top_k": partial(top_k, scores, k),
            "partition": partial(_partitioned, scores, k),
        }
        found = interleaved(cases, 4 * rounds)
        walls = {name: [1e3 * one.per(32).wall for one in readings] for name, readings in found.items()}
        section = "The best k of the scores"
        figures.append(Figure.of(section, f"top_k, {k} of {labels:,}", walls["top_k"], "ms per photo"))
        over = ratio(walls["partition"], walls["top_k"])
        figures.append(Figure.of(section, "  times as fast as argpartition", over, ""))
    return figures


def _partitioned(scores: np.ndarray, k: int) -> np.ndarray:
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _large(photo: Path, scratch: Path, rounds: int) -> list[Figure]:
    section = "A photo of 12 megapixels"
    large = large_photo(photo, scratch / "large.jpg")
    preprocessing = open_bundle(DEFAULT_BUNDLE).preprocessing()
    side = preprocessing.decode_side
    found = interleaved(
        {
            "reduced": lambda: preprocessing.apply(read_picture(large, min_side=side)),
            "full": lambda: preprocessing.apply(read_picture(large, min_side=None)),
        },
        rounds,
    )
    walls = {name: [1e3 * one.wall for one in readings] for name, readings in found.items()}
    return [
        Figure.of(
            section, f"to the network's input, decoded at a scale that keeps {side} pixels", walls["reduced"], "ms"
        ),
        Figure.of(section, "the same, decoded whole", walls["full"], "ms"),
        Figure.of(section, "times as fast", ratio(walls["full"], walls["reduced"]), ""),
    ]
