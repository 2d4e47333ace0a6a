from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import TrainingError, UsageError
from devise.vision.featurestore import FeatureStore

torch: Any = pytest.importorskip("torch")

from devise.training.batches import Sampler  # noqa: E402
from devise.training.engine import train  # noqa: E402
from devise.training.surgery import (  # noqa: E402
    FeatureRows,
    SurgeryConfig,
    SurgeryHead,
    SurgeryTask,
    held_out,
)


def test_held_out_is_a_share_of_every_class():
    truth = np.repeat(np.arange(4), [10, 20, 40, 3])
    held = held_out(truth, 0.1, 7)
    assert [int(held[truth == label].sum()) for label in range(4)] == [1, 2, 4, 0]
    assert np.array_equal(held, held_out(truth, 0.1, 7))
    assert not np.array_equal(held, held_out(truth, 0.1, 8))
    assert not held_out(truth, 0.0, 7).any()
    assert not (held_out(truth, 0.05, 7) & ~held).any()  # a smaller share is a part of a larger one


def task(root: Path, config: SurgeryConfig, vectors: np.ndarray) -> SurgeryTask:
    """Features that a rotation and noise were put on: a linear map can undo it."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(vectors), 240)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0].astype(np.float32)
    features = (np.pad(vectors[truth], ((0, 0), (0, 6 - vectors.shape[1]))) @ turn).astype(np.float32)
    features += 0.1 * rng.standard_normal(features.shape, dtype=np.float32)
    root.mkdir()
    features.tofile(root / "features.f32")
    mapped = np.memmap(root / "features.f32", np.float32, "r", shape=features.shape)
    store = FeatureStore(root, "", "", mapped, np.arange(240), truth, ("a",), (), 0)
    held = held_out(truth, 0.2, 0)
    start = 0.1 * rng.standard_normal((vectors.shape[1], 6), dtype=np.float32)  # at zero a cosine has no slope
    head = SurgeryHead(start, vectors, tuned=config.labels == "tuned")
    return SurgeryTask(FeatureRows(store), truth, held, head, config, "x")


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(3).standard_normal((8, 4)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("loss", ["first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2"])
def test_every_loss_learns(tmp_path: Path, loss: Any):
    config = SurgeryConfig(loss=loss, epochs=25, batch=32, rate=0.03, k=3)
    made = task(tmp_path / "store", config, vectors())
    outcome = train(made, config, tmp_path / "run")
    assert outcome.measures["hit@1"] > 70  # chance is 12.5
    assert made.name(0).startswith("photo ")


@pytest.mark.parametrize("dim", [3, 8, 11])
@pytest.mark.parametrize("tuned", [False, True])
def test_turning_the_space_changes_no_score(dim: int, tuned: bool):
    """Fewer labels than dimensions and more: what comes out is what went in, and t . Mv is as it was."""
    rng = np.random.default_rng(dim)
    labels = rng.standard_normal((8, dim)).astype(np.float32)
    labels /= np.linalg.norm(labels, axis=1, keepdims=True)
    start = rng.standard_normal((dim, 6)).astype(np.float32)
    head = SurgeryHead(start, labels, tuned=tuned)
    np.testing.assert_allclose(head.surgery(), start, atol=1e-5)
    np.testing.assert_allclose(head.label_vectors(), labels, atol=1e-6)
    features = rng.standard_normal((4, 6)).astype(np.float32)
    places, turned = head(torch.from_numpy(features))
    np.testing.assert_allclose((places @ turned.T).detach().numpy(), features @ start.T @ labels.T, atol=1e-4)
    assert turned.shape[1] == (dim if tuned else min(dim, 8))
    spreads = np.square(turned.detach().numpy()).sum(axis=0)
    assert (np.diff(spreads) < 1e-5).all()  # the axes are the principal ones, the longest first


def test_what_the_labels_do_not_span_stays_as_it_was(tmp_path: Path):
    few = vectors()[:2]
    config = SurgeryConfig(epochs=3, batch=32, rate=0.03, weight_decay=0.5)
    made = task(tmp_path / "store", config, few)
    before = made.module.surgery()
    train(made, config, tmp_path / "run")
    moved = made.module.surgery() - before
    inside = few.T @ np.linalg.pinv(few.T)  # projects onto the plane of the two
    assert np.abs(moved).max() > 0.01
    np.testing.assert_allclose(inside @ moved, moved, atol=1e-5)


def test_labels_with_an_axis_each_and_an_offset_are_a_softmax_classifier(tmp_path: Path):
    """One step of gradient descent, by hand: W - rate (p - y) f, and the same of the biases."""
    rng = np.random.default_rng(0)
    head = SurgeryHead(np.zeros((3, 4), np.float32), np.eye(3, dtype=np.float32), tuned=False, biased=True)
    features, truth = rng.standard_normal((1, 4)).astype(np.float32), 1
    places, labels = head(torch.from_numpy(features))
    torch.nn.functional.cross_entropy(places @ labels.T, torch.tensor([truth])).backward()
    torch.optim.SGD(head.parameters(), lr=0.5).step()
    wrong = np.full(3, 1 / 3) - np.eye(3)[truth]
    np.testing.assert_allclose(head.surgery(), -0.5 * np.outer(wrong, features[0]), atol=1e-6)
    places, labels = head(torch.zeros(1, 4))
    np.testing.assert_allclose((places @ labels.T).detach().numpy()[0], -0.5 * wrong, atol=1e-6)


@pytest.mark.parametrize("loss", ["first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2"])
def test_every_loss_learns_with_products_in_bfloat16(tmp_path: Path, loss: Any):
    config = SurgeryConfig(loss=loss, epochs=25, batch=32, rate=0.03, k=3, bf16=True)
    outcome = train(task(tmp_path / "store", config, vectors()), config, tmp_path / "run")
    assert outcome.measures["hit@1"] > 70


def test_a_strong_pull_keeps_tuned_labels(tmp_path: Path):
    moved = {}
    for pull in (0.0, 100.0):
        config = SurgeryConfig(labels="tuned", pull=pull, label_share=1.0, epochs=5, batch=32, rate=0.03)
        made = task(tmp_path / f"store-{pull}", config, vectors())
        train(made, config, tmp_path / f"run-{pull}")
        moved[pull] = float(np.linalg.norm(made.module.label_vectors() - vectors()))
    assert moved[100.0] < moved[0.0] / 2


def test_a_label_without_a_vector_is_refused(tmp_path: Path):
    without = vectors()
    without[2] = 0
    with pytest.raises(TrainingError, match="no label vector"):
        task(tmp_path / "store", SurgeryConfig(), without)
    with pytest.raises(UsageError, match="holdout must be"):
        SurgeryConfig(holdout=1.0)
    with pytest.raises(UsageError, match="temperature must be"):
        SurgeryConfig(temperature=0.0)


def test_the_first_violator_is_drawn_alike_by_one_process_and_two(tmp_path: Path):
    """The gradients of two halves of a batch, averaged, are the gradient of the whole."""
    config = SurgeryConfig(loss="first-violator", batch=64)
    made = task(tmp_path / "store", config, vectors())
    with torch.no_grad():
        made.module.map.normal_(generator=torch.Generator().manual_seed(1))

    def gradient(rank: int, world: int) -> Any:
        batch = Sampler(len(made), 64, 0, rank, world).batches(0)[1]
        made.module.zero_grad()
        made.loss(made.module, batch).backward()
        return made.module.map.grad.clone()

    halves = (gradient(0, 2) + gradient(1, 2)) / 2
    assert torch.allclose(halves, gradient(0, 1), atol=1e-6)
    assert halves.abs().max() > 1e-3
