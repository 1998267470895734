"""IResNet: the residual networks that face recognition is compared with.

The blocks follow Han et al., "Deep Pyramidal Residual Networks" (CVPR 2017) and Deng et al., "ArcFace" (CVPR 2019):
batch normalisation before the first convolution, no activation after the sum, and a stem that does not shrink the
image, since a 112x112 face has no pixels to spare. The layers and their names agree with insightface's
``arcface_torch``, so its published ``backbone.pth`` files load with ``load_state_dict``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench_backbones.network import FaceNetwork, frozen_scale_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
"""Residual blocks in each of the four stages, by the number in the network's name."""

WIDTHS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """BN, 3x3 convolution, BN, PReLU, 3x3 convolution, BN, plus the shortcut.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Of the second convolution and the shortcut. The shortcut is a 1x1 convolution with BN when the shape
            changes, else the input itself.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        inner = self.prelu(self.bn2(self.conv1(self.bn1(maps))))
        summed: Tensor = self.bn3(self.conv2(inner)) + shortcut
        return summed


class IResNet(FaceNetwork):
    """A stem at full resolution, four stages that each halve it, and a fully connected layer on all 7x7 places.

    Args:
        blocks: Residual blocks per stage, as in ``DEPTHS``.
        embedding_size: D.
        dropout: Probability of dropping a value before the fully connected layer. The MXNet recipe of the paper uses
            0.4, the published torch recipes 0.
        confidence: K; see ``FaceNetwork``.
    """

    def __init__(
        self, blocks: Sequence[int], *, embedding_size: int = 512, dropout: float = 0.0, confidence: int = 0
    ) -> None:
        super().__init__(embedding_size, confidence)
        stem, last = WIDTHS[0], WIDTHS[-1]
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.prelu = nn.PReLU(stem)
        self.layer1 = _stage(stem, WIDTHS[0], blocks[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks[2])
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], blocks[3])
        self.bn2 = nn.BatchNorm2d(last)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(last * 7 * 7, embedding_size)
        self.features = frozen_scale_norm(embedding_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)
        self._predict_confidence(last * 7 * 7)

    def _body(self, images: Tensor) -> Tensor:
        maps = self.prelu(self.bn1(self.conv1(images)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        flat: Tensor = self.dropout(torch.flatten(self.bn2(maps), 1))
        return flat

    def _head(self, encoded: Tensor) -> Tensor:
        vectors: Tensor = self.features(self.fc(encoded))
        return vectors


def iresnet(depth: int, *, embedding_size: int = 512, dropout: float = 0.0, confidence: int = 0) -> IResNet:
    """The IResNet of a depth in ``DEPTHS``: 18, 34, 50, 100 or 200."""
    return IResNet(DEPTHS[depth], embedding_size=embedding_size, dropout=dropout, confidence=confidence)


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    first = ResidualBlock(inputs, outputs, stride=2)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)))
