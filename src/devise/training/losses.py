"""Losses of the surgery, as functions of the places of pictures and labels; each is a mean over pictures.

The hinge losses sum over labels j other than the picture's own: max(0, margin - t_own . Mv + t_j . Mv)
(Frome et al. 2013, section 3.3, equation 1). All labels at once is one product forward and one back (two where the
labels are tuned): the scores are turned in place into the hinge and then into its slope.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from devise.arrays import Float, Int64
from devise.errors import UsageError

__all__ = [
    "LOSSES",
    "LossName",
    "all_negatives_loss",
    "first_violator_loss",
    "hardest_loss",
    "l2_loss",
    "softmax_cosine_loss",
    "softmax_dot_loss",
]

LossName = Literal["first-violator", "all-negatives", "hardest", "softmax-cosine", "softmax-dot", "l2"]
LOSSES: tuple[LossName, ...] = get_args(LossName)

_Projected = Float[Tensor, "images dim"]
_Vectors = Float[Tensor, "labels dim"]
_Truth = Int64[Tensor, "images"]
_Scalar = Float[Tensor, ""]


def all_negatives_loss(projected: _Projected, vectors: _Vectors, truth: _Truth, margin: float) -> _Scalar:
    """The hinge summed over all labels but the picture's own.

    projected: M v. vectors: one row per label. truth: the row of each picture's label.
    """
    return _hinge(projected, vectors, truth, margin, lambda hinges: None)


def hardest_loss(projected: _Projected, vectors: _Vectors, truth: _Truth, margin: float, k: int) -> _Scalar:
    """The hinge summed over the k labels where it is largest; all of them if there are fewer."""
    if k < 1:
        raise UsageError(f"the loss needs 1 or more hardest labels, got {k}: raise k")

    def keep(hinges: Tensor) -> None:
        values, places = hinges.topk(min(k, hinges.shape[1]), dim=1, sorted=False)
        hinges.zero_().scatter_(1, places, values)

    return _hinge(projected, vectors, truth, margin, keep)


def first_violator_loss(
    projected: _Projected, vectors: _Vectors, truth: _Truth, margin: float, order: Float[Tensor, "images labels"]
) -> _Scalar:
    """The paper's: labels are visited in random order, and the first that violates the margin is the loss.

    order: for each picture one number per label, above 0; lower is visited earlier. Independent uniform numbers make
    every violator equally likely to be the one. A picture without a violator has no loss.
    """

    def keep(hinges: Tensor) -> None:
        first = torch.where(hinges > 0, order, torch.inf).argmin(dim=1, keepdim=True)
        values = hinges.gather(1, first)
        hinges.zero_().scatter_(1, first, values)

    return _hinge(projected, vectors, truth, margin, keep)


def softmax_cosine_loss(projected: _Projected, vectors: _Vectors, truth: _Truth, temperature: float) -> _Scalar:
    """Cross-entropy of the softmax over cosine / temperature, so that all labels compete at once."""
    scores = functional.normalize(projected, dim=1) @ functional.normalize(vectors, dim=1).T
    return functional.cross_entropy(scores / temperature, truth)


def softmax_dot_loss(projected: _Projected, vectors: _Vectors, truth: _Truth) -> _Scalar:
    """Cross-entropy of the softmax over t . Mv: a softmax classifier whose weights are t M, tied by the label vectors.

    Cosines end at 1, so labels that lie close together cannot be separated by much; a longer Mv can.
    """
    return functional.cross_entropy(projected @ vectors.T, truth)


def l2_loss(projected: _Projected, vectors: _Vectors, truth: _Truth) -> _Scalar:
    """Squared distance to the own label: the loss that the paper found about half as accurate (section 3.3)."""
    return (projected - vectors[truth]).square().sum(dim=1).mean()


def _hinge(projected: Tensor, vectors: Tensor, truth: Tensor, margin: float, keep: Callable[[Tensor], None]) -> Tensor:
    loss: Tensor = _Hinge.apply(projected, vectors, truth, margin, keep)  # type: ignore[no-untyped-call]
    return loss


class _Hinge(torch.autograd.Function):
    """One buffer [images, labels]: scores, then hinges, then d loss / d scores."""

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, vectors: Tensor, truth: Tensor, margin: float, keep: Callable[[Tensor], None]
    ) -> Tensor:
        own = truth[:, None]
        buffer = projected @ vectors.T
        buffer.sub_(buffer.gather(1, own).sub_(margin)).scatter_(1, own, 0).relu_()
        keep(buffer)
        loss = buffer.sum() / len(buffer)
        buffer.sign_()
        buffer.scatter_(1, own, -buffer.sum(dim=1, keepdim=True))
        ctx.save_for_backward(projected, vectors, buffer)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        projected, vectors, slope = ctx.saved_tensors
        scale = outer / len(slope)
        of_projected = (slope @ vectors).mul_(scale) if ctx.needs_input_grad[0] else None
        of_vectors = (slope.T @ projected).mul_(scale) if ctx.needs_input_grad[1] else None
        return of_projected, of_vectors, None, None, None
