"""Stacking rule and temperatures, chosen by leaving classes out of the trained ones.

Classes are left out together with those that share their first hypernym, so that what is left out has no
sister among the rest. Centre, surgery and ConSE are made anew from the classes that remain; photos of the
classes left out then stand for photos of things no training photo showed, and photos of the others for the
trained ones. No photo of a class that is a zero-shot test class is needed.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float32, Float64

from devise.arrays import Features, LabelMask, LabelVectors, Scores, Truth
from devise.errors import UsageError
from devise.labels import Label, LabelSet
from devise.model.embedding import ConseScorer, DeviseScorer, FusedScorer, StackingRule
from devise.model.evidence import Classifier, Probabilities
from devise.model.space import LabelSpace, centre_of, placed
from devise.model.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["CalibrationConfig", "CalibrationSet", "Choice", "calibrate", "left_out_folds"]

_BLOCK = 32  # photos whose scores are exponentiated at once


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """What is tried. most_seen_loss: hit@1 on trained classes that may be lost against the softmax, in points."""

    folds: int = 4
    confidences: tuple[float, ...] = (0.4, 0.8, 1.6, 3.2)
    penalties: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
    most_seen_loss: float = 3.0
    unseen_k: int = 5
    temperatures: tuple[float, ...] = tuple(round(float(0.01 * 1.15**step), 4) for step in range(30))


@dataclass(frozen=True, eq=False, slots=True)
class CalibrationSet:
    """Features of photos of trained classes, and the row of the classifier that each photo is of."""

    features: Features
    truth: Truth


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and how it did on the classes left out, in per cent.

    seen_hit1: trained classes, all labels candidates; softmax_hit1: the softmax's on the same photos.
    unseen_hit: hit@unseen_k of the classes left out, all labels candidates; unseen_only_hit: without the trained.
    """

    stacking: StackingRule
    temperatures: dict[str, float]
    seen_hit1: float
    softmax_hit1: float
    unseen_hit: float
    unseen_only_hit: float


@dataclass(frozen=True, eq=False)
class _Fold:
    """One part of the classes left out, and what is said of all photos; truths are positions of labels.

    cosines: of every label by scorer. trained: positions of the classes kept. unseen: which photos are of
    classes left out.
    """

    cosines: dict[str, Scores]
    probabilities: Probabilities
    trained: Truth
    truth: Truth
    unseen: LabelMask
    softmax_right: LabelMask


@dataclass(frozen=True, eq=False)
class _Margins:
    """What the hits of any stacking rule follow from, for the photos of one fold.

    own: the true label's cosine. rivals: the best cosine among the labels that are not trained.
    above: how many of those score above the true label.
    """

    own: Float32[np.ndarray, "images"]
    rivals: Float32[np.ndarray, "images"]
    above: Truth


def left_out_folds(trained_ids: Sequence[str], taxonomy: Taxonomy, folds: int) -> np.ndarray:
    """The fold of each trained class; classes with the same first hypernym are in the same one."""
    firsts = [(taxonomy.parents(synset_id) or (synset_id,))[0] for synset_id in trained_ids]
    return np.array([zlib.crc32(first.encode()) % folds for first in firsts])


def calibrate(
    photos: CalibrationSet,
    classifier: Classifier,
    raw: LabelVectors,
    folds: np.ndarray,
    *,
    ridge: float,
    conse_top: int,
    config: CalibrationConfig,
) -> Choice:
    """The stacking rule with the best unseen hit@k that keeps the trained classes' hit@1, and temperatures for it.

    raw: composed vectors of the trained labels in the classifier's order, then of all others. folds: of the
        trained labels. UsageError if no rule keeps the hit@1 asked.
    """
    made = list(_folds(photos, classifier, raw, folds, ridge, conse_top))
    margins = [_margins(fold) for fold in made]
    softmax = _percent([fold.softmax_right for fold in made])
    rules = [StackingRule(*pair) for pair in product(config.penalties, config.confidences)]
    tried = [(*_hits(made, margins, rule, config.unseen_k), rule) for rule in rules]
    good = [one for one in tried if one[1] >= softmax - config.most_seen_loss]
    if not good:
        raise UsageError(
            f"no stacking rule keeps the trained classes within {config.most_seen_loss} points of the softmax: "
            "try larger confidences"
        )
    unseen, seen, rule = max(good, key=lambda one: (one[0], one[1]))
    only = _percent([m.above[f.unseen] < config.unseen_k for m, f in zip(margins, made, strict=True)])
    temperatures = {name: _temperature(made, name, None, config) for name in ("devise", "conse")}
    temperatures["fused"] = _temperature(made, "fused", rule, config)
    return Choice(rule, temperatures, seen, softmax, unseen, only)


def _hits(made: Sequence[_Fold], margins: Sequence[_Margins], rule: StackingRule, k: int) -> tuple[float, float]:
    """Per cent: hit@k of the classes left out and hit@1 of the trained ones, all labels candidates."""
    unseen, seen = [], []
    for fold, margin in zip(made, margins, strict=True):
        stacked = rule.stacked(fold.cosines["fused"][:, fold.trained], fold.probabilities)
        missing = fold.unseen
        above = margin.above + (stacked > margin.own[:, None]).sum(axis=1)
        unseen.append(above[missing] < k)
        best = fold.trained[stacked.argmax(axis=1)]
        seen.append(((best == fold.truth) & (stacked.max(axis=1) >= margin.rivals))[~missing])
    return _percent(unseen), _percent(seen)


def _margins(fold: _Fold) -> _Margins:
    cosines = fold.cosines["fused"]
    own = np.take_along_axis(cosines, fold.truth[:, None], axis=1)
    others = np.ones(cosines.shape[1], dtype=bool)
    others[fold.trained] = False
    rivals = cosines[:, others]
    return _Margins(own[:, 0], rivals.max(axis=1), (rivals > own).sum(axis=1).astype(np.int64))


def _percent(hits: Sequence[LabelMask]) -> float:
    return 100 * float(np.concatenate(hits).mean())


def _folds(
    photos: CalibrationSet,
    classifier: Classifier,
    raw: LabelVectors,
    folds: np.ndarray,
    ridge: float,
    conse_top: int,
) -> Iterator[_Fold]:
    labels = LabelSet(Label(str(i), str(i)) for i in range(len(raw)))
    for fold in range(int(folds.max()) + 1):
        kept = np.flatnonzero(folds != fold)
        rest = Classifier(classifier.weight[kept], classifier.bias[kept])
        space = LabelSpace(labels, placed(raw, centre_of(raw[kept])))
        surgery = image_free_surgery(space.vectors[kept], rest.weight, ridge)
        evidence = rest.evidence(photos.features)
        devise = DeviseScorer(space, surgery)
        conse = ConseScorer(space, space.vectors[kept], conse_top)
        fused = FusedScorer(devise, conse, kept, None)
        unseen = folds[photos.truth] == fold
        yield _Fold(
            {
                "fused": fused.scores(evidence),
                "devise": devise.scores(evidence),
                "conse": conse.scores(evidence),
            },
            evidence.probabilities,
            kept,
            photos.truth,
            unseen,
            (kept[evidence.logits.argmax(axis=1)] == photos.truth)[~unseen],
        )


def _temperature(made: Sequence[_Fold], name: str, rule: StackingRule | None, config: CalibrationConfig) -> float:
    """The temperature of least mean negative log likelihood; trained and left-out photos weigh the same in all.

    The loss has one minimum, so that the middle of three neighbours tells on which side it is.
    """
    scores = [fold.cosines[name] for fold in made]
    if rule is not None:
        for one, fold in zip(scores, made, strict=True):
            one[:, fold.trained] = rule.stacked(one[:, fold.trained], fold.probabilities)

    def loss(step: int) -> float:
        parts = [
            (_surprise(one, fold.truth, config.temperatures[step]), fold.unseen)
            for one, fold in zip(scores, made, strict=True)
        ]
        return sum(
            float(np.concatenate([losses[unseen == side] for losses, unseen in parts]).mean()) for side in (False, True)
        )

    low, high = 0, len(config.temperatures) - 1
    while low < high:
        middle = (low + high) // 2
        if loss(middle) <= loss(middle + 1):
            high = middle
        else:
            low = middle + 1
    return config.temperatures[low]


def _surprise(scores: Scores, truth: Truth, temperature: float) -> Float64[np.ndarray, "images"]:
    """-log of the true label's share in softmax(scores / temperature), a few photos at a time."""
    losses = np.empty(len(scores))
    for start in range(0, len(scores), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scaled = scores[rows] / np.float32(temperature)
        own = np.take_along_axis(scaled, truth[rows, None], axis=1)[:, 0]
        highest = scaled.max(axis=1)
        scaled -= highest[:, None]
        losses[rows] = np.log(np.exp(scaled, out=scaled).sum(axis=1)) + highest - own
    return losses
