"""How much faster a folder is labelled with the network in 8-bit integers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.figures import Figure, interleaved, median, ratio
from bench.labelling import TWO_AT_ONCE, decode
from bench.machine import cores
from bench.photos import Photos
from devise.model.labeller import LabelRequest, LabelRun, load
from devise.model.parts import ModelParts
from devise.vision.decoding import read_picture
from devise.vision.quantised import sums_are_narrow

__all__ = ["measure_fast"]

_SECTION = "The network in 8-bit integers (--fast) against float32, every label a candidate"
_FASTER = 1.6  # where the processor adds products of 8 bits in 32
_SHARE = 0.92


@patch(*TWO_AT_ONCE)
def measure_fast(photos: Photos, *, rounds: int, part: int, runs: int) -> list[Figure]:
    """rounds: of labelling `part` photos both ways, in turn. runs: of preparing the network."""
    models = {"exact": load(), "fast": load(fast=True)}
    labelling = {name: model.run(LabelRequest()) for name, model in models.items()}
    some = photos.paths[:part]
    preprocessing = models["exact"].parts.bundle.preprocessing()
    whole = interleaved(
        {
            **{name: partial(_label, run, some) for name, run in labelling.items()},
            "decode": partial(decode, some, preprocessing),
        },
        rounds,
    )
    crops = [preprocessing.apply(read_picture(path, min_side=preprocessing.decode_side)) for path in some[:16]]
    backbones = {name: model.backbone() for name, model in models.items()}

    def forward(name: str) -> None:
        backbones[name].features(np.stack(crops))

    alone = interleaved({name: partial(forward, name) for name in models}, rounds)
    prepared = interleaved({name: partial(_prepare, model.parts) for name, model in models.items()}, runs)
    figures = [
        Figure.of(_SECTION, f"{name}, in one process", [len(some) / r.wall for r in whole[name]], "images/s")
        for name in models
    ]
    for kind, clock in (("throughput", "wall"), ("core time", "core")):
        exact, fast = ([getattr(reading, clock) for reading in whole[name]] for name in ("exact", "fast"))
        limit = _FASTER if clock == "wall" and not sums_are_narrow() else None
        what = f"exact over fast, {kind}" if clock == "core" else f"fast relative to exact, {kind}"
        figures.append(Figure.of(_SECTION, what, ratio(exact, fast), "", limit=limit, at_least=True))
    for name in models:
        each = [1e3 * reading.core / len(crops) for reading in alone[name]]
        figures.append(Figure.of(_SECTION, f"{name}: the network alone", each, "core ms per photo"))
    network = median(reading.core / len(crops) for reading in alone["fast"])
    for kind, clock, share in (("the bound", "wall", cores()), ("the bound, core time", "core", 1)):
        times = [getattr(reading, clock) / len(some) for reading in whole["fast"]]
        bound = [(reading.core / len(some) + network) / share for reading in whole["decode"]]
        figures.append(
            Figure.of(_SECTION, f"fast: its share of {kind}", ratio(bound, times), "", limit=_SHARE, at_least=True)
        )
    for name in models:
        ready = [1e3 * reading.wall for reading in prepared[name]]
        figures.append(Figure.of(_SECTION, f"{name}: preparing the network at the start", ready, "ms"))
    return figures


def _label(run: LabelRun, photos: Sequence[Path]) -> None:
    for _ in run.answers(photos):
        pass


def _prepare(parts: ModelParts) -> None:
    parts.backbone(streams=cores())
