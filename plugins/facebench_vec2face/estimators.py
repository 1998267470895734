"""Attributes of pictures as differentiable numbers, towards which vectors are steered.

Any callable from pictures to numbers will do: in Python, give the network of your choice. By name there are the length
of a face network's vector, which says quality where the network was trained for it (MagFace), and toys for trials. No
name leads to code from elsewhere, and none downloads weights.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from facebench.checkpoints import load_weights, read_checkpoint
from facebench_vec2face.pictures import Colours, resized

if TYPE_CHECKING:
    from torch import Tensor, nn

    from facebench import Preprocess
    from facebench_vec2face.drawing import DrawingOptions


class Estimator(Protocol):
    """An attribute of pictures, differentiable, each picture by itself: networks in it are in evaluation mode."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """The attribute of each picture, (B,), given float (B, 3, H, W), RGB in [-1, 1]."""


def network_input(images: Tensor, preprocess: Preprocess) -> Tensor:
    """Pictures of the generator as a face network takes them; gradients pass.

    Args:
        images: float (B, 3, H, W), RGB in [-1, 1].
        preprocess: Of the network; another size is reached by resampling.

    Returns:
        float (B, 3, *preprocess.size), in the network's colour order and units.
    """
    return Colours(preprocess).to(images.device).to_inputs(resized(images, preprocess.size))


class FeatureNorm:
    """Quality as the length of a face network's raw vector.

    It means quality in networks whose training says so, such as MagFace, where 27 is good; with others it is a proxy.

    Args:
        network: In evaluation mode, on the pictures' device; its ``forward`` returns ``Features``.
        preprocess: What it expects.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        self._network, self._preprocess = network, preprocess

    def __call__(self, images: Tensor, /) -> Tensor:
        """The lengths."""
        vectors: Tensor = self._network(network_input(images, self._preprocess)).vectors
        lengths: Tensor = torch.linalg.vector_norm(vectors.float(), dim=1)
        return lengths


class ToyBrightness:
    """Mean brightness in percent, 0 black and 100 white: a quality for trials, and none of a face."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """The percents."""
        return (images.mean(dim=(1, 2, 3)) + 1) * 50


class ToyYaw:
    """How much brighter the right half of a picture is than its left: -90 to 90, as degrees would be, and no pose."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """The contrasts; a middle column of an odd width counts on neither side."""
        half = images.shape[3] // 2
        right, left = images[..., -half:].mean(dim=(1, 2, 3)), images[..., :half].mean(dim=(1, 2, 3))
        return (right - left) * 45


def quality_estimator(chosen: DrawingOptions, extractor: nn.Module, preprocess: Preprocess) -> Estimator | None:
    """The quality that the options name, or None.

    Args:
        chosen: The options.
        extractor: The network of ``feature_norm``, unless a checkpoint is named: a copy of it then takes the weights.
        preprocess: What the extractor expects.

    Raises:
        DataError: When the checkpoint cannot be read or is of another network.
    """
    match chosen.quality_estimator:
        case "feature_norm":
            if not chosen.quality_checkpoint:
                return FeatureNorm(extractor, preprocess)
            folder = Path(chosen.quality_checkpoint).expanduser()
            network = copy.deepcopy(extractor).eval().requires_grad_(False)
            load_weights(folder, network)
            return FeatureNorm(network, read_checkpoint(folder).preprocess)
        case "toy_brightness":
            return ToyBrightness()
    return None


def pose_estimator(chosen: DrawingOptions) -> Estimator | None:
    """The pose that the options name, or None."""
    return ToyYaw() if chosen.pose_estimator == "toy_yaw" else None
