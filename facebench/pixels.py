"""From pixels to network input, on whatever device the pixels are.

Training and embedding share this one function, so a network meets in use exactly what it was trained on. Pictures
travel to the device as bytes, a quarter of what floats would take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from facebench.contracts import Preprocess


def to_input(images: Tensor, preprocess: Preprocess) -> Tensor:
    """Applies colour order, mean and std.

    Args:
        images: uint8 (N, H, W, 3), RGB; or floats in the same range 0..255, as augmented faces are. Left as they are.
        preprocess: What the network was, or will be, trained with.

    Returns:
        float32 (N, 3, H, W) on the same device, in channels-last memory order.
    """
    if preprocess.color == "bgr":
        images = images.flip(3)
    planes = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=images.device).view(3, 1, 1)
        for values in (preprocess.mean, preprocess.std)
    )
    return planes.sub(mean).div_(std)  # not in place at first: floats in the right order were not copied
