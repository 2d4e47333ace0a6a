"""Photos a second of devise, of Hugging Face's zero-shot pipeline and of a loop around open_clip, in one run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from bench.figures import Figure, interleaved, ratio
from devise.bundle.parts import FAST
from devise.evaluation.adapters import label_names
from devise.model.labeller import LabelRequest, LabelRun, load

__all__ = ["PeerCase", "measure_peers"]

_SECTION = "Labelling photos beside CLIP ViT-B/32, each photo from its file"
_WAYS = {"devise": False, "devise --fast": True}
_TOWERS = "devise on CLIP"
_JUDGED = "devise --fast"
_PIPELINE, _LOOP = "Hugging Face pipeline", "open_clip loop"
_AT_LEAST = {_PIPELINE: 20.0, _LOOP: 8.0}
_TOP = 5


@dataclass(frozen=True, slots=True)
class PeerCase:
    """How much is run.

    photos: for devise and the loop each round; slow: for the pipeline, 0 leaves it out. names: candidate labels of
    the pipeline. batch: photos that the loop runs at once. model: folder of the pipeline's model. clip: name of
    open_clip's, and its file of weights, None for random ones. towers: the same model made by `devise build --open-
    clip`, if it is to run.
    """

    photos: tuple[Path, ...]
    slow: int
    rounds: int
    model: Path
    names: int = 1000
    batch: int = 32
    clip: tuple[str, str | None] = ("ViT-B-32", None)
    towers: Path | None = None


def measure_peers(case: PeerCase) -> list[Figure]:
    """Interleaved rounds of all; the speed of devise over that of each peer. Devise has all its labels as candidates.

    The pipeline embeds its names anew for each photo. The loop holds the vectors of as many labels as devise has, made
    before the clock runs, so what they are does not matter: they are random.
    """
    models = {name: load(fast=fast) for name, fast in _WAYS.items()}
    if case.towers is not None:
        models[_TOWERS] = load(case.towers)
        models[f"{_TOWERS}, bf16 where it is here"] = load(case.towers, precision="auto")
        if models[_TOWERS].parts.bundle.has(FAST):
            models[f"{_TOWERS} --fast"] = load(case.towers, fast=True)
    runs = {name: model.run(LabelRequest()) for name, model in models.items()}
    parts, labels = models["devise"].parts, len(models["devise"].labels)
    slow, names = case.photos[: case.slow], label_names(parts.taxonomy, parts.trained_ids[: case.names])
    cases: dict[str, Callable[[], object]] = {name: partial(_answer, one, case.photos) for name, one in runs.items()}
    cases[_LOOP] = _loop(case, labels)
    if slow:
        cases[_PIPELINE] = _pipeline(case.model, slow, names)
    readings = interleaved(cases, case.rounds)
    counts = {name: len(slow) if name == _PIPELINE else len(case.photos) for name in cases}
    walls = {name: [one.per(counts[name]).wall for one in found] for name, found in readings.items()}
    cores = {name: [one.per(counts[name]).core for one in found] for name, found in readings.items()}
    competing = {name: len(names) if name == _PIPELINE else labels for name in cases}
    competing |= {name: len(model.labels) for name, model in models.items()}
    speeds = [
        Figure.of(_SECTION, f"{name}, {competing[name]:,} labels", [1 / wall for wall in walls[name]], "images/s")
        for name in cases
    ]
    faster = [_faster(name, peer, walls) for name in runs for peer in _AT_LEAST if peer in cases]
    less = [
        Figure.of(_SECTION, f"{name} over {_LOOP}, processor time", ratio(cores[_LOOP], cores[name]), "times")
        for name in runs
        if name.startswith(_TOWERS)
    ]
    return [*speeds, *faster, *less]


def _faster(name: str, peer: str, walls: Mapping[str, Sequence[float]]) -> Figure:
    limit = _AT_LEAST[peer] if name == _JUDGED else None
    times = ratio(walls[peer], walls[name])
    return Figure.of(_SECTION, f"{name} over {peer}", times, "times", limit=limit, at_least=True)


def _answer(run: LabelRun, photos: Sequence[Path]) -> None:
    for answer in run.answers(photos):
        assert answer.problem is None, answer.problem


def _pipeline(model: Path, photos: Sequence[Path], names: Sequence[str]) -> Callable[[], object]:
    from transformers import pipeline

    ask = pipeline("zero-shot-image-classification", model=str(model), device="cpu")
    return partial(ask, [str(photo) for photo in photos], candidate_labels=list(names))


def _loop(case: PeerCase, labels: int) -> Callable[[], object]:
    """Decode, embed, cosines, the best labels: what a user of open_clip writes."""
    import open_clip
    import torch

    torch.manual_seed(0)
    name, weights = case.clip
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=weights)
    model.eval()
    with torch.inference_mode():
        width = int(model.encode_image(transform(Image.new("RGB", (9, 9)))[None]).shape[1])
    drawn = np.random.default_rng(0).standard_normal((labels, width), dtype=np.float32)
    vectors = torch.nn.functional.normalize(torch.from_numpy(drawn), dim=-1)

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(case.photos), case.batch):
                pictures = [transform(_opened(path)) for path in case.photos[start : start + case.batch]]
                images = model.encode_image(torch.stack(pictures), normalize=True)
                (images @ vectors.T).topk(_TOP)

    return run


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
