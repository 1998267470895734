"""Random structure perturbation: some faces reach the network blurred, grey, discoloured or with a hole.

TopoFR, section 4.1 and appendix A.1; the paper names the four operations, their strengths are the released code's. The
network sees the perturbed batch, its embeddings are compared with the clean one. Faces are taken out by operation,
changed together on whatever device they are, and put back: a face pays only for what strikes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from torch import Tensor

    from facebench import Preprocess

Leak = Literal["none", "erasing", "all"]

BLUR_WINDOW = (9, 5)
"""Height and width of the blur's window, pixels."""
BLUR_SIGMA = (0.1, 5.0)
"""Standard deviation of the blur, pixels."""
# Factors, not deviations from 1: a face always becomes darker, flatter and paler.
BRIGHTNESS, CONTRAST, SATURATION = (0.1, 0.5), (0.3, 0.6), (0.2, 0.5)
HUE = (-0.1, 0.3)
"""How far hues turn, as a part of the colour circle."""
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""Part of the picture's area, uniform; height over width, its logarithm uniform."""
_TRIES = 10
_LUMA = (0.2989, 0.587, 0.114)


class Perturbation:
    """Strikes each face with some probability by one of four operations, all equally likely.

    Args:
        share: xi, the probability.
        preprocess: What was done to the pixels; colours are changed in 0..1 and put back.
        leak: Which perturbed faces also replace the clean ones that embeddings are compared with. ``none`` is the
            paper. The released code erases in place, so that erased faces leak (``erasing``); before November 2024 all
            of them did (``all``), and the published networks may be of that time. The trainer gives the loss the very
            tensor that this object is called with, so writing into it is all that such a leak takes, there and here.
    """

    def __init__(self, share: float, preprocess: Preprocess, *, leak: Leak = "none") -> None:
        self.share, self.leak = share, leak
        self._mean, self._std = (torch.tensor(one).view(3, 1, 1) / 255 for one in (preprocess.mean, preprocess.std))
        self._bgr = preprocess.color == "bgr"
        self._operations: tuple[Callable[[Tensor, np.random.Generator], Tensor], ...] = (
            _blurred,
            self._as_colours(_greyed),
            self._as_colours(_jittered),
            _erased,
        )

    @torch.no_grad()
    def __call__(self, images: Tensor, random: np.random.Generator) -> Tensor:
        """Returns images of which some are perturbed.

        Args:
            images: float (N, 3, H, W), preprocessed, H and W more than 4. They are left as they are, but for those that
                leak.
            random: Decides everything.

        Returns:
            New images of the same shape on the same device.
        """
        struck = random.random(len(images)) < self.share
        chosen = np.where(struck, random.integers(len(self._operations), size=len(images)), -1)
        found = images.clone()
        for number, operation in enumerate(self._operations):
            places = np.flatnonzero(chosen == number)
            if not len(places):
                continue
            rows = torch.from_numpy(places).to(images.device)
            changed = operation(images.index_select(0, rows).contiguous(), random)
            found.index_copy_(0, rows, changed)
            if self.leak == "all" or (self.leak == "erasing" and operation is _erased):
                images.index_copy_(0, rows, changed)
        return found

    def _as_colours(
        self, operation: Callable[[Tensor, np.random.Generator], Tensor]
    ) -> Callable[[Tensor, np.random.Generator], Tensor]:
        """The operation on network input, given one on RGB in 0..1."""

        def change(images: Tensor, random: np.random.Generator) -> Tensor:
            mean, std = self._mean.to(images), self._std.to(images)
            colours = images * std + mean
            found = operation(colours.flip(1) if self._bgr else colours, random)
            return ((found.flip(1) if self._bgr else found) - mean) / std

        return change


def _blurred(images: Tensor, random: np.random.Generator) -> Tensor:
    """Gaussian blur, a width for each face; the border reflects."""
    count, channels, height, width = images.shape
    sigma = _uniform(random, BLUR_SIGMA, count, images).repeat_interleave(channels)
    high, wide = (_window(size, sigma) for size in BLUR_WINDOW)
    down, right = BLUR_WINDOW[0] // 2, BLUR_WINDOW[1] // 2
    planes = functional.pad(images, (right, right, down, down), mode="reflect").flatten(0, 1)[None]
    planes = functional.conv2d(planes, high[:, None, :, None], groups=len(sigma))
    planes = functional.conv2d(planes, wide[:, None, None, :], groups=len(sigma))
    return planes.view(count, channels, height, width)


def _window(size: int, sigma: Tensor) -> Tensor:
    """(M, size), normal densities around the middle of the window that sum to 1."""
    places = torch.arange(size, dtype=sigma.dtype, device=sigma.device) - size // 2
    return torch.softmax(-0.5 * (places / sigma[:, None]).square(), dim=1)


def _grey(colours: Tensor) -> Tensor:
    """(M, 1, H, W), the luma."""
    red, green, blue = colours.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _greyed(colours: Tensor, random: np.random.Generator) -> Tensor:
    return _grey(colours).expand_as(colours)


def _jittered(colours: Tensor, random: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue, in an order drawn for each face."""
    count = len(colours)
    orders = random.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    ranges = (BRIGHTNESS, CONTRAST, SATURATION, HUE)
    factors = [_uniform(random, one, count, colours).view(-1, 1, 1, 1) for one in ranges]
    steps = (_brightened, _flattened, _paled, _turned)
    for turn in range(4):
        for number, step in enumerate(steps):
            places = np.flatnonzero(orders[:, turn] == number)
            if len(places):
                rows = torch.from_numpy(places).to(colours.device)
                colours = colours.index_copy(0, rows, step(colours[rows], factors[number][rows]))
    return colours


def _brightened(colours: Tensor, factor: Tensor) -> Tensor:
    return (colours * factor).clamp_(0, 1)


def _flattened(colours: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(colours).mean(dim=(2, 3), keepdim=True), colours, factor).clamp_(0, 1)


def _paled(colours: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(colours), colours, factor).clamp_(0, 1)


def _turned(colours: Tensor, part: Tensor) -> Tensor:
    from kornia.color import hsv_to_rgb, rgb_to_hsv

    circle = 2 * math.pi
    hue, rest = torch.split(rgb_to_hsv(colours), [1, 2], dim=1)
    found: Tensor = hsv_to_rgb(torch.cat([torch.remainder(hue + part * circle, circle), rest], dim=1))
    return found.clamp_(0, 1)


def _erased(images: Tensor, random: np.random.Generator) -> Tensor:
    """One rectangle of each face becomes 0: mid grey where pixels lie in [-1, 1]."""
    count, _, height, width = images.shape
    boxes = _rectangles(random, count, height, width)
    top, left, high, wide = (torch.from_numpy(values).to(images.device)[:, None] for values in boxes)
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    inside = ((rows >= top) & (rows < top + high))[:, None, :, None]
    inside = inside & ((columns >= left) & (columns < left + wide))[:, None, None, :]
    return images.masked_fill(inside, 0)


def _rectangles(random: np.random.Generator, count: int, height: int, width: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Top, left, height and width, int64 (count,) each: the first of ten draws that fits, or nothing."""
    area = random.uniform(*ERASED_AREA, (_TRIES, count)) * height * width
    aspect = np.exp(random.uniform(math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1]), (_TRIES, count)))
    down, right = random.random((2, count))
    high, wide = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (high < height) & (wide < width)
    first, every = fits.argmax(0), np.arange(count)
    high, wide = (np.where(fits.any(0), sides[first, every], 0) for sides in (high, wide))
    top, left = np.floor(down * (height - high + 1)), np.floor(right * (width - wide + 1))
    return tuple(values.astype(np.int64) for values in (top, left, high, wide))


def _uniform(random: np.random.Generator, limits: tuple[float, float], count: int, like: Tensor) -> Tensor:
    """(count,), drawn in float64 and moved to where ``like`` is, in its dtype."""
    return torch.from_numpy(random.uniform(*limits, count)).to(like)
