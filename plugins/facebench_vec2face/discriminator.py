"""A judge of patches: does this part of a picture look real?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_SLOPE, _GROUPS = 0.1, 8


class Stem(nn.Module):
    """Three convolutions side by side with windows of 3, 7 and 15 pixels; (B, 3, S, S) to (B, channels, S, S)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = zip((channels // 2, channels // 4, channels // 4), (3, 7, 15), strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(3, part, window, padding=window // 2) for part, window in parts)

    def forward(self, pictures: Tensor) -> Tensor:
        """What the three windows find."""
        return functional.leaky_relu(torch.cat([conv(pictures) for conv in self.convs], dim=1), _SLOPE)


class Stage(nn.Module):
    """A convolution that halves both sides, and a residual one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.norm1 = nn.GroupNorm(_GROUPS, outputs)
        self.norm2 = nn.GroupNorm(_GROUPS, outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        maps = self.norm1(functional.leaky_relu(self.halve(maps), _SLOPE))
        summed: Tensor = maps + self.conv(functional.leaky_relu(self.norm2(maps), _SLOPE))
        return summed


class PatchDiscriminator(nn.Module):
    """Stem, three stages, and a head that looks at 4x4 places of what is left: 11x11 logits of 112 pixels.

    From pictures below 32 pixels less than 4x4 places are left; the head then looks at all of them.

    Args:
        widths: Channels of stem and stages, multiples of 8.
        size: S, side of the pictures, a multiple of 8.
    """

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        self.stem = Stem(widths[0])
        self.stages = nn.Sequential(*(Stage(widths[i], widths[i + 1]) for i in range(3)))
        self.mix = nn.Conv2d(widths[3], widths[3], 1)
        self.head = nn.Conv2d(widths[3], 1, min(4, size // 8))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B, 1, h, w), high where a patch looks real, of (B, 3, S, S) pictures in [-1, 1]."""
        maps = self.stages(self.stem(pictures))
        logits: Tensor = self.head(functional.leaky_relu(self.mix(maps), _SLOPE))
        return logits
