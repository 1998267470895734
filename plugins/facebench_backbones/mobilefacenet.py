"""MobileFaceNet: the network for phones and for quick experiments.

Chen et al., "MobileFaceNets" (CCBR 2018): inverted bottlenecks with depthwise convolutions, PReLU, and in place of
average pooling a depthwise convolution over the whole 7x7 map, which weighs the places of a face (global depthwise
convolution, GDC). Widths, grouping and layer names agree with insightface's ``arcface_torch`` (``mbf``, ``mbf_large``),
so its published ``backbone.pth`` files load with ``load_state_dict``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from facebench_backbones.network import FaceNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_LAST = 512


class ConvUnit(nn.Module):
    """Convolution without bias, BN and, unless ``linear``, PReLU. Padding keeps the size but for the stride.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Side of the window.
        stride: Step of the window.
        groups: Of the convolution.
        padding: Zeros around the map; by default half the window.
        linear: Whether to leave the activation out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
        linear: bool = False,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        parts: list[nn.Module] = [conv, nn.BatchNorm2d(outputs)]
        if not linear:
            parts.append(nn.PReLU(outputs))
        self.layers = nn.Sequential(*parts)

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (N, inputs, H, W) to (N, outputs, H/s, W/s)."""
        transformed: Tensor = self.layers(maps)
        return transformed


class Bottleneck(nn.Module):
    """1x1 to ``middle`` channels, 3x3 depthwise, 1x1 linear to ``outputs``; with the input added when ``residual``."""

    def __init__(self, inputs: int, outputs: int, *, middle: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            ConvUnit(inputs, middle),
            ConvUnit(middle, middle, kernel=3, stride=stride, groups=middle),
            ConvUnit(middle, outputs, linear=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (N, inputs, H, W) to (N, outputs, H/s, W/s)."""
        transformed: Tensor = self.layers(maps)
        return maps + transformed if self.residual else transformed


class ResidualChain(nn.Module):
    """``count`` residual bottlenecks that keep the shape."""

    def __init__(self, channels: int, count: int, *, middle: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Bottleneck(channels, channels, middle=middle, stride=1, residual=True) for _ in range(count))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Transforms (N, channels, H, W) to the same shape."""
        transformed: Tensor = self.layers(maps)
        return transformed


class GlobalDepthwise(nn.Module):
    """One 7x7 window per channel over the whole map, a linear layer without bias, BN: (N, 512, 7, 7) to (N, D)."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvUnit(_LAST, _LAST, kernel=7, groups=_LAST, padding=0, linear=True),
            nn.Flatten(),
            nn.Linear(_LAST, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Embeds maps."""
        vectors: Tensor = self.layers(maps)
        return vectors


class MobileFaceNet(FaceNetwork):
    """Four stages at 56, 28, 14 and 7 pixels, then the global depthwise head.

    Args:
        blocks: Residual bottlenecks at 56, 28, 14 and 7 pixels. A first entry of 1 stands for a plain grouped
            convolution in their place, as in the reference: its 64 groups over 64 * scale channels are not depthwise.
        scale: Multiplies the widths 64 and 128 of the stages; the bottlenecks inside stay as wide.
        embedding_size: D.
        confidence: K; see ``FaceNetwork``.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (1, 4, 6, 2),
        *,
        scale: int = 2,
        embedding_size: int = 512,
        confidence: int = 0,
    ) -> None:
        super().__init__(embedding_size, confidence)
        narrow, wide = 64 * scale, 128 * scale
        second = (
            ConvUnit(narrow, narrow, kernel=3, groups=64)
            if blocks[0] == 1
            else ResidualChain(narrow, blocks[0], middle=128)
        )
        self.layers = nn.ModuleList(
            [
                ConvUnit(3, narrow, kernel=3, stride=2),
                second,
                Bottleneck(narrow, narrow, middle=128, stride=2, residual=False),
                ResidualChain(narrow, blocks[1], middle=128),
                Bottleneck(narrow, wide, middle=256, stride=2, residual=False),
                ResidualChain(wide, blocks[2], middle=256),
                Bottleneck(wide, wide, middle=512, stride=2, residual=False),
                ResidualChain(wide, blocks[3], middle=256),
            ]
        )
        self.conv_sep = ConvUnit(wide, _LAST)
        self.features = GlobalDepthwise(embedding_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._predict_confidence(wide * 7 * 7)

    def _body(self, images: Tensor) -> Tensor:
        for layer in self.layers:
            images = layer(images)
        return images

    def _head(self, encoded: Tensor) -> Tensor:
        vectors: Tensor = self.features(self.conv_sep(encoded))
        return vectors


def mobilefacenet(*, embedding_size: int = 512, confidence: int = 0) -> MobileFaceNet:
    """The usual size, ``mbf`` in the reference: 2.06 million parameters."""
    return MobileFaceNet(embedding_size=embedding_size, confidence=confidence)


def mobilefacenet_large(*, embedding_size: int = 512, confidence: int = 0) -> MobileFaceNet:
    """Twice as wide and deep, ``mbf_large`` in the reference: 6.31 million parameters."""
    return MobileFaceNet((2, 8, 12, 4), scale=4, embedding_size=embedding_size, confidence=confidence)
