"""Margins: what a loss does to the cosine between a face and its own class before the softmax.

Pure functions on tensors, shared by the losses of all plugins. Throughout, ``cosine`` is the cosine of the angle theta
between an embedding and a class centre, float32 or float64, and angles are radians. Half precision is refused on
purpose: rounding a cosine to bfloat16 shifts its angle by up to 0.06 rad.

A margin has a value phi and a slope, d phi / d cosine. Both are computed at once, without autograd: fewer operations,
and no derivative of a square root or arccosine that is infinite at theta = 0 and pi.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from facebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Margin = Callable[
        [Tensor], "Phi"
    ]  # what a loss does to cosines with the own class, one by one, whatever their shape

Gradient = Literal["exact", "straight-through"]
Fallback = Literal["auto", "hard", "easy", "clip", "none"]

# How near to 1 a cosine may come before its angle is treated as fixed. The slope of a margin is infinite at 1.
_EDGE = {torch.float32: 1e-7, torch.float64: 1e-12}
# A vector shorter than this has no direction to speak of; its cosines are 0.
SHORTEST = 1e-12
# AdaFace clips theta + m to [1e-4, pi - 1e-4].
_CLIP = 1e-4
# A smaller margin may be lost in the rounding of a cosine.
_CLEAR = 0.01


class Phi(NamedTuple):
    """What a margin makes of cosines. No gradient flows through it but by ``along``.

    Attributes:
        value: phi, of the cosines' shape and dtype.
        slope: d phi / d cosine, of the same shape; None is 1 everywhere.
        lower: Whether phi is known to be lower than the cosine, by more than rounding; that saves a few operations.
    """

    value: Tensor
    slope: Tensor | None
    lower: bool = False

    def along(self, cosine: Tensor) -> Tensor:
        """``value`` as a function of the cosines it was computed from: gradients reach them by ``slope``."""
        found: Tensor = _Sloped.apply(cosine, self.value, self.slope)  # type: ignore[no-untyped-call]
        return found


def cosine_logits(vectors: Tensor, centres: Tensor) -> Tensor:
    """Cosines between every embedding and every class centre.

    Computed in float32 (float64 where both arguments are) even inside autocast: the angle is lost in less.

    Args:
        vectors: (N, D), raw.
        centres: (C, D), raw.

    Returns:
        (N, C); rounding may put a value up to 4e-7 outside [-1, 1].
    """
    dtype = exact_dtype(vectors, centres)
    with torch.autocast(vectors.device.type, enabled=False):
        found: Tensor = _Cosines.apply(vectors.to(dtype), centres.to(dtype))  # type: ignore[no-untyped-call]
    return found


def exact_dtype(vectors: Tensor, centres: Tensor) -> torch.dtype:
    """What cosines are computed in: float64 where both are, else float32."""
    return torch.float64 if vectors.dtype == centres.dtype == torch.float64 else torch.float32


class _Cosines(torch.autograd.Function):
    """Cosines with their gradient by hand.

    Scaling the product costs one pass over (N, C). Normalising the centres, and going back through that, would cost
    six over (C, D): more than the product itself where classes are many and the batch is small.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, columns: Tensor) -> Tensor:
        across = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(SHORTEST)
        down = torch.linalg.vector_norm(columns, dim=1).clamp_min_(SHORTEST).reciprocal_()
        unit = rows / across
        cosine: Tensor = (unit @ columns.t()).mul_(down)
        ctx.save_for_backward(unit, columns, cosine, across, down)
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        unit, columns, cosine, across, down = ctx.saved_tensors
        # With r = x.w / (|x||w|): dr/dx = w / (|x||w|) - r x / |x|^2, and the same with x and w exchanged.
        with torch.autocast(gradient.device.type, enabled=False):
            radial, scaled = gradient * cosine, gradient * down
            to_rows = to_columns = None
            if ctx.needs_input_grad[0]:
                to_rows = (scaled @ columns).addcmul_(unit, radial.sum(1, keepdim=True), value=-1).div_(across)
            if ctx.needs_input_grad[1]:
                along = (radial.sum(0) * down).mul_(down)
                to_columns = (scaled.t() @ unit).addcmul_(columns, along[:, None], value=-1)
        return to_rows, to_columns


def target_cosine(cosine: Tensor, labels: Tensor) -> Tensor:
    """The cosine of each row with its own class: (N, C) and int64 (N,) to (N,)."""
    return cosine.gather(1, labels[:, None]).squeeze(1)


def cosface_phi(cosine: Tensor, margin: float) -> Phi:
    """Additive cosine margin: phi = cos(theta) - margin (Wang et al., CVPR 2018, equation 4).

    Args:
        cosine: Cosines with the own class, float32 or float64, any shape.
        margin: m3, in [0, 1].

    Returns:
        phi, of slope 1.

    Raises:
        ConfigError: On half precision.
    """
    _edge(cosine)
    return Phi(cosine.detach() - number(margin, cosine.dtype), None, lower=margin > _CLEAR)


def sphereface_phi(cosine: Tensor, margin: int) -> Phi:
    """Multiplicative angular margin that stays monotone: psi = (-1)^k cos(m theta) - 2k, k = floor(m theta / pi).

    (Liu et al., SphereFace, CVPR 2017, equation 7.) The slope is exact and, like psi, continuous.

    Args:
        cosine: Cosines with the own class, float32 or float64, any shape; values just outside [-1, 1] are allowed.
        margin: m1, at least 1.

    Returns:
        psi, in [1 - 2m, 1], and its slope, both finite everywhere.

    Raises:
        ConfigError: On half precision.
    """
    edge = _edge(cosine)
    theta = cosine.detach().clamp(-edge, edge).acos_()
    times = (theta * (margin / math.pi)).floor_().clamp_(max=margin - 1)
    sign = 1 - 2 * times.remainder(2)
    value = sign * (margin * theta).cos_() - 2 * times
    return Phi(value, sign * (margin * theta).sin_().mul_(margin) / theta.sin())


def arcface_phi(cosine: Tensor, margin: float, *, gradient: Gradient = "exact", fallback: Fallback = "auto") -> Phi:
    """Additive angular margin: phi = cos(theta + margin) (Deng et al., CVPR 2019, equation 3).

    Two things differ between implementations, and both can be chosen.

    *Gradient.* ``exact`` is the derivative of phi, sin(theta + m) / sin(theta). ``straight-through`` passes the
    gradient of the cosine unchanged, as arcface_torch has done since December 2022. The values of phi are the same.

    *Fallback*, for theta > pi - margin, where cos(theta + m) rises again so that its exact gradient would push a face
    away from its class:

    - ``hard``: cos(theta) - m sin(m) (the older arcface_torch, SphereFace's and SFace's code bases),
    - ``easy``: the margin only where cos(theta) > 0, else cos(theta),
    - ``clip``: theta + m stays below pi - 1e-4 (AdaFace),
    - ``none``: cos(theta + m) as it is (today's arcface_torch),
    - ``auto``: ``hard`` with the exact gradient, ``none`` with the straight-through one.

    Args:
        cosine: Cosines with the own class, float32 or float64, any shape; values just outside [-1, 1] are allowed.
        margin: m2, in [0, pi].
        gradient: See above.
        fallback: See above.

    Returns:
        phi and its slope, which are finite even where theta is 0 or pi.

    Raises:
        ConfigError: On half precision, or an unknown gradient or fallback.
    """
    exact = _is_exact(gradient)
    if fallback not in ("auto", "hard", "easy", "clip", "none"):
        raise ConfigError(f"unknown fallback {fallback!r}; it must be one of auto, hard, easy, clip, none")
    edge = _edge(cosine)
    if fallback == "auto":
        fallback = "hard" if exact else "none"
    plain, dtype = cosine.detach(), cosine.dtype
    # By the sum of angles: with few faces the time goes by how many kinds of operation there are.
    cos_m, sin_m = number(math.cos(margin), dtype), math.sin(margin)
    sine = (number(1, dtype) - plain * plain).clamp_min_(1 - edge**2).sqrt_()
    value, slope = (plain * cos_m).sub_(sine, alpha=sin_m), torch.add(cos_m, plain / sine, alpha=sin_m)
    match fallback:
        case "easy":
            value, slope = _where(plain <= 0, plain, value, slope, 1.0)
        case "hard":
            beyond = number(_turning(margin, edge), dtype) >= plain
            value, slope = _where(beyond, plain - number(margin * sin_m, dtype), value, slope, 1.0)
        case "clip":
            value, slope = _where(plain <= _turning(margin + _CLIP, edge), -math.cos(_CLIP), value, slope, 0.0)
    return Phi(value, slope if exact else None, lower=fallback == "hard" and _CLEAR < margin < math.pi - _CLEAR)


def combined_phi(
    cosine: Tensor,
    m1: float,
    m2: float,
    m3: float,
    *,
    gradient: Gradient = "exact",
    fallback: Literal["none", "clip"] = "clip",
) -> Phi:
    """All three margins: phi = cos(m1 theta + m2) - m3 (Deng et al., CVPR 2019, equation 4).

    With m1 = 1 and m3 = 0 it is ``arcface_phi``, with m1 = 1 and m2 = 0 ``cosface_phi``. arcface_torch takes the
    same three numbers but ignores m1 and m2 as soon as m3 is above 0; this is the formula itself.

    Args:
        cosine: Cosines with the own class, float32 or float64, any shape; values just outside [-1, 1] are allowed.
        m1: Above 0; not piecewise as in ``sphereface_phi``.
        m2: Radians, at least 0.
        m3: At least 0.
        gradient: ``exact``, or ``straight-through`` as ``arcface_phi`` explains.
        fallback: Where m1 theta + m2 exceeds pi and the cosine rises again: ``clip`` holds it just below pi,
            where there is no exact gradient any more; ``none`` leaves it, as published.

    Returns:
        phi and its slope, which are finite even where theta is 0 or pi.

    Raises:
        ConfigError: On half precision, or an unknown gradient or fallback.
    """
    exact = _is_exact(gradient)
    if fallback not in ("none", "clip"):
        raise ConfigError(f"unknown fallback {fallback!r}; it must be 'none' or 'clip'")
    edge = _edge(cosine)
    theta = cosine.detach().clamp(-edge, edge).acos_()
    moved = (theta * m1).add_(m2)
    value, slope = moved.cos().sub_(m3), moved.sin().mul_(m1).div_(theta.sin_())
    if fallback == "clip":
        value, slope = _where(moved >= math.pi - _CLIP, -math.cos(_CLIP) - m3, value, slope, 0.0)
    return Phi(value, slope if exact else None)


def filter_others(cosine: Tensor, others: Tensor, threshold: float) -> Tensor:
    """Inter-class filtering: another class that a face is very near to is taken for the same person, mislabelled.

    Its cosine becomes 0, without gradient; it stays in the softmax as exp(0). This is arcface_torch's
    ``interclass_filtering_threshold``, used there with 0.4 on label noise.

    Args:
        cosine: (N, C).
        others: Bool (N, C), False in the column of each face's own class.
        threshold: Cosines above it are filtered.

    Returns:
        (N, C).
    """
    return cosine.masked_fill(others & (cosine > threshold), 0.0)


@lru_cache(maxsize=1024)
def number(value: float, dtype: torch.dtype) -> Tensor:
    """A number to calculate with, beside tensors of a dtype and of any device; it is shared, so never changed.

    Each operation with a plain number makes a tensor of it first, which with few faces takes longer than the operation.
    """
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=dtype, device="cpu")


def readable(tensor: Tensor) -> bool:
    """Whether a value can be looked at in passing; on an accelerator that would halt it."""
    return tensor.is_cpu


def _is_exact(gradient: str) -> bool:
    if gradient not in ("exact", "straight-through"):
        raise ConfigError(f"unknown gradient {gradient!r}; it must be 'exact' or 'straight-through'")
    return gradient == "exact"


def _edge(cosine: Tensor) -> float:
    """The largest cosine that still has an angle."""
    if cosine.dtype not in _EDGE:
        raise ConfigError(f"a margin needs cosines in float32 or float64, found {cosine.dtype}")
    return 1 - _EDGE[cosine.dtype]


def _turning(margin: float, edge: float) -> float:
    """The cosine of the angle from which on a margin reaches pi; infinite where the smallest there is does."""
    found = -math.cos(min(margin, math.pi))
    return found if found <= edge else math.inf


def _where(apart: Tensor, other: Tensor | float, value: Tensor, slope: Tensor, flat: float) -> tuple[Tensor, Tensor]:
    """Value and slope, with others where a margin stands ``apart``."""
    if readable(apart) and not apart.any():  # as usual
        return value, slope
    return torch.where(apart, other, value), slope.masked_fill(apart, flat)


class _Sloped(torch.autograd.Function):
    """A value that comes with its derivative."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor, value: Tensor, slope: Tensor | None) -> Tensor:
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient if slope is None else gradient * slope, None, None
