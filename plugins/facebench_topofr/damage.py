"""Structure damage score: faces that are hard, and not yet recognised, count more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Focal = Literal["grad", "detach", "off"]


def damage_scores(losses: Tensor, hard: Tensor | None, *, temperature: float = 1.0, focal: Focal = "grad") -> Tensor:
    """Omega = (1 + h)^lambda * (1 - g), with g the probability of the own class (TopoFR, equations 8 and 9).

    Args:
        losses: (N,), cross-entropies: -log g, margin included. They may be summed over classes of all processes.
        hard: (N,), h in [0, 1], a constant; None where it has no part.
        temperature: lambda.
        focal: What 1 - g is: ``grad``, a factor that teaches by itself, as in focal loss and as the paper means it;
            ``detach``, a constant weight; ``off``, 1. In the released code g is rounded down to a whole number, so it
            trains with ``off``.

    Returns:
        (N,), at least 0; with ``off``, in 1..2^lambda.
    """
    if focal == "off":
        weights = torch.ones_like(losses)
    else:
        # 1 - exp(-loss), exact where the loss is small.
        weights = -torch.expm1(-(losses if focal == "grad" else losses.detach()))
    return weights if hard is None else weights * (1 + hard) ** temperature
