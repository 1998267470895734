"""Structural similarity of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

WINDOW, SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim(ones: Tensor, others: Tensor) -> Tensor:
    """The mean structural similarity of pairs of pictures.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), equation 13: means,
    variances and covariance under an 11x11 Gaussian window of deviation 1.5, wherever the whole window lies inside the
    picture; pictures are taken to [0, 1] first, where the data range is 1. Each colour counts alike.

    Args:
        ones: float (B, C, H, W) in [-1, 1], sides of at least 11.
        others: Of the same shape and dtype; float32 or better, since variances are differences of squares.

    Returns:
        (B,), in [-1, 1], 1 for equal pictures; with gradient to both.
    """
    ones, others = (ones + 1) / 2, (others + 1) / 2
    down, across = (_windows(side, ones) for side in ones.shape[2:])

    def mean(maps: Tensor) -> Tensor:
        return down @ maps @ across.mT

    one, other = mean(ones), mean(others)
    product = one * other
    squares = one.square() + other.square()
    spread = mean(ones.square() + others.square()) - squares
    common = mean(ones * others) - product
    similarity = (2 * product + _C1) * (2 * common + _C2) / ((squares + _C1) * (spread + _C2))
    return similarity.mean(dim=(1, 2, 3))


def _windows(side: int, like: Tensor) -> Tensor:
    """The Gaussian at each place of a side, (side - 10, side): as products with it, both sides are filtered fast."""
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    offsets = places[None, :] - places[: side - WINDOW + 1, None] - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2)) * (offsets.abs() <= WINDOW // 2)
    return weights / weights.sum(dim=1, keepdim=True)
