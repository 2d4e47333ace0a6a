"""Prior, stacking rule and temperatures, chosen by leaving classes out of the trained ones.

Classes are left out together with those that share their first hypernym, so that what is left out has no
sister among the rest. Centre, surgery and ConSE are made again from the other classes; photos of the
classes left out then stand for photos of things no training photo showed, and photos of the others for the
trained ones. How sure the first choice is, is fitted on harder cases: classes left out while their sisters stay
(`Scattered`). No photo of a class that is a zero-shot test class is needed.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np

from devise.arrays import Bool, Float32, Float64, Int64, LabelVectors, Logits, Scores, Surgery, Truth
from devise.errors import LabelError, UsageError
from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier, Probabilities, log_sum_exp
from devise.space.kernel import KernelConfig, fit_kernel
from devise.space.labelspace import LabelSpace, centre_of, placed
from devise.space.prior import Standing
from devise.space.scorers import (
    ConseScorer,
    DeviseScorer,
    FirstChoice,
    FusedScorer,
    KernelScorer,
    StackingRule,
    log_odds,
)
from devise.taxonomy.wordnet import Taxonomy
from devise.training.photofeatures import PhotoFeatures
from devise.training.temperatures import TEMPERATURES

__all__ = [
    "CalibrationConfig",
    "Choice",
    "KernelPlan",
    "PriorOf",
    "Scattered",
    "Surgeon",
    "calibrate",
    "left_out_folds",
    "logistic",
    "scattered_folds",
]

Surgeon = Callable[[LabelVectors, Float32[np.ndarray, "labels features"]], Surgery]
"""Computes the map M from the vectors of trained labels and their rows of the classifier."""

PriorOf = Callable[[Int64[np.ndarray, "trained"]], Standing]
"""Computes the standing of every label from the trained labels at these rows of the classifier alone."""

_Hits = Bool[np.ndarray, "_"]
_STEPS = 50  # of Newton's method
_BLOCK = 32  # photos whose scores are exponentiated at once
_RIDGE = 0.01  # keeps the slope finite where the odds separate right from wrong; far below the weight of the photos


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """The values to try, and the bound on the loss of a stacking rule.

    most_seen_loss: hit@1 on trained classes that may be lost against the softmax, in points. k: of the hits whose
    harmonic mean chooses the rule.
    """

    folds: int = 4
    confidences: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 3.2, 4.8)
    penalties: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0)
    priors: tuple[float, ...] = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1)
    familiarities: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    prior_temperatures: tuple[float, ...] = (0.025, 0.035, 0.045, 0.06, 0.08)
    # Up to 0.32; the fused scorer of the model in the package has 0.0619, the kernel 0.0358.
    temperatures: tuple[float, ...] = TEMPERATURES[:20]
    most_seen_loss: float = 1.0
    k: int = 5


@dataclass(frozen=True, eq=False, slots=True)
class KernelPlan:
    """The kernel surgery of the fused scorer.

    text: a sentence encoder's unit vectors of all labels, in their order; None if the configuration gives it no share.
    share: of ConSE's point next to the photo's own.
    """

    config: KernelConfig
    text: Float32[np.ndarray, "labels text"] | None = None
    share: float = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Scattered:
    """Folds of the trained classes by a hash of their ids: when a class is left out, most classes like it stay.

    Its photos then show something that is not trained but looks trained, the hardest case for the classifier.

    folds: of each trained class. close: whether another trained class shares its first hypernym. Photos of left-out
    classes that are not close do not count, because the classifier seldom takes them for a trained class; if no class
    is close, all count.
    """

    folds: Int64[np.ndarray, "trained"]
    close: Bool[np.ndarray, "trained"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen values, the number of photos, and the results on left-out classes, in per cent.

    prior: the weight of the labels' standing, 0 without a prior. familiarity: its share in the standing.
    seen_hit1, seen_hit: trained classes, all labels candidates; softmax_hit1: the softmax's on the same photos.
    unseen_hit: hit@k of the classes left out, all labels candidates; unseen_only_hit: without the trained.
    mistaken: photos of classes left out that get a trained label at one half or more.
    """

    photos: int
    stacking: StackingRule
    prior: float
    familiarity: float
    temperatures: dict[str, float]
    seen_hit1: float
    seen_hit: float
    softmax_hit1: float
    unseen_hit: float
    unseen_only_hit: float
    mistaken: float


@dataclass(frozen=True, eq=False)
class _Fold:
    """All photos, scored without one fold of the trained classes; truths are positions of labels.

    cosines: of every label by scorer, with the fused scorer's prior once it is chosen. standing: the labels' standing
    without the classes left out. trained: positions of the classes that are not left out. unseen: which photos are of
    classes left out. softmax_right: of each other photo, whether the classifier's first choice is right.
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
    """The data for hits and likelihoods under any stacking rule, for one scorer and one fold's photos.

    trained: cosines of the trained labels. own: the true label's cosine. column: of the true label among the trained,
    or -1. rivals: the k best cosines among the labels that are not trained. above: how many of those score above the
    true label. cosines, others: of every label, and which labels are not trained.
    """

    fold: _Fold
    trained: Logits
    own: Float32[np.ndarray, "images"]
    column: Truth
    rivals: Float32[np.ndarray, "images k"]
    above: Truth
    cosines: Scores
    others: Bool[np.ndarray, "labels"]

    @cached_property
    def _masses(self) -> dict[float, Float64[np.ndarray, "images"]]:
        return {}

    def mass(self, temperature: float) -> Float64[np.ndarray, "images"]:
        """Return the log of the sum over labels that are not trained of exp(cosine / temperature)."""
        if temperature not in self._masses:
            self._masses[temperature] = _log_mass(self.cosines[:, self.others], temperature)
        return self._masses[temperature]


@dataclass(frozen=True, eq=False)
class _Outcome:
    """The results of a rule on the photos of one fold.

    above: how many labels score above the true one, right below k. surprise: -log of the true label's share among all
    labels. sure: the share of the classifier's first choice.
    """

    above: Truth
    surprise: Float64[np.ndarray, "images"]
    sure: Float64[np.ndarray, "images"]


def left_out_folds(trained_ids: Sequence[str], taxonomy: Taxonomy, folds: int) -> np.ndarray:
    """Return the fold of each trained class; classes with the same first hypernym share one."""
    return np.array([zlib.crc32(_family(synset_id, taxonomy).encode()) % folds for synset_id in trained_ids])


def scattered_folds(trained_ids: Sequence[str], taxonomy: Taxonomy, folds: int) -> Scattered:
    """Put each trained class into a fold by its id alone."""
    sizes = Counter(_family(synset_id, taxonomy) for synset_id in trained_ids)
    close = np.array([sizes[_family(synset_id, taxonomy)] > 1 for synset_id in trained_ids])
    return Scattered(np.array([zlib.crc32(synset_id.encode()) % folds for synset_id in trained_ids]), close)


def _family(synset_id: str, taxonomy: Taxonomy) -> str:
    return (taxonomy.parents(synset_id) or (synset_id,))[0]


def calibrate(
    photos: PhotoFeatures,
    classifier: Classifier,
    raw: LabelVectors,
    folds: np.ndarray,
    scattered: Scattered,
    *,
    surgeon: Surgeon | None,
    conse_top: int,
    config: CalibrationConfig,
    kernel: KernelPlan | None = None,
    prior: PriorOf | None = None,
    familiar: Standing | None = None,
) -> Choice:
    """Choose the prior's weight, the stacking rule and the temperatures, on photos of classes left out.

    Photos of trained and of left-out classes have the same total weight, and all labels are candidates. In this order:

    1. the weight of the prior and the share of the familiarity, see `_best_weights`
    2. how sure the first choice is, by the likelihood of its being right, see `_first_choice`
    3. penalty, confidence and temperature of the fused scorer: the highest harmonic mean of hit@k on both kinds of
       photos, among the rules that lose at most `most_seen_loss` of hit@1 on trained classes
    4. the temperatures of DeViSE, kernel and ConSE: the highest likelihood, without prior and rule

    raw: composed vectors of the trained labels in the classifier's order, then of all others. folds: of the
        trained labels. scattered: other folds of them, for how sure the first choice is.
    surgeon: makes the map M from the vectors and rows of trained labels; None, of a model with a kernel, leaves DeViSE
        and ConSE out.
    kernel: what the fused scorer places photos by; None is DeViSE. prior: None leaves it out.
    familiar: of each label, added to the standing with a share that is chosen with the prior's weight; None adds none.
    UsageError if no rule keeps what `config` asks, LabelError if a class with photos has no vector.
    """
    assert surgeon is not None or kernel is not None
    if not raw[photos.truth].any(axis=1).all():
        raise LabelError("a trained class with photos has no vector with this label policy: leave out its photos")
    splits = list(_folds(photos, classifier, raw, folds, surgeon, conse_top, kernel, prior))
    familiarity = np.zeros(len(raw), np.float32) if familiar is None else familiar
    weight, share = (0.0, 0.0) if prior is None else _best_weights(splits, familiarity, config)
    for split in splits:
        if split.standing is not None:
            split.cosines["fused"] += np.float32(weight) * (split.standing + np.float32(share) * familiarity)
    summaries = {name: [_summary(split, name, config) for split in splits] for name in splits[0].cosines}
    softmax = _percent([split.softmax_right for split in splits])
    unseen_only = _percent([summary.above[summary.fold.unseen] < config.k for summary in summaries["fused"]])
    slope, offset = _first_choice(photos, classifier, scattered)
    choices = []
    grids = {
        confidence: [_Grid(summary, confidence, config) for summary in summaries["fused"]]
        for confidence in config.confidences
    }
    for penalty, confidence, temperature in product(config.penalties, config.confidences, config.temperatures):
        rule = StackingRule(penalty, confidence, FirstChoice(slope, offset, temperature))
        outcomes = [grid.outcome(rule) for grid in grids[confidence]]
        if _share(outcomes, splits, lambda outcome: outcome.above < 1, unseen=False) >= softmax - config.most_seen_loss:
            choices.append((_harmonic(outcomes, splits, config.k), -_loss(outcomes, splits), rule))
    if not choices:
        raise UsageError(
            f"no stacking rule keeps trained classes within {config.most_seen_loss} points of the softmax: "
            "try other penalties, confidences and temperatures"
        )
    rule = max(choices, key=lambda choice: choice[:2])[2]
    assert rule.first is not None
    outcomes = [_outcome(summary, rule, config) for summary in summaries["fused"]]
    temperatures = {name: _best_temperature(of, config) for name, of in summaries.items() if name != "fused"}
    return Choice(
        len(photos.truth),
        rule,
        weight,
        share,
        {"fused": rule.first.temperature, **temperatures},
        seen_hit1=_share(outcomes, splits, lambda outcome: outcome.above < 1, unseen=False),
        seen_hit=_share(outcomes, splits, lambda outcome: outcome.above < config.k, unseen=False),
        softmax_hit1=softmax,
        unseen_hit=_share(outcomes, splits, lambda outcome: outcome.above < config.k, unseen=True),
        unseen_only_hit=unseen_only,
        mistaken=_share(outcomes, splits, lambda outcome: outcome.sure >= 0.5, unseen=True),
    )


def _best_weights(folds: Sequence[_Fold], familiar: Standing, config: CalibrationConfig) -> tuple[float, float]:
    """Return the weight of the prior and the share of the familiarity that make the true labels most likely.

    Photos of the left-out classes, with the labels that are not trained as candidates; each pair of weight and share
    at its own best temperature.
    """
    shares = config.familiarities if familiar.any() else (0.0,)
    tried = []
    for weight, share in product(config.priors, shares):
        losses = np.zeros(len(config.prior_temperatures))
        for fold in folds:
            assert fold.standing is not None
            standing = fold.standing + np.float32(share) * familiar
            scores = fold.cosines["fused"][fold.unseen] + np.float32(weight) * standing
            own = np.take_along_axis(scores, fold.truth[fold.unseen, None], axis=1)[:, 0]
            rivals = np.delete(scores, fold.trained, axis=1)
            for place, temperature in enumerate(config.prior_temperatures):
                losses[place] += float((_log_mass(rivals, temperature) - own / temperature).sum())
        tried.append((float(losses.min()), weight, share))
    return min(tried)[1:]


def _first_choice(photos: PhotoFeatures, classifier: Classifier, scattered: Scattered) -> tuple[float, float]:
    """Slope and offset of `FirstChoice`: logistic regression of "the softmax is right" on its log odds."""
    odds, right, foreign = [], [], []
    close = scattered.close[photos.truth]
    if not close.any():  # then any class left out counts
        close = np.ones(len(close), dtype=bool)
    for fold in range(int(scattered.folds.max()) + 1):
        trained = np.flatnonzero(scattered.folds != fold)
        rest = Classifier(classifier.weight[trained], classifier.bias[trained])
        shares = rest.evidence(photos.features).probabilities
        left_out = scattered.folds[photos.truth] == fold
        counted_in = ~left_out | close
        odds.append(log_odds(shares.max(axis=1))[counted_in])
        right.append((trained[shares.argmax(axis=1)] == photos.truth)[counted_in])
        foreign.append(left_out[counted_in])
    unseen = np.concatenate(foreign)
    weight = np.where(unseen, 0.5 / unseen.mean(), 0.5 / (~unseen).mean())
    factors = np.column_stack([np.concatenate(odds), np.ones(len(unseen))])
    slope, offset = logistic(factors, np.concatenate(right).astype(np.float64), _RIDGE, weight)
    # Rounded, so that processors whose sums differ in the last digits choose the same rule.
    return round(float(slope), 3), round(float(offset), 3)


def _summary(fold: _Fold, name: str, config: CalibrationConfig) -> _Summary:
    cosines = fold.cosines[name]
    own = np.take_along_axis(cosines, fold.truth[:, None], axis=1)
    others = np.ones(cosines.shape[1], dtype=bool)
    others[fold.trained] = False
    rivals = cosines[:, others]
    above = (rivals > own).sum(axis=1).astype(np.int64)
    column = np.full(cosines.shape[1], -1)
    column[fold.trained] = np.arange(len(fold.trained))
    best = -np.partition(-rivals, min(config.k, rivals.shape[1]) - 1, axis=1)[:, : config.k]
    return _Summary(fold, cosines[:, fold.trained], own[:, 0], column[fold.truth], best, above, cosines, others)


def _outcome(summary: _Summary, rule: StackingRule, config: CalibrationConfig, at: float | None = None) -> _Outcome:
    """Return the results of a rule. at: the temperature of a rule without a first choice."""
    temperature = at if rule.first is None else rule.first.temperature
    assert temperature is not None
    shares, images = summary.fold.probabilities, np.arange(len(summary.own))
    stacked, choice = rule.stacked(summary.trained, shares), shares.argmax(axis=1)
    mass = summary.mass(temperature)
    if rule.first is not None:
        stacked[images, choice] = -np.inf
        rest = np.logaddexp(_log_mass(stacked, temperature), mass)
        first = rest + rule.first.log_odds(shares.max(axis=1))
        stacked[images, choice] = temperature * first
        total = np.logaddexp(rest, first)
    else:
        total = np.logaddexp(_log_mass(stacked, temperature), mass)
    trained = summary.column >= 0
    own = np.where(trained, stacked[images, summary.column], summary.own)
    others = np.where(trained, (summary.rivals > own[:, None]).sum(axis=1), summary.above)
    above = others + (stacked > own[:, None]).sum(axis=1)
    sure = np.exp(stacked[images, choice] / temperature - total)
    return _Outcome(above.astype(np.int64), total - own / temperature, sure)


class _Grid:
    """Outcomes of all rules of one confidence, as `_outcome` finds them, at a hundredth of its cost per rule.

    A penalty moves all trained labels alike, so it changes neither their order nor, up to a factor, their mass: the
    k best of them and their mass are found once. Of labels above the true one only whether there are k is known.
    """

    def __init__(self, summary: _Summary, confidence: float, config: CalibrationConfig) -> None:
        self._summary, self._config = summary, config
        self._images = np.arange(len(summary.own))
        self._shares = summary.fold.probabilities
        self._choice = self._shares.argmax(axis=1)
        self._highest = self._shares.max(axis=1)
        rule = StackingRule(0.0, confidence)
        stacked = rule.stacked(summary.trained, self._shares)
        stacked[self._images, self._choice] = -np.inf
        most = min(config.k, stacked.shape[1])
        best = np.argpartition(-stacked, most - 1, axis=1)[:, :most]
        self._best = tuple(np.take_along_axis(values, best, axis=1) for values in (summary.trained, self._shares))
        self._is_choice = best == self._choice[:, None]
        self._trained = summary.column >= 0
        self._own = tuple(values[self._images, summary.column] for values in (summary.trained, self._shares))
        own = stacked[self._images, summary.column]
        self._others = (stacked > own[:, None]).sum(axis=1)  # above a true label that is trained
        self._mass = [_log_mass(stacked, temperature) for temperature in config.temperatures]

    def outcome(self, rule: StackingRule) -> _Outcome:
        """Return what `_outcome` returns for a rule with a first choice and this confidence."""
        summary, first = self._summary, rule.first
        assert first is not None
        place = self._config.temperatures.index(first.temperature)
        mass = summary.mass(first.temperature)
        rest = np.logaddexp(self._mass[place] - rule.penalty / first.temperature, mass)
        log_first = rest + first.log_odds(self._highest)
        total = np.logaddexp(rest, log_first)
        score = (first.temperature * log_first).astype(summary.trained.dtype)
        best = rule.stacked(*self._best)
        best[self._is_choice] = -np.inf
        chosen = summary.column == self._choice
        own = np.where(self._trained, rule.stacked(*(values[:, None] for values in self._own))[:, 0], summary.own)
        own[chosen] = score[chosen]
        others = np.where(self._trained, (summary.rivals > own[:, None]).sum(axis=1), summary.above)
        by_rank = self._trained & ~chosen
        above = others + np.where(by_rank, self._others, (best > own[:, None]).sum(axis=1)) + (score > own)
        sure = np.exp(score / first.temperature - total)
        return _Outcome(above.astype(np.int64), total - own / first.temperature, sure)


def _share(
    outcomes: Sequence[_Outcome], folds: Sequence[_Fold], hits_of: Callable[[_Outcome], _Hits], *, unseen: bool
) -> float:
    """Return the per cent of hits among the photos of left-out (`unseen`) or of trained classes."""
    pairs = zip(outcomes, folds, strict=True)
    return _percent([hits_of(outcome)[fold.unseen == unseen] for outcome, fold in pairs])


def _harmonic(outcomes: Sequence[_Outcome], folds: Sequence[_Fold], k: int) -> float:
    """Return the harmonic mean of hit@k on trained classes and on those left out (Xian et al. 2018)."""
    seen, unseen = (_share(outcomes, folds, lambda outcome: outcome.above < k, unseen=side) for side in (False, True))
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def _loss(outcomes: Sequence[_Outcome], folds: Sequence[_Fold]) -> float:
    """Compute the mean surprise, with equal weight for photos of trained and of left-out classes."""
    pairs = list(zip(outcomes, folds, strict=True))
    sides = (
        np.concatenate([outcome.surprise[fold.unseen == side] for outcome, fold in pairs]) for side in (False, True)
    )
    return sum(float(side.mean()) for side in sides)


def _best_temperature(summaries: Sequence[_Summary], config: CalibrationConfig) -> float:
    """Find the most likely temperature of a scorer that treats trained labels like all others.

    The loss is convex in 1 / temperature, so that the loss of two neighbours shows on which side the best one is: 5
    losses of 20 temperatures are enough, and only their masses are computed.
    """
    folds, rule = [summary.fold for summary in summaries], StackingRule(0.0, 0.0)

    @cache
    def loss(place: int) -> float:
        return _loss([_outcome(summary, rule, config, config.temperatures[place]) for summary in summaries], folds)

    low, high = 0, len(config.temperatures) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if loss(middle) <= loss(middle + 1) else (middle + 1, high)
    return config.temperatures[low]


def _log_mass(scores: Scores, temperature: float) -> Float64[np.ndarray, "images"]:
    """Return the log of the sum of exp(score / temperature), computed for a few photos at a time."""
    mass = np.empty(len(scores))
    for start in range(0, len(scores), _BLOCK):
        scaled = scores[start : start + _BLOCK] / np.float32(temperature)
        mass[start : start + _BLOCK] = log_sum_exp(scaled, overwrite=True)
    return mass


def _percent(hits: Sequence[_Hits]) -> float:
    return 100 * float(np.concatenate(hits).mean())


def _folds(
    photos: PhotoFeatures,
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
        trained = np.flatnonzero(folds != fold)
        rest = Classifier(classifier.weight[trained], classifier.bias[trained])
        space = LabelSpace(labels, placed(raw, centre_of(raw[trained])))
        evidence = rest.evidence(photos.features)
        cosines = {}
        if surgeon is not None:
            devise = DeviseScorer(space, surgeon(space.vectors[trained], rest.weight))
            conse = ConseScorer(space, space.vectors[trained], conse_top)
            cosines = {"devise": devise.scores(evidence), "conse": conse.scores(evidence)}
            if kernel is None:
                cosines["fused"] = FusedScorer(devise, conse, trained).scores(evidence)
        if kernel is not None:
            fitted = fit_kernel(kernel.config, space.vectors, trained, rest.weight, text=kernel.text)
            placing = KernelScorer(LabelSpace(labels, fitted.places), fitted.axes)
            near = ConseScorer(placing.space, fitted.places[trained], conse_top)
            cosines["kernel"] = placing.scores(evidence)
            cosines["fused"] = FusedScorer(placing, near, trained, share=kernel.share).scores(evidence)
        unseen = folds[photos.truth] == fold
        yield _Fold(
            cosines,
            None if prior is None else prior(trained),
            evidence.probabilities,
            trained,
            photos.truth,
            unseen,
            (trained[evidence.logits.argmax(axis=1)] == photos.truth)[~unseen],
        )


def logistic(
    rows: Float64[np.ndarray, "cases columns"],
    target: Float64[np.ndarray, "cases"],
    ridge: float,
    weight: Float64[np.ndarray, "cases"] | None = None,
) -> Float64[np.ndarray, "columns"]:
    """Fit a logistic regression: return the coefficients of the highest penalised likelihood, by Newton's method.

    rows: the last column is the constant, which the ridge leaves alone. target: 1 or 0. weight: of each case; None is
    1 for all.
    """
    penalty = ridge * np.eye(rows.shape[1])
    penalty[-1, -1] = 0
    weight = np.ones(len(target)) if weight is None else weight
    coefficients = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(rows @ coefficients, -500, 500)))
        gradient = rows.T @ (weight * (expected - target)) + penalty @ coefficients
        bend = (rows * (weight * expected * (1 - expected))[:, None]).T @ rows + penalty
        step = np.linalg.lstsq(bend, gradient, rcond=None)[0]  # where all targets are alike the constant has no end
        coefficients -= step
        if np.abs(step).max() < 1e-8:
            break
    return coefficients
