"""From a small map to a picture: convolutions that double the size at each level, without attention.

After the decoder of Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), in the form
that Vec2Face's released code has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from facebench_vec2face.options import Shape

_EPS = 1e-6


class ResidualBlock(nn.Module):
    """Twice group normalisation, SiLU and a 3x3 convolution, plus the input.

    Where the number of channels changes there is nothing to add the input to. What the released code adds there is a
    1x1 convolution of the *result*, so that nothing bypasses these two blocks of the decoder; the published number of
    parameters is that of this form, and so is what published weights were trained with.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        groups: Of the normalisations.
    """

    def __init__(self, inputs: int, outputs: int, *, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=_EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=_EPS)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.mix = None if inputs == outputs else nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (B, inputs, H, W) to (B, outputs, H, W)."""
        inner: Tensor = self.conv1(functional.silu(self.norm1(maps)))
        inner = self.conv2(functional.silu(self.norm2(inner)))
        return inner + (maps if self.mix is None else self.mix(inner))


class Doubling(nn.Module):
    """Each place becomes four, then a 3x3 convolution; (B, channels, H, W) to (B, channels, 2 H, 2 W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Doubles both sides."""
        doubled: Tensor = self.conv(functional.interpolate(maps, scale_factor=2.0, mode="nearest"))
        return doubled


class ImageDecoder(nn.Module):
    """A convolution and two residual blocks on the grid, then the levels from coarse to fine.

    Args:
        shape: Grid, channels, multipliers, blocks and groups.

    Attributes:
        levels: Everything between the first convolution and the last normalisation, in order.
        last: The convolution that makes the picture; an adversarial term is weighed by its gradient.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = [shape.base * multiplier for multiplier in shape.multipliers]
        width = widths[-1]
        self.first = nn.Conv2d(shape.channels, width, 3, padding=1)
        levels: list[nn.Module] = [ResidualBlock(width, width, groups=shape.groups) for _ in range(2)]
        for level in reversed(range(len(widths))):
            for _ in range(shape.residuals):
                levels.append(ResidualBlock(width, widths[level], groups=shape.groups))
                width = widths[level]
            if level:
                levels.append(Doubling(width))
        self.levels = nn.Sequential(*levels)
        self.norm = nn.GroupNorm(shape.groups, width, eps=_EPS)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Draws pictures.

        Args:
            maps: (B, channels, g, g).

        Returns:
            (B, 3, S, S), RGB, nominally in [-1, 1] and not held to it.
        """
        pictures: Tensor = self.last(functional.silu(self.norm(self.levels(self.first(maps)))))
        return pictures
