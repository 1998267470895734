"""What the camera does to a picture: blur, coarse sampling, noise and rounding to bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import GRAIN, SIZE, grain

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.demo.canvas import Plane, Traits

PLACES = SIZE * SIZE * 3


def develop(planes: Plane, traits: Traits, pictures: npt.NDArray[np.uint8]) -> None:
    """Take the pictures.

    Args:
        planes: (3, B, 112, 112) colours, half a step too high so that cutting them off rounds them; used up.
        traits: The parameters.
        pictures: (B, 112, 112, 3) bytes to fill.
    """
    blur, side = traits["blur"][:, 0, 0], traits["coarseness"][:, 0, 0]
    noise, place = traits["noise"][:, 0, 0] * np.float32(7.0), traits["noise-place"][:, 0, 0]
    for image in range(len(traits)):
        picture = planes[:, image]
        if blur[image] > 0:
            picture = defocus(picture, float(blur[image]) * 1.8)
        if side[image] < SIZE:
            picture = coarsen(picture, int(side[image]))
        if noise[image] > 0:
            start = int(place[image] * np.float32(GRAIN - PLACES))
            picture += grain()[start : start + PLACES].reshape(3, SIZE, SIZE) * noise[image]
        if blur[image] > 0 or side[image] < SIZE:
            planes[:, image] = picture
    np.clip(planes, 0.0, 255.0, out=planes)
    for channel in range(3):
        pictures[..., channel] = planes[channel]


def defocus(picture: Plane, level: float) -> Plane:
    """Blur (3, H, W) by up to three passes of the kernel 1-2-1 with growing steps; level 3 deviates by 2.6 pixels."""
    for step in (1, 2, 3):
        weight = np.float32(min(max(level - step + 1, 0.0), 1.0) * 0.25)
        if weight > 0:
            picture = _spread(picture, step, weight)
            picture = _spread(picture.transpose(0, 2, 1), step, weight).transpose(0, 2, 1)
    return picture


def _spread(picture: Plane, step: int, weight: np.float32) -> Plane:
    """Mix every pixel with those `step` to its left and right, repeating the border."""
    share = picture * weight
    mixed = picture * (1 - 2 * weight)
    mixed[..., step:] += share[..., :-step]
    mixed[..., :step] += share[..., :1]
    mixed[..., :-step] += share[..., step:]
    mixed[..., -step:] += share[..., -1:]
    return mixed


def coarsen(picture: Plane, side: int) -> Plane:
    """Average (3, H, W) over `side` x `side` cells and stretch that smoothly back to full size."""
    across = _cells(np.ascontiguousarray(_cells(picture, side).transpose(0, 2, 1)), side)
    return _stretch(np.ascontiguousarray(_stretch(across, side).transpose(0, 2, 1)), side)


def _cells(picture: Plane, side: int) -> Plane:
    """Averages over `side` stretches of the middle axis, of evenly spread rows each; (3, side, W)."""
    taps = -(-SIZE // side)
    places = (np.arange(side * taps) * 2 + 1) * SIZE // (2 * side * taps)
    total = np.take(picture, places[::taps], axis=1)
    for tap in range(1, taps):
        total += np.take(picture, places[tap::taps], axis=1)
    total *= np.float32(1 / taps)
    return total


def _stretch(cells: Plane, side: int) -> Plane:
    """Linear interpolation of the middle axis from `side` back to 112; (3, 112, W)."""
    place = np.clip((np.arange(SIZE) * 2 + 1) * side / (2 * SIZE) - 0.5, 0, side - 1)
    low = np.minimum(place.astype(np.int64), side - 2)
    part = (place - low).astype(np.float32)[:, None]
    full = np.take(cells, low, axis=1)
    full *= 1 - part
    above = np.take(cells, low + 1, axis=1)
    above *= part
    full += above
    return full
