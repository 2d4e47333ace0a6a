"""Features of photos, made and stored, against the network alone on all cores."""

import shutil
from itertools import count
from pathlib import Path

from bench.figures import Figure, interleaved, ratio
from bench.labelling import Bare
from bench.machine import cores
from bench.photos import Photos, many_of
from devise.bundle.parts import BACKBONE
from devise.model.labeller import load
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.featurestore import feature_store
from devise.vision.samples import find_samples

__all__ = ["measure_extraction"]

_SECTION = "Features of photos, stored"
_SHARE = 0.8


def measure_extraction(photos: Photos, scratch: Path, *, rounds: int, part: int) -> list[Figure]:
    """A new store of `part` photos each round, and as many runs of the network on a picture that is ready."""
    bundle = load().parts.bundle
    onnx, preprocessing = bundle.part_bytes(BACKBONE), bundle.preprocessing()
    root = scratch / "extraction"
    many_of(photos.paths, part, root / "photos" / "n02084071")
    samples = find_samples((root / "photos",))
    backbone = OpenVinoBackbone(onnx, preprocessing, streams=cores())
    bare = Bare(onnx, preprocessing.crop, 1, cores())
    numbers = count()

    def extract() -> None:
        folder = root / f"store-{next(numbers)}"
        folder.mkdir()
        feature_store(folder, samples, backbone, onnx)

    found = interleaved({"forward": lambda: bare.forward(part), "store": extract}, rounds)
    shutil.rmtree(root)
    rates = {name: [part / one.wall for one in readings] for name, readings in found.items()}
    costs = {name: [one.core for one in readings] for name, readings in found.items()}
    return [
        Figure.of(_SECTION, f"bare OpenVINO forward ({bare.name})", rates["forward"], "images/s"),
        Figure.of(_SECTION, "decoded, through the network and on the disk", rates["store"], "images/s"),
        Figure.of(
            _SECTION, "its rate over the bare forward", ratio(rates["store"], rates["forward"]), "",
            limit=_SHARE, at_least=True,
        ),
        Figure.of(_SECTION, "the same by core time", ratio(costs["forward"], costs["store"]), ""),
    ]  # fmt: skip
