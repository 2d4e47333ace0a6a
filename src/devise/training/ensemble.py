"""The job `devise train ensemble`: how much each of several models counts, chosen on photos of classes held out."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from time import monotonic

import numpy as np

from devise.arrays import Float64, Int64, Scores
from devise.errors import UsageError
from devise.evaluation.photos import Listing, gather, list_photos
from devise.model.ensemble import Ensemble, write_weights
from devise.model.labeller import Model
from devise.model.methods import make_scorer, temperature_of
from devise.space.evidence import log_sum_exp
from devise.training.temperatures import best_temperature, spread

__all__ = ["EnsembleChoice", "EnsembleRow", "choose_weights", "fitted_weights"]

Weights = Float64[np.ndarray, "models"]

_FEWEST_CLASSES = 10  # fewer say little of other classes
_BLOCK = 64  # photos scored at once
_MOST_MODELS = 4  # the shares of more would be too many to try


@dataclass(frozen=True, slots=True)
class EnsembleRow:
    """What one model, or all together, reached on the photos.

    hits: in per cent, by k, among all labels. surprise: mean of -log p(true label), in nats. milliseconds: per photo,
    from the file to the features.
    """

    name: str
    hits: dict[int, float]
    surprise: float
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class EnsembleChoice:
    """The weights, from all photos, and the rows; the row of chosen weights has those of the other half of classes."""

    weights: tuple[float, ...]
    rows: tuple[EnsembleRow, ...]
    photos: int
    classes: int
    problems: tuple[str, ...]


def choose_weights(
    models: Sequence[Model],
    folders: Sequence[Path],
    out: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EnsembleChoice:
    """Choose weights by the probability of the true labels on up to 500 photos, and store them.

    UsageError for models that do not fit together, and for photos of fewer than 10 classes.
    """
    joined = Ensemble(models)
    if len(models) > _MOST_MODELS:
        raise UsageError(f"weights are chosen for up to {_MOST_MODELS} models, got {len(models)}: leave some out")
    for one in models:
        one.backbone()  # compiling takes no part in the times
    found = list_photos(joined, folders)
    labels = joined.labels
    listing = found.of_classes(frozenset(labels.ids), "not a label of the models")
    listing = _some(listing, spread(np.arange(len(listing.images))))
    if len(listing.classes) < _FEWEST_CLASSES:
        raise UsageError(f"weights need photos of {_FEWEST_CLASSES} classes or more, got {len(listing.classes)}")
    total = (len(models) + 1) * len(listing.images)
    seconds: list[float] = []
    for number, one in enumerate((*models, joined)):
        before = number * len(listing.images)
        start = monotonic()
        photos = gather(one, listing, lambda done, _, before=before: on_progress(before + done, total))  # type: ignore[misc]
        seconds.append(monotonic() - start)
    scores = [_log_scores(one, part) for one, part in zip(models, joined.split(photos.features), strict=True)]
    truth = np.array([labels.position(image.truth) for image in photos.listing.images], dtype=np.int64)
    halves = _halves(photos.listing)
    weights = fitted_weights(scores, truth)
    by_half = [fitted_weights([one[halves != half] for one in scores], truth[halves != half]) for half in (0, 1)]
    crossed = np.stack(by_half)[halves]
    equal = np.full((len(truth), len(models)), 1 / len(models))
    alone = [np.tile(np.eye(len(models))[place], (len(truth), 1)) for place in range(len(models))]
    mixes = [*alone, equal, crossed]
    names = [*(one.parts.bundle.manifest.name for one in models), "equal weights", "chosen weights"]
    times = [*seconds[:-1], seconds[-1], seconds[-1]]
    rows = tuple(
        _row(name, _mixed(scores, mix), truth, 1000 * took / len(listing.images))
        for name, mix, took in zip(names, mixes, times, strict=True)
    )
    choice = EnsembleChoice(tuple(weights.tolist()), rows, len(truth), len(photos.listing.classes), photos.problems)
    kept = [{key: of for key, of in asdict(row).items() if key != "milliseconds"} for row in rows]  # equal every run
    facts = {"photos": choice.photos, "classes": choice.classes, "rows": kept}
    write_weights(out, models, choice.weights, facts)
    return choice


def fitted_weights(scores: Sequence[Scores], truth: Int64[np.ndarray, "images"]) -> Weights:
    """Return the shares with the best ranks of the true labels, scaled so that these are most probable.

    scores: log probabilities of all labels up to a constant per photo, one array per model. Shares are tried in steps
    of 1/10 (1/4 of four models). Best is the lowest mean logarithm of the rank; the most equal shares within one
    standard error of it over the classes are taken (Breiman et al. 1984). Without that rule, shares chosen on half of
    Caltech's 23 unseen classes had hit@5 24.6 on the other half, equal ones 26.8.
    """
    grid = _grid(len(scores))
    logs = np.stack([_log_ranks(scores, truth, shares) for shares in grid])
    best = int(logs.mean(axis=1).argmin())
    apart = np.stack([(logs - logs[best])[:, truth == one].mean(axis=1) for one in np.unique(truth)], axis=1)
    classes = apart.shape[1]
    error = apart.std(axis=1, ddof=1) / np.sqrt(classes) if classes > 1 else np.inf  # one class says nothing of others
    shares = grid[int(np.flatnonzero(apart.mean(axis=1) <= error)[0])]
    return shares / best_temperature(_mixed(scores, np.tile(shares, (len(truth), 1))), truth)


def _grid(models: int) -> list[Weights]:
    """All shares that add up to 1, the most equal ones first."""
    steps = 10 if models < _MOST_MODELS else 4
    whole = [one for one in product(range(steps + 1), repeat=models) if sum(one) == steps]
    shares = [np.array(one) / steps for one in whole] + [np.full(models, 1 / models)]
    return sorted(shares, key=lambda one: float(((one - 1 / models) ** 2).sum()))


def _log_ranks(
    scores: Sequence[Scores], truth: Int64[np.ndarray, "images"], shares: Weights
) -> Float64[np.ndarray, "images"]:
    found = []
    for start in range(0, len(truth), _BLOCK):
        right = truth[start : start + _BLOCK]
        mixed = _mixed([one[start : start + _BLOCK] for one in scores], np.tile(shares, (len(right), 1)))
        found.append(np.log(1 + _better(mixed, right)))
    return np.concatenate(found)


def _better(scores: Scores, truth: Int64[np.ndarray, "images"]) -> Int64[np.ndarray, "images"]:
    """How many labels score higher than the true one."""
    better: Int64[np.ndarray, "images"] = (scores > scores[np.arange(len(truth)), truth][:, None]).sum(axis=1)
    return better


def _log_scores(model: Model, features: np.ndarray) -> Scores:
    """Scores over the temperature, less the best of each photo; a label without a vector is at -100."""
    scorer = make_scorer(model.parts, "fused", model.parts.space)
    temperature = np.float32(temperature_of(model.parts, "fused"))
    starts = range(0, len(features), _BLOCK)
    blocks = [scorer.scores(model.evidence(features[at : at + _BLOCK])) / temperature for at in starts]
    scores = np.concatenate(blocks)
    scores -= scores.max(axis=1, keepdims=True)
    return np.maximum(scores, np.float32(-100), out=scores)


def _mixed(scores: Sequence[Scores], weights: Float64[np.ndarray, "images models"]) -> Scores:
    columns = weights.astype(np.float32).T
    mixed: Scores = columns[0][:, None] * scores[0]
    for column, one in zip(columns[1:], scores[1:], strict=True):
        mixed += column[:, None] * one
    return mixed


def _row(name: str, scores: Scores, truth: Int64[np.ndarray, "images"], milliseconds: float) -> EnsembleRow:
    own = scores[np.arange(len(truth)), truth]
    better = _better(scores, truth)
    hits = {k: 100 * float((better < k).mean()) for k in (1, 5, 20)}
    return EnsembleRow(name, hits, float((log_sum_exp(scores) - own).mean()), milliseconds)


def _halves(listing: Listing) -> Int64[np.ndarray, "images"]:
    """0 or 1 for each photo: every second class, in the order of their ids."""
    number = {one: place % 2 for place, one in enumerate(sorted(listing.classes))}
    return np.array([number[image.truth] for image in listing.images], dtype=np.int64)


def _some(listing: Listing, places: Int64[np.ndarray, "some"]) -> Listing:
    images = tuple(listing.images[place] for place in places.tolist())
    return replace(listing, images=images, samples=listing.samples.subset(places))
