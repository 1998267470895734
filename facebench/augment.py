"""Augmentation of training faces, many at once, on whatever device they are.

A face pays only for what strikes it: each step takes out the faces it was drawn for, changes them and puts them back.
That matters most for colours, which cost a CPU more than decoding a picture does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from facebench.augmentations import AugmentOptions

    # From float32 (M, 3, H, W) in 0..255, in any memory order and free to be overwritten, to the same shape and range.
    Change = Callable[[Tensor], Tensor]

# "area" averages what a pixel covers; the others take samples, so that shrinking aliases as cheap cameras do.
_INTERPOLATIONS = ("nearest-exact", "bilinear", "bicubic", "area")


class Augment:
    """Changes faces at random, as ``AugmentOptions`` say; all but mirroring, which is left to the caller.

    Steps follow one another in AdaFace's order: crop, low resolution, photometric; then grey, blur and erasing. Each
    draws its faces, and what happens to each of them, from torch's global generator of the CPU, wherever the faces
    are: equal seeds give equal pictures.

    Args:
        chosen: Probabilities and strengths.

    Attributes:
        active: Whether anything can happen to a face.
    """

    def __init__(self, chosen: AugmentOptions) -> None:
        # What cannot happen is not made, so that kornia is imported only where it is needed.
        makers: list[tuple[float, Callable[[AugmentOptions], Change]]] = [
            (chosen.crop, _crop),
            (chosen.low_resolution, _low_resolution),
            (chosen.photometric, _photometric),
            (chosen.grey, _grey),
            (chosen.blur, _blur),
            (chosen.erasing, _erasing),
        ]
        self._steps = [(probability, make(chosen)) for probability, make in makers if probability > 0]
        self.active = bool(self._steps)

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Returns faces of which some have changed.

        Args:
            pixels: uint8 (N, H, W, 3), RGB; left as they are.

        Returns:
            float32 (N, H, W, 3) in 0..255 on the same device, not rounded.
        """
        faces = pixels.to(torch.float32, copy=True)
        for probability, change in self._steps:
            struck = torch.nonzero(torch.rand(len(faces), device="cpu") < probability).flatten()
            if len(struck):
                struck = struck.to(faces.device, non_blocking=True)
                changed = change(faces.index_select(0, struck).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                # Without the copy, index_copy_ would walk through planes in the order of pixels, three times slower.
                faces.index_copy_(0, struck, changed.contiguous())
        return faces


def _crop(chosen: AugmentOptions) -> Change:
    """AdaFace's crop: a random rectangle stays in its place, all around it becomes black; nothing is enlarged."""

    def change(faces: Tensor) -> Tensor:
        count, _, height, width = faces.shape
        high, wide = _rectangles(count, height, width, chosen.crop_area)
        down, right = torch.rand(2, count, dtype=torch.float64, device="cpu")
        top, left = (down * (height - high + 1)).floor(), (right * (width - wide + 1)).floor()
        rows, columns = _between(top, top + high, height), _between(left, left + wide, width)
        return faces.mul_(rows[:, None, :, None].to(faces.device)).mul_(columns[:, None, None, :].to(faces.device))

    return change


def _between(first: Tensor, end: Tensor, count: int) -> Tensor:
    """Which of 0..count-1 lie in each stretch, bool (M, count)."""
    places = torch.arange(count, device="cpu")
    return torch.logical_and(places >= first[:, None], places < end[:, None])


def _rectangles(count: int, height: int, width: int, smallest: float) -> tuple[Tensor, Tensor]:
    """Heights and widths, float64 (count,) of whole numbers, drawn as for the usual random resized crop.

    The part of the area is uniform in [``smallest``, 1], the logarithm of width over height uniform between 3:4 and
    4:3. The first of ten draws that fits is taken; where none does, the whole picture.
    """
    part, tilt = torch.rand(2, 10, count, dtype=torch.float64, device="cpu")
    area = (smallest + (1 - smallest) * part) * height * width
    ratio = torch.exp((2 * tilt - 1) * math.log(4 / 3))
    highs, wides = (area / ratio).sqrt().round().clamp(min=1), (area * ratio).sqrt().round().clamp(min=1)
    fits = (highs <= height) & (wides <= width)
    first, some = fits.int().argmax(0, keepdim=True), fits.any(0)
    high = torch.where(some, highs.gather(0, first)[0], float(height))
    wide = torch.where(some, wides.gather(0, first)[0], float(width))
    return high, wide


def _low_resolution(chosen: AugmentOptions) -> Change:
    """AdaFace's down- and upsampling, each with an interpolation drawn for the face (its Lanczos is not offered)."""
    smallest = chosen.low_resolution_side

    def change(faces: Tensor) -> Tensor:
        faces = faces.contiguous()
        count, _, height, width = faces.shape
        parts = (smallest + (1 - smallest) * torch.rand(count, dtype=torch.float64, device="cpu")).tolist()
        ways = torch.randint(len(_INTERPOLATIONS), (count, 2), device="cpu").tolist()
        # One by one: each face has a size of its own.
        for row, (part, (down, up)) in enumerate(zip(parts, ways, strict=True)):
            face = faces[row : row + 1]
            size = max(1, int(part * height)), max(1, int(part * width))
            small = interpolate(face, size=size, mode=_INTERPOLATIONS[down])
            face.copy_(interpolate(small, size=(height, width), mode=_INTERPOLATIONS[up]))
        return faces.clamp_(0, 255)  # bicubic overshoots

    return change


def _photometric(chosen: AugmentOptions) -> Change:
    """Brightness, contrast, saturation and hue, in an order drawn for the batch."""
    from kornia.augmentation import ColorJitter

    return _of_kornia(ColorJitter(chosen.brightness, chosen.contrast, chosen.saturation, chosen.hue, p=1.0))


def _grey(chosen: AugmentOptions) -> Change:
    from kornia.augmentation import RandomGrayscale

    return _of_kornia(RandomGrayscale(p=1.0))


def _blur(chosen: AugmentOptions) -> Change:
    from kornia.augmentation import RandomGaussianBlur

    window = 2 * math.ceil(3 * chosen.blur_sigma) + 1
    sigmas = (0.1, chosen.blur_sigma)
    # Pictures smaller than the window could not be reflected.
    return _of_kornia(RandomGaussianBlur((window, window), sigmas, border_type="replicate", p=1.0))


def _erasing(chosen: AugmentOptions) -> Change:
    """Zhong et al., AAAI 2020, in black, which is also what surrounds a cropped face."""
    from kornia.augmentation import RandomErasing

    return _of_kornia(RandomErasing(scale=(0.02, chosen.erasing_area), ratio=(0.3, 3.3), p=1.0))


def _of_kornia(augmentation: Change) -> Change:
    """Kornia clamps colours to [0, 1] and is quicker on planes that lie one after another."""
    return lambda faces: augmentation(faces.contiguous().div_(255)).mul_(255).clamp_(0, 255)
