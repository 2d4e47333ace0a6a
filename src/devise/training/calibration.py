"""Prior, stacking rule and temperatures, chosen by leaving classes out of the trained ones.

Classes are left out together with those that share their first hypernym, so that what is left out has no
sister among the rest. Centre, surgery and ConSE are made anew from the classes that remain; photos of the
classes left out then stand for photos of things no training photo showed, and photos of the others for the
trained ones. No photo of a class that is a zero-shot test class is needed.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from devise.arrays import Features, LabelVectors, Logits, Scores, Surgery, Truth
from devise.errors import LabelError, UsageError
from devise.labels import Label, LabelSet
from devise.model.embedding import ConseScorer, DeviseScorer, FusedScorer, KernelScorer, StackingRule
from devise.model.evidence import Classifier, Probabilities
from devise.model.kernel import KernelConfig, fit_kernel
from devise.model.prior import Standing
from devise.model.space import LabelSpace, centre_of, placed
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "CalibrationConfig",
    "CalibrationSet",
    "Choice",
    "KernelPlan",
    "PriorOf",
    "Surgeon",
    "calibrate",
    "left_out_folds",
]

Surgeon = Callable[[LabelVectors, Float32[np.ndarray, "labels features"]], Surgery]
"""Makes the map M from the vectors of trained labels and their rows of the classifier."""

PriorOf = Callable[[Int64[np.ndarray, "kept"]], Standing]
"""Makes the standing of every label from the trained labels at these rows of the classifier; others are not asked."""

_Hits = Bool[np.ndarray, "_"]
_BLOCK = 32  # photos whose scores are exponentiated at once


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """What is tried, and what a stacking rule must keep.

    most_seen_loss: hit@1 on trained classes that may be lost against the softmax, in points.
    least_unseen_share: of hit@unseen_k on classes left out, when the trained labels become candidates too.
    """

    folds: int = 4
    confidences: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 3.2, 4.8)
    penalties: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
    priors: tuple[float, ...] = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1)
    prior_temperatures: tuple[float, ...] = (0.025, 0.035, 0.045, 0.06, 0.08)
    temperatures: tuple[float, ...] = tuple(round(float(0.01 * 1.2**step), 4) for step in range(20))
    most_seen_loss: float = 3.0
    least_unseen_share: float = 0.9
    unseen_k: int = 5


@dataclass(frozen=True, eq=False, slots=True)
class CalibrationSet:
    """Features of photos of trained classes, and the row of the classifier that each photo is of."""

    features: Features
    truth: Truth


@dataclass(frozen=True, eq=False, slots=True)
class KernelPlan:
    """Kernel surgery as the fused scorer is to have it.

    text: a sentence encoder's unit vectors of all labels, in their order; None if the configuration gives it no share.
    share: of ConSE's point beside the photo's own.
    """

    config: KernelConfig
    text: Float32[np.ndarray, "labels text"] | None = None
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen on how many photos, and how it did on the classes left out, in per cent.

    prior: the weight of the labels' standing, 0 without a prior.
    seen_hit1: trained classes, all labels candidates; softmax_hit1: the softmax's on the same photos.
    unseen_hit: hit@unseen_k of the classes left out, all labels candidates; unseen_only_hit: without the trained.
    """

    photos: int
    stacking: StackingRule
    prior: float
    temperatures: dict[str, float]
    seen_hit1: float
    softmax_hit1: float
    unseen_hit: float
    unseen_only_hit: float


@dataclass(frozen=True, eq=False)
class _Fold:
    """One part of the classes left out, and what is said of all photos; truths are positions of labels.

    cosines: of every label by scorer, with the fused scorer's prior once it is chosen. standing: what the prior is made
    of, without the classes left out. trained: positions of the classes kept. unseen: which photos are of classes left
    out.
    """

    cosines: dict[str, Scores]
    standing: Standing | None
    probabilities: Probabilities
    trained: Int64[np.ndarray, "trained"]
    truth: Truth
    unseen: Bool[np.ndarray, "images"]
    softmax_right: _Hits


@dataclass(frozen=True, eq=False)
class _Summary:
    """What hits and likelihoods under any stacking rule follow from, for one scorer and the photos of one fold.

    trained: cosines of the trained labels. own: the true label's cosine. rivals: the best cosine among the labels
    that are not trained. above: how many of those score above the true label. mass: log of the sum over them of
    exp(cosine / temperature), a column a temperature.
    """

    fold: _Fold
    trained: Logits
    own: Float32[np.ndarray, "images"]
    rivals: Float32[np.ndarray, "images"]
    above: Truth
    mass: Float64[np.ndarray, "images temperatures"]


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
    surgeon: Surgeon | None,
    conse_top: int,
    config: CalibrationConfig,
    kernel: KernelPlan | None = None,
    prior: PriorOf | None = None,
) -> Choice:
    """The prior, and under it the stacking rule and temperature of the highest likelihood among the rules that keep
    the hits asked.

    Likelihood: of the true label, all labels candidates; photos of trained and of left-out classes weigh the same in
    all. The prior is chosen first, see `_best_weight`. DeViSE and ConSE get the temperature of the highest likelihood,
    without prior and rule.

    raw: composed vectors of the trained labels in the classifier's order, then of all others. folds: of the
        trained labels.
    surgeon: makes the map M from the vectors and rows of trained labels; None, where there is a kernel, leaves DeViSE
        and ConSE out.
    kernel: what the fused scorer places photos by; None is DeViSE. prior: None leaves it out.
    UsageError if no rule keeps what `config` asks, LabelError if a class with photos has no vector.
    """
    assert surgeon is not None or kernel is not None
    if not raw[photos.truth].any(axis=1).all():
        raise LabelError("a trained class with photos has no vector under this label policy: leave its photos out")
    made = list(_folds(photos, classifier, raw, folds, surgeon, conse_top, kernel, prior))
    weight = 0.0 if prior is None else _best_weight(made, config)
    for fold in made:
        if fold.standing is not None:
            fold.cosines["fused"] += np.float32(weight) * fold.standing
    by_name = {name: [_summary(fold, name, config) for fold in made] for name in made[0].cosines}
    fused = by_name["fused"]
    softmax = _percent([fold.softmax_right for fold in made])
    only = _percent([one.above[one.fold.unseen] < config.unseen_k for one in fused])
    least = config.least_unseen_share * only
    tried = []
    for rule in (StackingRule(*pair) for pair in product(config.penalties, config.confidences)):
        unseen, seen = _hits(fused, rule, config.unseen_k)
        if seen >= softmax - config.most_seen_loss and unseen >= least:
            loss, temperature = _best_temperature(fused, rule, config)
            tried.append((loss, temperature, rule, seen, unseen))
    if not tried:
        raise UsageError(
            f"no stacking rule keeps the trained classes within {config.most_seen_loss} points of the softmax and "
            f"{config.least_unseen_share:.0%} of the unseen hits: try other penalties and confidences"
        )
    _, temperature, rule, seen, unseen = min(tried, key=lambda one: one[0])
    none = StackingRule(0.0, 0.0)
    temperatures = {name: _best_temperature(by_name[name], none, config)[1] for name in by_name if name != "fused"}
    return Choice(len(photos.truth), rule, weight, {"fused": temperature, **temperatures}, seen, softmax, unseen, only)


def _best_weight(folds: Sequence[_Fold], config: CalibrationConfig) -> float:
    """The weight of the highest likelihood of the true label, classes left out against all labels not trained.

    At the temperature that is best for the weight.
    """
    tried = []
    for weight in config.priors:
        losses = np.zeros(len(config.prior_temperatures))
        for fold in folds:
            assert fold.standing is not None
            scores = fold.cosines["fused"][fold.unseen] + np.float32(weight) * fold.standing
            own = np.take_along_axis(scores, fold.truth[fold.unseen, None], axis=1)[:, 0]
            rivals = np.delete(scores, fold.trained, axis=1)
            for place, temperature in enumerate(config.prior_temperatures):
                losses[place] += float((_log_mass(rivals, temperature) - own / temperature).sum())
        tried.append((float(losses.min()), weight))
    return min(tried)[1]


def _summary(fold: _Fold, name: str, config: CalibrationConfig) -> _Summary:
    cosines = fold.cosines[name]
    own = np.take_along_axis(cosines, fold.truth[:, None], axis=1)
    others = np.ones(cosines.shape[1], dtype=bool)
    others[fold.trained] = False
    rivals = cosines[:, others]
    mass = np.stack([_log_mass(rivals, temperature) for temperature in config.temperatures], axis=1)
    above = (rivals > own).sum(axis=1).astype(np.int64)
    return _Summary(fold, cosines[:, fold.trained], own[:, 0], rivals.max(axis=1), above, mass)


def _hits(summaries: Sequence[_Summary], rule: StackingRule, k: int) -> tuple[float, float]:
    """Per cent: hit@k of the classes left out and hit@1 of the trained ones, all labels candidates."""
    unseen, seen = [], []
    for one in summaries:
        stacked = rule.stacked(one.trained, one.fold.probabilities)
        missing = one.fold.unseen
        above = one.above + (stacked > one.own[:, None]).sum(axis=1)
        unseen.append(above[missing] < k)
        best = one.fold.trained[stacked.argmax(axis=1)]
        seen.append(((best == one.fold.truth) & (stacked.max(axis=1) >= one.rivals))[~missing])
    return _percent(unseen), _percent(seen)


def _best_temperature(
    summaries: Sequence[_Summary], rule: StackingRule, config: CalibrationConfig
) -> tuple[float, float]:
    """The least loss, and the temperature that has it; see `calibrate` for what is weighed."""
    stacked = [rule.stacked(one.trained, one.fold.probabilities) for one in summaries]
    losses = []
    for column, temperature in enumerate(config.temperatures):
        surprises = [
            _surprise(one, scores, column, temperature) for one, scores in zip(summaries, stacked, strict=True)
        ]
        sides = (
            np.concatenate([s[one.fold.unseen == side] for s, one in zip(surprises, summaries, strict=True)])
            for side in (False, True)
        )
        losses.append(sum(float(side.mean()) for side in sides))
    best = int(np.argmin(losses))
    return losses[best], config.temperatures[best]


def _surprise(one: _Summary, stacked: Logits, column: int, temperature: float) -> Float64[np.ndarray, "images"]:
    """-log of the true label's share among all labels."""
    total = np.logaddexp(_log_mass(stacked, temperature), one.mass[:, column])
    own = one.own.astype(np.float64)
    rows, columns = np.nonzero(one.fold.trained == one.fold.truth[:, None])
    own[rows] = stacked[rows, columns]
    loss: Float64[np.ndarray, "images"] = total - own / temperature
    return loss


def _log_mass(scores: Scores, temperature: float) -> Float64[np.ndarray, "images"]:
    """Log of the sum of exp(score / temperature), a few photos at a time."""
    mass = np.empty(len(scores))
    for start in range(0, len(scores), _BLOCK):
        scaled = scores[start : start + _BLOCK] / np.float32(temperature)
        highest = scaled.max(axis=1)
        scaled -= highest[:, None]
        mass[start : start + _BLOCK] = np.log(np.exp(scaled, out=scaled).sum(axis=1)) + highest
    return mass


def _percent(hits: Sequence[_Hits]) -> float:
    return 100 * float(np.concatenate(hits).mean())


def _folds(
    photos: CalibrationSet,
    classifier: Classifier,
    raw: LabelVectors,
    folds: np.ndarray,
    surgeon: Surgeon | None,
    conse_top: int,
    kernel: KernelPlan | None,
    prior: PriorOf | None,
) -> Iterator[_Fold]:
    labels = LabelSet(Label(str(i), str(i)) for i in range(len(raw)))
    for fold in range(int(folds.max()) + 1):
        kept = np.flatnonzero(folds != fold)
        rest = Classifier(classifier.weight[kept], classifier.bias[kept])
        space = LabelSpace(labels, placed(raw, centre_of(raw[kept])))
        evidence = rest.evidence(photos.features)
        cosines = {}
        if surgeon is not None:
            devise = DeviseScorer(space, surgeon(space.vectors[kept], rest.weight))
            conse = ConseScorer(space, space.vectors[kept], conse_top)
            cosines = {"devise": devise.scores(evidence), "conse": conse.scores(evidence)}
            if kernel is None:
                cosines["fused"] = FusedScorer(devise, conse, kept).scores(evidence)
        if kernel is not None:
            fitted = fit_kernel(kernel.config, space.vectors, kept, rest.weight, text=kernel.text)
            placing = KernelScorer(LabelSpace(labels, fitted.places), fitted.axes)
            near = ConseScorer(placing.space, fitted.places[kept], conse_top)
            cosines["kernel"] = placing.scores(evidence)
            cosines["fused"] = FusedScorer(placing, near, kept, share=kernel.share).scores(evidence)
        unseen = folds[photos.truth] == fold
        yield _Fold(
            cosines,
            None if prior is None else prior(kept),
            evidence.probabilities,
            kept,
            photos.truth,
            unseen,
            (kept[evidence.logits.argmax(axis=1)] == photos.truth)[~unseen],
        )
