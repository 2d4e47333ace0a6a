import math
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import DeviseError, UsageError
from devise.space.evidence import Classifier, softmax
from devise.space.kernel import KernelConfig
from devise.space.labelspace import centre_of, placed, unit_rows
from devise.space.scorers import FirstChoice, StackingRule
from devise.space.surgery import image_free_surgery
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training import calibration
from devise.training.calibration import (
    CalibrationConfig,
    Choice,
    KernelPlan,
    Scattered,
    calibrate,
    left_out_folds,
    scattered_folds,
)
from devise.training.photofeatures import PhotoFeatures

RIDGE, CONSE_TOP, K = 0.3, 3, 3
CONFIG = CalibrationConfig(
    folds=3,
    confidences=(0.1, 0.4, 1.0, 2.0),
    penalties=(0.0, 0.1, 0.2, 0.4, 0.8),
    temperatures=(0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6),
    most_seen_loss=15.0,
    k=K,
)


@dataclass(frozen=True, eq=False)
class Problem:
    """Classes whose features lie around their rows of the classifier, and label vectors that follow these."""

    photos: PhotoFeatures
    classifier: Classifier
    raw: np.ndarray
    folds: np.ndarray
    scattered: Scattered


def made_up(seed: int, classes: int = 9, others: int = 6, features: int = 5, dim: int = 4, each: int = 5) -> Problem:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((classes, features))
    truth = np.repeat(np.arange(classes), each)
    shown = 0.8 * weight[truth] + 0.8 * rng.standard_normal((len(truth), features))
    meaning = weight @ rng.standard_normal((features, dim)) / 2 + 0.4 * rng.standard_normal((classes, dim)) + 0.3
    raw = np.concatenate([meaning, rng.standard_normal((others, dim)) + 0.3]).astype(np.float32)
    folds = np.arange(classes) % 3
    rng.shuffle(folds)
    return Problem(
        PhotoFeatures(shown.astype(np.float32), truth),
        Classifier(weight.astype(np.float32), rng.standard_normal(classes, dtype=np.float32) / 4),
        unit_rows(raw),
        folds,
        Scattered(rng.permutation(classes) % 3, rng.random(classes) < 0.7),
    )


def surgeon(vectors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return image_free_surgery(vectors, weight, RIDGE)


def calibrated(problem: Problem, config: CalibrationConfig = CONFIG) -> Choice:
    return calibrate(
        problem.photos,
        problem.classifier,
        problem.raw,
        problem.folds,
        problem.scattered,
        surgeon=surgeon,
        conse_top=CONSE_TOP,
        config=config,
    )


@dataclass(frozen=True)
class Seen:
    """One photo in one fold, as the definition has it."""

    left_out: bool
    truth: int
    trained: list[int]
    shares: list[float]
    softmax_right: bool
    cosines: dict[str, list[float]]

    def stacked(self, name: str, rule: StackingRule) -> list[float]:
        scores = list(self.cosines[name])
        for place, share in zip(self.trained, self.shares, strict=True):
            scores[place] += rule.confidence * share - rule.penalty
        if rule.first is not None:
            rest = math.fsum(
                math.exp(score / rule.first.temperature) for i, score in enumerate(scores) if i != self.choice
            )
            sure = 1 / (1 + math.exp(-(rule.first.slope * self.odds + rule.first.offset)))
            scores[self.choice] = rule.first.temperature * math.log(sure / (1 - sure) * rest)
        return scores

    @property
    def choice(self) -> int:
        """Position of the classifier's most probable label."""
        return self.trained[self.shares.index(max(self.shares))]

    @property
    def odds(self) -> float:
        return math.log(max(self.shares) / (1 - max(self.shares)))

    def rank(self, scores: list[float], among: list[int] | None = None) -> int:
        """How many labels score above the true one."""
        return sum(scores[i] > scores[self.truth] for i in (range(len(scores)) if among is None else among))


def dense_surgery(vectors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    left = np.vstack([vectors, math.sqrt(RIDGE) * np.eye(vectors.shape[1])])
    right = np.vstack([weight - weight.mean(axis=0), np.zeros((vectors.shape[1], weight.shape[1]))])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def look(slow: ModuleType, problem: Problem) -> list[Seen]:
    """Every photo in every fold, with full score rows, in float64."""
    found = []
    raw = problem.raw.astype(np.float64)
    for fold in sorted(set(problem.folds.tolist())):
        trained = [i for i, one in enumerate(problem.folds.tolist()) if one != fold]
        centre = np.mean([raw[i] for i in trained], axis=0).tolist()
        labels = [slow.placed(row, centre) for row in raw.tolist()]
        weight = problem.classifier.weight.astype(np.float64)[trained]
        surgery = dense_surgery(np.array([labels[i] for i in trained]), weight).tolist()
        for features, truth in zip(problem.photos.features.tolist(), problem.photos.truth.tolist(), strict=True):
            logits = [
                slow.dot(row, features) + float(problem.classifier.bias[i])
                for i, row in zip(trained, weight.tolist(), strict=True)
            ]
            shares = slow.softmax(logits)
            devise = slow.devise(features, surgery)
            conse = slow.conse(shares, [labels[i] for i in trained], CONSE_TOP)
            queries = {"devise": devise, "conse": conse, "fused": slow.fused(devise, conse)}
            cosines = {name: [slow.cosine(query, label) for label in labels] for name, query in queries.items()}
            right = trained[logits.index(max(logits))] == truth
            found.append(Seen(truth not in trained, truth, trained, shares, right, cosines))
    return found


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def loss(seen: list[Seen], name: str, rule: StackingRule, temperature: float) -> float:
    """Mean of -log p(true label) over photos of trained classes, plus the same over photos of those left out."""
    parts: dict[bool, list[float]] = {False: [], True: []}
    for one in seen:
        scores = one.stacked(name, rule)
        total = math.fsum(math.exp(score / temperature) for score in scores)
        parts[one.left_out].append(math.log(total) - scores[one.truth] / temperature)
    return mean(parts[False]) + mean(parts[True])


def per_cent(seen: list[Seen], rule: StackingRule, left_out: bool, k: int) -> float:
    """hit@k of one kind of photos, all labels candidates."""
    return 100 * mean([one.rank(one.stacked("fused", rule)) < k for one in seen if one.left_out == left_out])


def likelihood(seen: list[Seen], slope: float, offset: float) -> float:
    """The log likelihood, less the ridge, that first choices are right; both kinds of photos weigh alike."""
    total = -0.01 / 2 * slope**2
    for one in seen:
        weight = 0.5 / mean([float(other.left_out == one.left_out) for other in seen])
        odds = slope * one.odds + offset
        total -= weight * math.log1p(math.exp(-odds if one.softmax_right else odds))
    return total


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_the_choice_is_the_one_of_the_definition(slow: ModuleType, seed: int):
    problem = made_up(seed)
    seen = look(slow, problem)
    softmax = 100 * mean([one.softmax_right for one in seen if not one.left_out])
    only = 100 * mean(
        [
            one.rank(one.cosines["fused"], [i for i in range(len(problem.raw)) if i not in one.trained]) < K
            for one in seen
            if one.left_out
        ]
    )
    found = calibrated(problem)
    first = found.stacking.first
    assert first is not None
    apart = look(slow, replace(problem, folds=problem.scattered.folds))
    hard = [one for one in apart if not one.left_out or problem.scattered.close[one.truth]]
    best = likelihood(hard, first.slope, first.offset)
    for slope, offset in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, -0.01), (-0.01, 0.01)):
        assert likelihood(hard, first.slope + slope, first.offset + offset) < best

    tried = {}
    grid = list(product(CONFIG.penalties, CONFIG.confidences, CONFIG.temperatures))
    for penalty, confidence, temperature in grid:
        rule = StackingRule(penalty, confidence, replace(first, temperature=temperature))
        if per_cent(seen, rule, False, 1) >= softmax - CONFIG.most_seen_loss:
            kept, left_out = per_cent(seen, rule, False, K), per_cent(seen, rule, True, K)
            tried[rule] = 2 / (1 / max(kept, 1e-9) + 1 / max(left_out, 1e-9)), -loss(seen, "fused", rule, temperature)
    assert 0 < len(tried) < len(grid), "the problem tells nothing"
    rule = max(tried, key=lambda one: tried[one])
    none = StackingRule(0.0, 0.0)
    temperatures = {
        name: min(CONFIG.temperatures, key=lambda t, name=name: loss(seen, name, none, t))
        for name in ("devise", "conse")
    }
    assert found.stacking == rule
    assert found.temperatures == {"fused": rule.first.temperature, **temperatures}
    assert found.seen_hit1 == pytest.approx(per_cent(seen, rule, False, 1))
    assert found.seen_hit == pytest.approx(per_cent(seen, rule, False, K))
    assert found.unseen_hit == pytest.approx(per_cent(seen, rule, True, K))
    assert (found.softmax_hit1, found.unseen_only_hit) == pytest.approx((softmax, only))
    mistaken = []
    for one in seen:
        if one.left_out:
            scores = one.stacked("fused", rule)
            total = math.fsum(math.exp(score / rule.first.temperature) for score in scores)
            mistaken.append(math.exp(scores[one.choice] / rule.first.temperature) / total >= 0.5)
    assert found.mistaken == pytest.approx(100 * mean(mistaken))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_weight_of_the_prior_is_the_likeliest_one_on_classes_left_out(slow: ModuleType, seed: int):
    problem = made_up(seed)
    config = replace(CONFIG, priors=(0.0, 0.1, 0.3), familiarities=(0.0, 0.7), prior_temperatures=(0.05, 0.2))
    known, familiar = np.random.default_rng(seed).random((2, len(problem.raw)), dtype=np.float32)
    seen = [one for one in look(slow, problem) if one.left_out]
    losses = {}
    for weight, share, temperature in product(config.priors, config.familiarities, config.prior_temperatures):
        total = 0.0
        for one in seen:
            scores = [
                cosine + weight * float(known[i] + share * familiar[i]) for i, cosine in enumerate(one.cosines["fused"])
            ]
            rivals = [math.exp(score / temperature) for i, score in enumerate(scores) if i not in one.trained]
            total += math.log(math.fsum(rivals)) - scores[one.truth] / temperature
        losses[weight, share, temperature] = total
    found = calibrate(
        problem.photos, problem.classifier, problem.raw, problem.folds, problem.scattered,
        surgeon=surgeon, conse_top=CONSE_TOP,
        config=replace(config, most_seen_loss=100.0), prior=lambda kept: known, familiar=familiar,
    )  # fmt: skip
    weight, share, _ = min(losses, key=lambda tried: losses[tried])
    assert (found.prior, found.familiarity) == (weight, share if weight else 0.0)
    assert calibrated(problem).prior == 0.0


def test_where_no_class_has_a_sister_all_that_are_left_out_count():
    problem = made_up(1)
    lone, every = (
        replace(problem, scattered=replace(problem.scattered, close=np.full(9, one))) for one in (False, True)
    )
    assert calibrated(lone).stacking.first == calibrated(every).stacking.first


def test_the_order_of_photos_does_not_matter():
    problem = made_up(1)
    order = np.random.default_rng(0).permutation(len(problem.photos.truth))
    turned = replace(problem, photos=PhotoFeatures(problem.photos.features[order], problem.photos.truth[order]))
    assert calibrated(turned) == calibrated(problem)


def test_more_photos_than_a_block():
    problem = made_up(2, each=9)
    assert len(problem.photos.truth) > 64
    twice = replace(
        problem,
        photos=PhotoFeatures(np.concatenate([problem.photos.features] * 2), np.concatenate([problem.photos.truth] * 2)),
    )
    one, two = calibrated(problem), calibrated(twice)
    assert (two.stacking.penalty, two.stacking.confidence) == (one.stacking.penalty, one.stacking.confidence)
    assert two.temperatures == one.temperatures
    assert two.seen_hit1 == pytest.approx(one.seen_hit1)


def test_what_is_chosen_keeps_what_was_asked():
    for most in (0.0, 15.0, 100.0):
        try:
            found = calibrated(made_up(3), replace(CONFIG, most_seen_loss=most))
        except UsageError:
            continue
        assert found.seen_hit1 >= found.softmax_hit1 - most


def test_no_rule_keeps_what_was_asked():
    with pytest.raises(UsageError, match="no stacking rule keeps"):
        calibrated(made_up(0), replace(CONFIG, most_seen_loss=-100.0))


def test_a_surgeon_sees_trained_classes_that_are_kept_only():
    problem = made_up(0)
    asked = []

    def watching(vectors: np.ndarray, weight: np.ndarray) -> np.ndarray:
        asked.append((vectors.copy(), weight.copy()))
        return surgeon(vectors, weight)

    calibrate(
        problem.photos,
        problem.classifier,
        problem.raw,
        problem.folds,
        problem.scattered,
        surgeon=watching,
        conse_top=CONSE_TOP,
        config=CONFIG,
    )
    assert len(asked) == 3
    for fold, (vectors, weight) in enumerate(asked):
        np.testing.assert_array_equal(weight, problem.classifier.weight[problem.folds != fold])
        assert len(vectors) == len(weight)


def test_classes_that_were_left_out_leave_no_trace_in_the_classifier():
    """The row of a class left out may be anything: in its own fold nothing of it is used."""
    problem = made_up(4)
    only_first = replace(problem, folds=np.where(problem.folds == 0, 0, 1))
    shown = np.isin(problem.photos.truth, np.flatnonzero(only_first.folds == 0))
    weight = problem.classifier.weight.copy()
    weight[only_first.folds == 0] = 1e3
    found = []
    for rows in (problem.classifier.weight, weight):
        changed = replace(only_first, classifier=Classifier(rows, problem.classifier.bias))
        seen = []

        def watching(vectors: np.ndarray, kept: np.ndarray, seen: list[np.ndarray] = seen) -> np.ndarray:
            seen.append(kept.copy())
            return surgeon(vectors, kept)

        try:
            calibrate(
                changed.photos, changed.classifier, changed.raw, changed.folds, changed.scattered,
                surgeon=watching, conse_top=CONSE_TOP, config=replace(CONFIG, most_seen_loss=100.0),
            )  # fmt: skip
        finally:
            found.append(seen[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert shown.any()


# Folds.


def test_sisters_are_left_out_together():
    taxonomy = default_taxonomy()
    cats = ["n02123045", "n02123159", "n02123394", "n02124075"]  # four kinds of domestic cat
    trained = [*cats, "n02391049", "n02128757", "n02129165", "n03272010", "n00001740"]
    for count in (2, 3, 4, 10):
        folds = left_out_folds(trained, taxonomy, count)
        assert folds.shape == (len(trained),)
        assert ((folds >= 0) & (folds < count)).all()
        by_parent = defaultdict(set)
        for synset_id, fold in zip(trained, folds.tolist(), strict=True):
            parents = taxonomy.synset(synset_id).hypernyms
            by_parent[parents[0] if parents else synset_id].add(fold)
        assert all(len(found) == 1 for found in by_parent.values())
        assert len({int(fold) for fold in folds[:4]}) == 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 6))
@settings(max_examples=50)
def test_folds_depend_on_the_first_hypernym_alone(parents: list[int], count: int):
    root = [Synset(f"n{number:08d}", (f"kind {number}",)) for number in range(31)]
    children = [
        Synset(
            f"n{100 + i:08d}",
            (f"thing {i}",),
            hypernyms=(f"n{parent:08d}", *((f"n{(parent + 1) % 31:08d}",) if i % 2 else ())),
        )
        for i, parent in enumerate(parents)
    ]
    folds = left_out_folds([child.id for child in children], Taxonomy.from_synsets([*root, *children]), count)
    groups = defaultdict(set)
    for parent, fold in zip(parents, folds.tolist(), strict=True):
        groups[parent].add(fold)
    assert all(len(found) == 1 for found in groups.values())
    assert set(folds.tolist()) <= set(range(count))


def test_the_folds_of_the_thousand_classes_are_about_as_large(shared: object):
    from devise.model.candidatefile import read_candidates

    trained = read_candidates(str(shared / "data" / "splits" / "imagenet-testsets.json#train")).ids  # type: ignore[operator]
    counts = np.bincount(left_out_folds(trained, default_taxonomy(), 4))
    assert len(trained) == counts.sum() == 1000
    assert counts.min() > 150


def test_a_class_is_close_if_another_shares_its_first_hypernym():
    root = [Synset(f"n{number:08d}", (f"kind {number}",)) for number in range(3)]
    parents = {"n00000100": 0, "n00000101": 1, "n00000102": 0, "n00000103": 2, "n00000104": 0}
    children = [Synset(one, (one,), hypernyms=(f"n{parent:08d}",)) for one, parent in parents.items()]
    found = scattered_folds(list(parents), Taxonomy.from_synsets([*root, *children]), 4)
    assert found.close.tolist() == [True, False, True, False, True]
    again = scattered_folds([*reversed(parents)], Taxonomy.from_synsets([*root, *children]), 4)
    assert found.folds.tolist() == again.folds.tolist()[::-1], "a fold is that of the id"


def test_sisters_are_scattered(shared: object):
    from devise.model.candidatefile import read_candidates

    trained = read_candidates(str(shared / "data" / "splits" / "imagenet-testsets.json#train")).ids  # type: ignore[operator]
    found = scattered_folds(trained, default_taxonomy(), 4)
    assert np.bincount(found.folds).min() > 200
    assert found.close.sum() == 663


def test_one_fold_leaves_nothing_to_train_on():
    problem = replace(made_up(0), folds=np.zeros(9, dtype=np.int64))
    with pytest.raises(DeviseError, match="no trained label has a vector"):
        calibrated(problem)


def test_a_class_with_photos_but_no_vector_is_refused():
    problem = made_up(2)
    problem.raw[3] = 0  # photos of it can never be named
    with pytest.raises(DeviseError, match="no vector with this label policy"):
        calibrated(problem, replace(CONFIG, most_seen_loss=100.0))


def test_kernel_and_prior_are_made_anew_without_the_classes_left_out():
    """By the definition: each fold's kernel from the classes kept, its scores cosines, the likeliest temperature."""

    def lengthened(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    problem = made_up(2)
    problem = replace(problem, photos=PhotoFeatures(np.abs(problem.photos.features), problem.photos.truth))
    config = KernelConfig(1.0, 0.0, width=0.5, ridge=0.3, rank=99)
    asked: list[list[int]] = []

    def prior(kept: np.ndarray) -> np.ndarray:
        asked.append(kept.tolist())
        return np.zeros(len(problem.raw), np.float32)

    found = calibrate(
        problem.photos, problem.classifier, problem.raw, problem.folds, problem.scattered,
        surgeon=None, conse_top=CONSE_TOP, config=replace(CONFIG, most_seen_loss=100.0),
        kernel=KernelPlan(config, share=0.0), prior=prior,
    )  # fmt: skip
    assert set(found.temperatures) == {"kernel", "fused"}
    assert asked == [np.flatnonzero(problem.folds != fold).tolist() for fold in range(3)]
    losses = dict.fromkeys(CONFIG.temperatures, 0.0)
    for temperature in losses:
        sides: dict[bool, list[float]] = {True: [], False: []}
        for fold in range(3):
            kept = np.flatnonzero(problem.folds != fold)
            vectors = placed(problem.raw, centre_of(problem.raw[kept])).astype(np.float64)
            kernel = np.exp((vectors @ vectors[kept].T - 1) / 0.5)
            rows = problem.classifier.weight[kept].astype(np.float64)
            rows = lengthened(rows - rows.mean(axis=0))
            predicted = lengthened(kernel @ np.linalg.solve(kernel[kept] + 0.3 * np.eye(len(kept)), rows))
            photos = lengthened(np.sqrt(problem.photos.features.astype(np.float64)))
            scores = photos @ predicted.T / temperature
            lost = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(scores)), problem.photos.truth]
            for loss_of_one, truth in zip(lost.tolist(), problem.photos.truth.tolist(), strict=True):
                sides[bool(problem.folds[truth] == fold)].append(loss_of_one)
        losses[temperature] = sum(float(np.mean(side)) for side in sides.values())
    assert found.temperatures["kernel"] == min(losses, key=losses.__getitem__)


def test_a_grid_finds_what_each_rule_finds_alone():
    """The fast way over all rules against the plain one, on photos of classes kept and left out."""
    rng = np.random.default_rng(0)
    images, labels, trained = 60, 300, 80
    config = CalibrationConfig(penalties=(0.0, 0.2, 0.8), confidences=(0.2, 1.6), temperatures=(0.01, 0.05, 0.3))
    truth = rng.integers(0, 100, images)
    cosines = rng.normal(0, 0.15, (images, labels)).astype(np.float32)
    cosines[np.arange(images), truth] += 0.35
    logits = rng.normal(0, 2, (images, trained)).astype(np.float32)
    known = truth < trained
    logits[known, truth[known]] += rng.choice([0, 4, 9], int(known.sum()))
    fold = calibration._Fold(
        {"fused": cosines}, None, softmax(logits), np.arange(trained), truth, ~known, np.ones(1, dtype=bool)
    )
    one = calibration._summary(fold, "fused", config)
    for confidence in config.confidences:
        grid = calibration._Grid(one, confidence, config)
        for penalty, temperature in product(config.penalties, config.temperatures):
            rule = StackingRule(penalty, confidence, FirstChoice(1.3, 0.2, temperature))
            found, expected = grid.outcome(rule), calibration._outcome(one, rule, config)
            assert (np.minimum(found.above, config.k) == np.minimum(expected.above, config.k)).all()
            np.testing.assert_allclose(found.surprise, expected.surprise, rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(found.sure, expected.sure, atol=1e-5)
