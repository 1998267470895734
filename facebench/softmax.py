"""Softmax with a margin, in one piece: cosines, margin and cross-entropy, and one gradient by hand.

The usual head of a recogniser does little more than three matrix products, yet as separate operations the rest costs
half as much again where classes are few. Here that rest passes a handful of times over the (N, C) logits and twice over
the (C, D) centres. It serves a single process; several, and losses that look at the logits, put the same together from
``cosine_logits``, a margin and ``cross_entropy``.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from facebench.margins import SHORTEST, exact_dtype

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from facebench.margins import Margin


class MarginSoftmax(NamedTuple):
    """What ``margin_softmax`` finds.

    Attributes:
        losses: (N,), of each face, with gradient.
        target_cosine: The mean cosine with the own class, before the margin; no gradient.
        accuracy: The share of faces to which no other class is nearer; no gradient.
    """

    losses: Tensor
    target_cosine: Tensor
    accuracy: Tensor

    def terms(self) -> dict[str, Tensor]:
        """For the log."""
        return {"target_cosine": self.target_cosine, "accuracy": self.accuracy}


def margin_softmax(vectors: Tensor, centres: Tensor, labels: Tensor, margin: Margin, scale: float) -> MarginSoftmax:
    """Cross-entropy of ``scale * phi(cosine)`` for the own class against ``scale * cosine`` for the others.

    Computed in float32 (float64 where both matrices are) even inside autocast. Gradients reach vectors and centres.

    Args:
        vectors: (N, D), raw.
        centres: (C, D), raw.
        labels: int64 (N,), rows of ``centres``.
        margin: Phi, as ``facebench.margins`` has it.
        scale: s, above 0.
    """
    dtype = exact_dtype(vectors, centres)
    with _exactly(vectors):
        found = _MarginSoftmax.apply(vectors.to(dtype), centres.to(dtype), labels[:, None], margin, scale)  # type: ignore[no-untyped-call]
    return MarginSoftmax(*found)


def _exactly(tensor: Tensor) -> AbstractContextManager[object]:
    """Autocast off; no context where it is not on, since entering one takes longer than asking."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def margined_softmax(products: Tensor, column: Tensor, margin: Margin, scale: float) -> MarginSoftmax:
    """The same from products that are at hand, which need not be cosines.

    Args:
        products: (N, C), float32 or float64.
        column: int64 (N,), each face's own.
        margin: Phi of the products with the own class.
        scale: s, above 0.
    """
    found = _MarginedSoftmax.apply(products, column[:, None], margin, scale)  # type: ignore[no-untyped-call]
    return MarginSoftmax(*found)


class _Softmax(NamedTuple):
    """What the backward pass needs of a softmax.

    Attributes:
        powers: (N, C), exponentials of the logits, less than each row's shift.
        total: (N, 1), their sums.
        slope: (N, 1), of the margin, or None for 1.
    """

    powers: Tensor
    total: Tensor
    slope: Tensor | None

    def gradient(self, upstream: Tensor, column: Tensor) -> Tensor:
        """(N, C), of the products.

        Args:
            upstream: (N, 1), of the losses, times the scale.
            column: (N, 1).
        """
        found = self.powers * (upstream / self.total)
        to_own = found.gather(1, column).sub_(upstream)
        return found.scatter_(1, column, to_own if self.slope is None else to_own.mul_(self.slope))


def _softmax(products: Tensor, column: Tensor, margin: Margin, scale: float) -> tuple[MarginSoftmax, _Softmax]:
    own = products.gather(1, column)
    phi, slope = margin(own)
    # One maximum tells both what exponentials must stay below and whether the own class is nearest: while it is sought,
    # the smaller of product and phi stands in for the own one.
    powers = products.scatter(1, column, torch.minimum(own, phi))
    top = powers.amax(dim=1, keepdim=True)
    accuracy = (own >= top).mean(dtype=own.dtype)
    top = torch.maximum(top, phi)
    powers.sub_(top).scatter_(1, column, phi - top).mul_(scale).exp_()
    total = powers.sum(dim=1, keepdim=True)
    losses = total.log().add_(top.sub_(phi), alpha=scale).squeeze(1)
    return MarginSoftmax(losses, own.mean(), accuracy), _Softmax(powers, total, slope)


class _MarginedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, products: Tensor, column: Tensor, margin: Margin, scale: float) -> MarginSoftmax:
        found, kept = _softmax(products, column, margin, scale)
        ctx.mark_non_differentiable(found.target_cosine, found.accuracy)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(column, *kept)
        ctx.scale = scale
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Tensor | None, None, None, None]:
        if upstream is None:
            return None, None, None, None
        column, *kept = ctx.saved_tensors
        return _Softmax(*kept).gradient(upstream[:, None] * ctx.scale, column), None, None, None


class _MarginSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, centres: Tensor, column: Tensor, margin: Margin, scale: float) -> MarginSoftmax:
        across = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(SHORTEST)
        down = torch.linalg.vector_norm(centres, dim=1).clamp_min_(SHORTEST).reciprocal_()
        cosine = ((rows / across) @ centres.t()).mul_(down)
        found, kept = _softmax(cosine, column, margin, scale)
        ctx.mark_non_differentiable(found.target_cosine, found.accuracy)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, centres, column, across, down, cosine, *kept)
        ctx.scale = scale
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor | None, *_: None) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        if upstream is None:
            return None, None, None, None, None
        rows, centres, column, across, down, cosine, *kept = ctx.saved_tensors
        with _exactly(rows):
            # Each row already divided by its length: (N, C), the gradient of the cosines but for that.
            gradient = _Softmax(*kept).gradient((upstream[:, None] / across).mul_(ctx.scale), column)
            # With r = x.w / (|x||w|): dr/dx = w / (|x||w|) - r x / |x|^2, and the same with x and w exchanged.
            radial = gradient * cosine
            gradient.mul_(down)
            to_rows = (rows * radial.sum(dim=1, keepdim=True).div_(across)).addmm_(gradient, centres, beta=-1)
            along = (radial.t() @ across).mul_(down.square()[:, None])
            to_centres = (centres * along).addmm_(gradient.t(), rows, beta=-1)
        return to_rows, to_centres, None, None, None
