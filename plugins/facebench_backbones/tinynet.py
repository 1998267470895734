"""TinyNet: a network that learns something on two processor cores in two minutes.

It serves the built-in demo, smoke tests and first experiments with a new loss; nobody should report its accuracy. It
keeps what matters in the large networks (residual blocks, a fully connected layer on all 7x7 places, a final batch
normalisation) and spends its few operations where they teach most. It is not a published network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench_backbones.network import FaceNetwork, frozen_scale_norm

if TYPE_CHECKING:
    from torch import Tensor


class ConvUnit(nn.Sequential):
    """Convolution without bias, BN and, unless ``linear``, an activation.

    The activation is a PReLU that cannot move from its starting slope of 1/4: on a processor the gradient of a learned
    slope would cost a sixth of the whole training time.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, linear: bool = False) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        activation: list[nn.Module] = [] if linear else [nn.LeakyReLU(0.25, inplace=True)]
        super().__init__(conv, nn.BatchNorm2d(outputs), *activation)
        nn.init.kaiming_normal_(conv.weight, a=1.0 if linear else 0.25, mode="fan_out")


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, added to what came in; (N, channels, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(ConvUnit(channels, channels), ConvUnit(channels, channels, linear=True))

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms maps and adds them."""
        summed: Tensor = maps + self.inner(maps)
        return summed


class TinyNet(FaceNetwork):
    """A stem that goes to 28x28 at once, one residual block at 14x14 and one at 7x7, and a fully connected layer.

    Args:
        embedding_size: D.
        confidence: K; see ``FaceNetwork``.

    Attributes:
        widths: Channels of the stem and of the two blocks.
        stem: Kernel and stride of the first convolution.
        grid: Height and width of the last map.
    """

    widths, stem, grid = (16, 32, 64), (5, 4), 7

    def __init__(self, *, embedding_size: int = 128, confidence: int = 0) -> None:
        super().__init__(embedding_size, confidence)
        fine, middle, coarse = self.widths
        kernel, stride = self.stem
        self.body = nn.Sequential(
            ConvUnit(3, fine, kernel=kernel, stride=stride),
            ConvUnit(fine, middle, stride=2),
            ResidualUnit(middle),
            ConvUnit(middle, coarse, stride=2),
            ResidualUnit(coarse),
        )
        encoded = coarse * self.grid**2
        self.fc = nn.Linear(encoded, embedding_size)
        self.features = frozen_scale_norm(embedding_size)
        self._predict_confidence(encoded)

    def _body(self, images: Tensor) -> Tensor:
        # With channels last, convolutions on a processor skip a reordering of every map.
        maps: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
        return maps.flatten(1)

    def _head(self, encoded: Tensor) -> Tensor:
        vectors: Tensor = self.features(self.fc(encoded))
        return vectors


class TinyNet32(TinyNet):
    """The same for pictures of 32 pixels: a stem that goes to 16x16, blocks at 8x8 and at 4x4, wider by half."""

    side = 32
    widths, stem, grid = (24, 48, 96), (3, 2), 4


def tinynet(*, embedding_size: int = 128, confidence: int = 0) -> TinyNet:
    """The small network: 0.52 million parameters with vectors of length 128."""
    return TinyNet(embedding_size=embedding_size, confidence=confidence)


def tinynet32(*, embedding_size: int = 128, confidence: int = 0) -> TinyNet32:
    """The small network for small pictures: 0.46 million parameters with vectors of length 128."""
    return TinyNet32(embedding_size=embedding_size, confidence=confidence)
