"""Margins: what a loss does to the cosine between a face and its own class before the softmax.

Pure functions on tensors, shared by the losses of all plugins. Throughout, ``cosine`` is the cosine of the angle theta
between an embedding and a class centre, float32 or float64, and angles are radians. Half precision is refused on
purpose: rounding a cosine to bfloat16 shifts its angle by up to 0.06 rad.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from facebench.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Gradient = Literal["exact", "straight-through"]
Fallback = Literal["auto", "hard", "easy", "clip", "none"]

# How near to 1 a cosine may come before its angle is treated as fixed. sqrt(1 - cosine^2) has an infinite slope at 1.
_EDGE = {torch.float32: 1e-7, torch.float64: 1e-12}
# AdaFace clips theta + m to [1e-4, pi - 1e-4].
_CLIP = 1e-4


def cosine_logits(vectors: Tensor, centres: Tensor) -> Tensor:
    """Cosines between every embedding and every class centre.

    Computed in float32 (float64 where both arguments are) even inside autocast: the angle is lost in less.

    Args:
        vectors: (N, D), raw.
        centres: (C, D), raw.

    Returns:
        (N, C); rounding may put a value up to 4e-7 outside [-1, 1].
    """
    exact = vectors.dtype == centres.dtype == torch.float64
    dtype = torch.float64 if exact else torch.float32
    with torch.autocast(vectors.device.type, enabled=False):
        rows = functional.normalize(vectors.to(dtype), dim=1)
        columns = functional.normalize(centres.to(dtype), dim=1)
        return functional.linear(rows, columns)


def target_cosine(cosine: Tensor, labels: Tensor) -> Tensor:
    """The cosine of each row with its own class: (N, C) and int64 (N,) to (N,)."""
    return cosine.gather(1, labels[:, None]).squeeze(1)


def replace_target(cosine: Tensor, labels: Tensor, phi: Tensor) -> Tensor:
    """The cosines with each row's own class replaced by ``phi`` (N,); gradients flow through both."""
    return cosine.scatter(1, labels[:, None], phi[:, None])


def arcface_target(
    cosine: Tensor, margin: float, *, gradient: Gradient = "exact", fallback: Fallback = "auto"
) -> Tensor:
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
        phi, with the shape and dtype of ``cosine``; value and gradient are finite even where theta is 0 or pi.

    Raises:
        ConfigError: On half precision, or an unknown gradient or fallback.
    """
    if gradient not in ("exact", "straight-through"):
        raise ConfigError(f"unknown gradient {gradient!r}; it must be 'exact' or 'straight-through'")
    if fallback == "auto":
        fallback = "hard" if gradient == "exact" else "none"
    if gradient == "straight-through":
        with torch.no_grad():
            value = _arcface(cosine, margin, fallback)
        return value + (cosine - cosine.detach())
    return _arcface(cosine, margin, fallback)


def _arcface(cosine: Tensor, margin: float, fallback: Fallback) -> Tensor:
    """Phi with its exact gradient, which is zero where rounding leaves no angle to speak of."""
    if cosine.dtype not in _EDGE:
        raise ConfigError(f"a margin needs cosines in float32 or float64, found {cosine.dtype}")
    edge = 1 - _EDGE[cosine.dtype]
    cosine = cosine.clamp(-edge, edge)
    sine = ((1 - cosine) * (1 + cosine)).sqrt()
    phi = cosine * math.cos(margin) - sine * math.sin(margin)
    match fallback:
        case "none":
            return phi
        case "easy":
            return torch.where(cosine > 0, phi, cosine)
        case "hard":
            return torch.where(cosine > math.cos(math.pi - margin), phi, cosine - margin * math.sin(margin))
        case "clip":
            return torch.where(cosine > math.cos(max(math.pi - _CLIP - margin, 0.0)), phi, -math.cos(_CLIP))
    raise ConfigError(f"unknown fallback {fallback!r}; it must be one of auto, hard, easy, clip, none")
