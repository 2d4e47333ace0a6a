import numpy as np
import pytest

from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier
from devise.space.label_vectors import POLICIES
from devise.training.photofeatures import PhotoFeatures
from tools.policy_trials import TrialSettings, left_out_hits, main, trials

CLASSES, OTHERS, DIM = 12, 8, 6
FOLDS = np.arange(CLASSES) % 3


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    vectors = np.random.default_rng(3).standard_normal((CLASSES + OTHERS, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def labels() -> LabelSet:
    return LabelSet(Label(str(place), str(place), "", place < CLASSES) for place in range(CLASSES + OTHERS))


def hits(raw: np.ndarray, labels: LabelSet, ks: tuple[int, ...], towards: np.ndarray) -> tuple[float, ...]:
    """Photos of each class look as `towards` says; the classifier knows what its own classes look like."""
    photos = PhotoFeatures(towards.astype(np.float32), np.arange(CLASSES))
    classifier = Classifier(10 * raw[:CLASSES], np.zeros(CLASSES, np.float32))
    return left_out_hits(photos, classifier, labels, raw, FOLDS, TrialSettings(0.01, 3, folds=3, ks=ks))


def test_photos_that_look_as_their_label_vector_says_are_found(raw: np.ndarray, labels: LabelSet) -> None:
    right = hits(raw, labels, (1, 3), 10 * raw[:CLASSES])
    wrong = hits(raw, labels, (1, 3), 10 * np.roll(raw[:CLASSES], 5, axis=0))
    assert right[0] > 60 > wrong[0]
    assert right[1] >= right[0]


def test_only_labels_that_are_not_kept_are_rivals(raw: np.ndarray, labels: LabelSet) -> None:
    """4 classes are left out at a time, and 8 labels were never trained: the true one is among the first 12."""
    noise = np.random.default_rng(1).standard_normal((CLASSES, DIM))
    found = hits(raw, labels, (1, 12), noise)
    assert found[1] == 100
    assert found[0] < 100


def test_each_trial_has_a_name_and_those_of_tags_need_tags() -> None:
    plain, tagged = dict(trials(False)), dict(trials(True))
    assert set(POLICIES) - {"retrofitted", "sense-tagged"} <= set(plain)
    assert not any(policy.tags for policy in plain.values())
    assert POLICIES["retrofitted"].retrofit in {policy.retrofit for policy in plain.values()}
    assert POLICIES["sense-tagged"] in tagged.values()


def test_a_model_that_is_none(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--photos", str(tmp_path), "--work", str(tmp_path), "--model", str(tmp_path / "none")]
    with pytest.raises(SystemExit, match="devise: "):
        main(arguments)
