"""Pictures of the generator and input of the extractor: two sizes, two scales, perhaps two orders of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Preprocess

_MIDDLE = 127.5
"""Of bytes: a picture of the generator is RGB, (byte - 127.5) / 127.5."""


class Colours(nn.Module):
    """Between the generator's pictures, RGB in [-1, 1], and an extractor's input of the same size.

    Args:
        preprocess: Of the extractor.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.swapped = preprocess.color == "bgr"
        for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
            tensor = (torch.tensor(values) - (_MIDDLE if name == "mean" else 0.0)) / _MIDDLE
            self.register_buffer(name, tensor.view(3, 1, 1), persistent=False)

    def to_pictures(self, inputs: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) of what an extractor is given."""
        pictures = inputs * self.std + self.mean
        return pictures.flip(1) if self.swapped else pictures

    def to_inputs(self, pictures: Tensor) -> Tensor:
        """What an extractor is given of pictures (B, 3, H, W)."""
        planes = pictures.flip(1) if self.swapped else pictures
        return (planes - self.mean) / self.std


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) in another size (height, width), bilinear, and smoothed before they are reduced."""
    here = (images.shape[2], images.shape[3])
    if here == size:
        return images
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    reduced = size[0] < here[0] or size[1] < here[1]
    return functional.interpolate(images, size=size, mode="bilinear", antialias=reduced)


def seen_at(images: Tensor, size: int) -> Tensor:
    """What is left of images (B, C, H, W) in a picture of ``size`` pixels a side, enlarged to what they were.

    A generator of small pictures cannot draw what they do not show; so its extractor does not get to see it in real
    faces either. Works on input of any scale.
    """
    height, width = images.shape[2], images.shape[3]
    if size >= max(height, width):
        return images
    return resized(resized(images, (size, size)), (height, width))
