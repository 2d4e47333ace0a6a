"""A small classifier with label vectors, and the slow scorers to check against."""

from dataclasses import dataclass

import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier, Evidence
from devise.space.labelspace import LabelSpace, unit_rows

TRAINED, FEATURES, DIM, IMAGES = 6, 5, 4, 7


@dataclass(frozen=True, eq=False)
class Small:
    """Nine labels. The classifier's rows are of labels 7, 1, 4, of one that is not ranked, 0 and 5."""

    space: LabelSpace
    trained_vectors: np.ndarray
    places: np.ndarray
    surgery: np.ndarray
    evidence: Evidence


@pytest.fixture
def small() -> Small:
    rng = np.random.default_rng(11)
    labels = LabelSet(Label(f"n{i:08d}", f"label {i}", seen=i in (0, 1, 4, 5, 7)) for i in range(9))
    vectors = unit_rows(rng.standard_normal((9, DIM), dtype=np.float32))
    places = np.array([7, 1, 4, -1, 0, 5])
    trained = np.where(places[:, None] >= 0, vectors[places], vectors[8] * np.float32(-1))
    classifier = Classifier(
        rng.standard_normal((TRAINED, FEATURES), dtype=np.float32),
        rng.standard_normal(TRAINED, dtype=np.float32),
    )
    features = rng.standard_normal((IMAGES, FEATURES), dtype=np.float32)
    surgery = rng.standard_normal((DIM, FEATURES), dtype=np.float32)
    return Small(LabelSpace(labels, vectors), trained, places, surgery, classifier.evidence(features))
