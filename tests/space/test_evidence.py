import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from devise.space.evidence import Classifier, Evidence, log_sum_exp, softmax

LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 8)),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(LOGITS)
def test_softmax_against_exact_sums(logits: np.ndarray):
    found = softmax(logits)
    assert found.dtype == np.float32
    for row, shares in zip(logits.tolist(), found.tolist(), strict=True):
        powers = [math.exp(x - max(row)) for x in row]
        wanted = [power / math.fsum(powers) for power in powers]
        assert shares == pytest.approx(wanted, rel=1e-4, abs=1e-7)


@given(LOGITS)
def test_softmax_rows_sum_to_one_and_keep_the_order(logits: np.ndarray):
    found = softmax(logits)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    order = np.argsort(logits, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= 0).all()


def test_softmax_without_overflow_or_underflow_to_nothing():
    largest = 1.5e38  # the difference of two still fits float32
    found = softmax(np.array([[largest, 0, -largest], [-largest, -largest, -largest]], dtype=np.float32))
    assert found[0].tolist() == [1, 0, 0]
    np.testing.assert_allclose(found[1], 1 / 3)


def test_softmax_leaves_the_logits_alone():
    logits = np.array([[1, 2]], dtype=np.float32)
    softmax(logits)
    assert logits.tolist() == [[1, 2]]


def test_a_constant_on_all_logits_changes_nothing():
    logits = np.array([[1, 2, 4]], dtype=np.float32)
    np.testing.assert_allclose(softmax(logits + 8), softmax(logits), rtol=1e-6)


def test_classifier_by_hand():
    classifier = Classifier(np.array([[1, 2], [0, -1]], np.float32), np.array([0.5, 3], np.float32))
    evidence = classifier.evidence(np.array([[1, 1], [2, 0], [0, 0]], np.float32))
    assert evidence.logits.tolist() == [[3.5, 2], [2.5, 3], [0.5, 3]]
    assert len(evidence) == 3
    assert evidence.probabilities[0].tolist() == pytest.approx([1 / (1 + math.exp(-1.5)), 1 / (1 + math.exp(1.5))])


def test_probabilities_are_worked_out_once():
    evidence = Evidence(np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32))
    assert evidence.probabilities is evidence.probabilities


def test_no_picture_is_no_problem():
    classifier = Classifier(np.ones((3, 2), np.float32), np.zeros(3, np.float32))
    evidence = classifier.evidence(np.empty((0, 2), np.float32))
    assert evidence.probabilities.shape == (0, 3)


def test_log_sum_exp_by_hand():
    rows = np.array([[0.0, math.log(3)], [-np.inf, -np.inf], [1000.0, 1000.0]])
    assert log_sum_exp(rows) == pytest.approx([math.log(4), -math.inf, 1000 + math.log(2)])
    assert log_sum_exp(rows, overwrite=True)[0] == pytest.approx(math.log(4))
