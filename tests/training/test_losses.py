from collections import Counter
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import UsageError

torch: Any = pytest.importorskip("torch")
losses: Any = pytest.importorskip("devise.training.losses")

NAMES = ("first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2")


def reference() -> ModuleType:
    return import_module("reference.ranking_loss")


SLOW = reference()


def case(seed: int, images: int, labels: int, dim: int, kind: Any = None) -> tuple[Any, Any, Any]:
    made = torch.Generator().manual_seed(seed)
    kind = kind or torch.float64
    projected = torch.randn(images, dim, generator=made, dtype=kind)
    vectors = torch.nn.functional.normalize(torch.randn(labels, dim, generator=made, dtype=kind), dim=1)
    return projected, vectors, torch.randint(0, labels, (images,), generator=made)


def value(name: str, projected: Any, vectors: Any, truth: Any) -> Any:
    order = torch.rand(len(projected), len(vectors), generator=torch.Generator().manual_seed(3)).double() + 1e-3
    made = {
        "first-violator": lambda: losses.first_violator_loss(projected, vectors, truth, 0.1, order),
        "all-negatives": lambda: losses.all_negatives_loss(projected, vectors, truth, 0.1),
        "hardest": lambda: losses.hardest_loss(projected, vectors, truth, 0.1, 2),
        "softmax-cosine": lambda: losses.softmax_cosine_loss(projected, vectors, truth, 0.2),
        "softmax-dot": lambda: losses.softmax_dot_loss(projected, vectors, truth),
        "l2": lambda: losses.l2_loss(projected, vectors, truth),
    }
    return made[name]()


def test_values_by_hand():
    # Labels (1, 0), (0, 1), (0.6, 0.8); a picture of the first at (0.5, 0.5): scores 0.5, 0.5, 0.7.
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    projected, truth = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    # 0.1 - 0.5 + 0.5 = 0.1 and 0.1 - 0.5 + 0.7 = 0.3
    assert losses.all_negatives_loss(projected, vectors, truth, 0.1).item() == pytest.approx(0.4)
    assert losses.hardest_loss(projected, vectors, truth, 0.1, 1).item() == pytest.approx(0.3)
    assert losses.hardest_loss(projected, vectors, truth, 0.1, 9).item() == pytest.approx(0.4)
    early = torch.tensor([[0.1, 0.2, 0.9]])  # the own label first, then the second: that violates
    assert losses.first_violator_loss(projected, vectors, truth, 0.1, early).item() == pytest.approx(0.1)
    late = torch.tensor([[0.1, 0.9, 0.2]])
    assert losses.first_violator_loss(projected, vectors, truth, 0.1, late).item() == pytest.approx(0.3)
    # (0.5 - 1)^2 + 0.5^2
    assert losses.l2_loss(projected, vectors, truth).item() == pytest.approx(0.5)
    # cosines sqrt(1/2), sqrt(1/2), 1.4 sqrt(1/2); temperature 1
    own, best = 2**-0.5, 1.4 * 2**-0.5
    wanted = -own + np.log(2 * np.exp(own) + np.exp(best))
    assert losses.softmax_cosine_loss(projected, vectors, truth, 1.0).item() == pytest.approx(wanted)
    wanted = -0.5 + np.log(2 * np.exp(0.5) + np.exp(0.7))
    assert losses.softmax_dot_loss(projected, vectors, truth).item() == pytest.approx(wanted)


def test_no_violator_no_loss_and_no_gradient():
    vectors = torch.eye(3)
    projected = (2 * torch.eye(3)).requires_grad_()
    for name in ("first-violator", "all-negatives", "hardest"):
        loss = value(name, projected, vectors, torch.arange(3))
        loss.backward()
        assert loss.item() == 0
        assert not projected.grad.any()


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 8), st.integers(1, 5), st.integers(1, 8))
@settings(max_examples=40)
def test_the_slow_loop_agrees(seed: int, images: int, labels: int, dim: int, k: int):
    projected, vectors, truth = case(seed, images, labels, dim)
    arrays = (projected.numpy(), vectors.numpy(), truth.tolist(), 0.1)
    assert losses.all_negatives_loss(projected, vectors, truth, 0.1).item() == pytest.approx(
        SLOW.all_negatives(*arrays), abs=1e-12
    )
    assert losses.hardest_loss(projected, vectors, truth, 0.1, k).item() == pytest.approx(
        SLOW.hardest(*arrays, k), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: str):
    projected, vectors, truth = case(1, 5, 7, 4)
    inputs = (projected.requires_grad_(), vectors.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, t: value(name, p, t, truth), inputs, eps=1e-7, atol=1e-5)


def test_gradcheck_would_notice():
    projected, vectors, truth = case(1, 5, 7, 4)
    wrong = losses.all_negatives_loss(projected.requires_grad_(), vectors, truth, 0.1)
    wrong.backward()
    step = torch.zeros_like(projected)
    step[0, 0] = 1e-6
    after = losses.all_negatives_loss(projected.detach() + step, vectors, truth, 0.1)
    slope = (after - wrong.detach()) / 1e-6
    assert projected.grad[0, 0].item() == pytest.approx(slope.item(), abs=1e-4)
    assert abs(slope.item()) > 1e-2


def test_the_first_violator_is_each_violator_equally_often():
    """10,000 draws over 4 violators of 6 labels; the slow loop draws by permutation. 5 sigma of 2,500 is 217."""
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.3], [1.1, 0.0], [-1.0, 0.0], [0.95, 0.0]])
    draws, violators = 10_000, {1, 2, 3, 5}
    projected = torch.tensor([[1.0, 0.0]])
    truth = torch.zeros(draws, dtype=torch.int64)
    many = projected.repeat(draws, 1).requires_grad_()
    order = 1 - torch.rand(draws, len(vectors), generator=torch.Generator().manual_seed(0))
    losses.first_violator_loss(many, vectors, truth, 0.25, order).backward()
    pulls = many.grad * draws + vectors[0]  # what is left is the vector of the label it stopped at
    found = Counter((pulls[:, None] - vectors).abs().sum(dim=2).argmin(dim=1).tolist())
    rng = np.random.default_rng(0)
    _, stopped = SLOW.first_violator(projected.repeat(draws, 1).numpy(), vectors.numpy(), [0] * draws, 0.25, rng)
    for counts in (found, Counter(stopped)):
        assert set(counts) == violators
        assert all(abs(count - draws / 4) < 217 for count in counts.values())


def test_no_hardest_label():
    with pytest.raises(UsageError, match="1 or more hardest labels, got 0"):
        losses.hardest_loss(*case(0, 1, 2, 2), 0.1, 0)
