"""Softmax with a margin, in one piece: cosines, margin and cross-entropy, and one gradient by hand.

The usual head of a recogniser does little more than three matrix products, yet as separate operations the rest costs
half as much again where classes are few. Here that rest passes a handful of times over the (C, N) logits and twice over
the (C, D) centres. It serves a single process; several, and losses that look at the logits, put the same together from
``cosine_logits``, a margin and ``cross_entropy``.

Logits have a row for each class and a column for each face: products of the centres with the faces take a few percent
less time than those of the faces with the centres.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from facebench.margins import SHORTEST, exact_dtype, number, readable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from facebench.margins import Margin


_AS_IT_IS = nullcontext()


class MarginSoftmax(NamedTuple):
    """What ``margin_softmax`` finds.

    Attributes:
        loss: The mean over all faces, with gradient.
        target_cosine: The mean cosine with the own class, before the margin; no gradient.
        accuracy: The share of faces to which no other class is nearer; no gradient.
    """

    loss: Tensor
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
    vectors, centres = (each if each.dtype == dtype else each.to(dtype) for each in (vectors, centres))
    told: list[Tensor] = []
    with _exactly(vectors):
        found = _MarginSoftmax.apply(vectors, centres, labels.unsqueeze(0), margin, scale, told)  # type: ignore[no-untyped-call]
    return MarginSoftmax(found, *told)


def _exactly(tensor: Tensor) -> AbstractContextManager[object]:
    """Autocast off; no context where it is not on, since entering one takes longer than asking."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else _AS_IT_IS


def margined_softmax(products: Tensor, column: Tensor, margin: Margin, scale: float) -> MarginSoftmax:
    """The same from products that are at hand, which need not be cosines.

    Args:
        products: (N, C), float32 or float64.
        column: int64 (N,), each face's own.
        margin: Phi of the products with the own class.
        scale: s, above 0.
    """
    told: list[Tensor] = []
    found = _MarginedSoftmax.apply(products, column.unsqueeze(0), margin, scale, told)  # type: ignore[no-untyped-call]
    return MarginSoftmax(found, *told)


def _softmax(
    logits: Tensor, own_at: Tensor, margin: Margin, scale: float, share: Tensor, told: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The mean loss, and (C, N), the gradient of the sum of all losses.

    Both at once: afterwards nothing else is needed of the logits, and their place is enough for all that follows.

    Args:
        logits: (C, N), scale times the cosines; overwritten.
        own_at: (1, N), int64, the row of each face's own class.
        margin: Phi.
        scale: s.
        share: (N,) or a scalar, what the gradient is multiplied by.
        told: Takes the mean cosine with the own class and the share of faces to which no other is nearer.
    """
    times, faces = number(scale, logits.dtype), number(logits.shape[1], logits.dtype)
    plain = logits.gather(0, own_at)
    own = plain / times
    phi, slope, lower = margin(own)
    margined = phi * times
    # One maximum tells both what exponentials must stay below and whether the own class is nearest: while it is sought,
    # the smaller of the two logits stands for the own class.
    top = logits.scatter_(0, own_at, margined if lower else torch.minimum(plain, margined)).amax(dim=0, keepdim=True)
    nearest = plain.ge_(top)
    if not lower:
        top = torch.maximum(top, margined)
        logits.scatter_(0, own_at, margined)
    powers = logits.sub_(top).exp_()
    total = powers.sum(dim=0, keepdim=True)
    losses = total.log().add_(top.sub_(margined))  # in this order: a small loss is lost in a large logit
    told += own.sum().div_(faces), nearest.sum().div_(faces)
    gradient = powers.mul_(share / total)
    to_own = gradient.gather(0, own_at).sub_(share)
    gradient.scatter_(0, own_at, to_own if slope is None else to_own.mul_(slope))
    return losses.sum().div_(faces), gradient


def _once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """``once_differentiable``, which costs nothing where nobody asks for a second derivative."""
    guarded = once_differentiable(backward)

    def chosen(ctx: Any, *upstream: Tensor) -> Any:
        return (guarded if torch.is_grad_enabled() else backward)(ctx, *upstream)

    return chosen


class _MarginedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, products: Tensor, own_at: Tensor, margin: Margin, scale: float, told: list[Tensor]) -> Tensor:
        share = number(scale / max(len(products), 1), products.dtype)
        logits = products.t() * number(scale, products.dtype)
        loss, gradient = _softmax(logits, own_at, margin, scale, share, told)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        if not readable(upstream) or upstream.item() != 1:
            gradient = gradient * upstream
        return gradient.t(), None, None, None, None


class _MarginSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, centres: Tensor, own_at: Tensor, margin: Margin, scale: float, told: list[Tensor]
    ) -> Tensor:
        across = torch.linalg.vector_norm(rows, dim=1).clamp_min_(SHORTEST)
        down = number(1, rows.dtype) / torch.linalg.vector_norm(centres, dim=1, keepdim=True).clamp_min_(SHORTEST)
        # The cosines, but for the lengths of the faces.
        products = linear(centres, rows).mul_(down)
        weight = number(scale, rows.dtype) / across
        loss, gradient = _softmax(products * weight, own_at, margin, scale, weight, told)
        # With r = x.w / (|x||w|): dr/dx = w / (|x||w|) - r x / |x|^2, and the same with x and w exchanged.
        radial = products.mul_(gradient)
        along_rows = radial.sum(dim=0).div_(across).div_(across)
        along_centres = radial.sum(dim=1, keepdim=True).mul_(down).mul_(down)
        ctx.save_for_backward(rows, centres, gradient.mul_(down), along_rows.unsqueeze(1), along_centres)
        return loss

    @staticmethod
    @_once
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        rows, centres, gradient, along_rows, along_centres = ctx.saved_tensors
        times, known = 1 / max(len(rows), 1), readable(upstream)
        if known:
            times *= upstream.item()
        # In place, which autocast lets alone.
        to_rows = (rows * along_rows).addmm_(gradient.t(), centres, beta=-times, alpha=times)
        if not known:
            to_rows, rows, along_centres = to_rows.mul_(upstream), rows * upstream, along_centres * upstream
        to_centres = (centres * along_centres).addmm_(gradient, rows, beta=-times, alpha=times)
        return to_rows, to_centres, None, None, None, None
