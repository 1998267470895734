"""What light and camera do to a painted head: shading, background, tone, blur, coarse sampling, noise and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import GRAIN, SIZE, TILE, blob, colour, grain, mottle, unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

PLACES = SIZE * SIZE * 3
BOUNCE = colour(0.12, 0.045, 0.03)
"""Share of each colour that reaches the shadows of skin and hair, which makes them warm."""


def light_colour(traits: Traits) -> Plane:
    """What the light does to each channel of something white and flat, (3, B, 1, 1)."""
    warm, green = traits["warmth"], traits["tint"]
    cast = 1.0 + colour(1.0, 0.1, -1.0) * warm + colour(-0.5, 1.0, -0.5) * green
    return cast * (1.0 + traits["exposure"])


def illuminate(planes: Plane, relief: Plane, traits: Traits) -> None:
    """Light the head from one direction, in place.

    Args:
        planes: (3, B, H, W) its colours.
        relief: (B, H, W) how far each pixel stands out, in pixels; the slopes of this field catch the light.
        traits: The parameters.
    """
    across, down = np.zeros_like(relief), np.zeros_like(relief)
    np.subtract(relief[:, :, 2:], relief[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(relief[:, 2:], relief[:, :-2], out=down[:, 1:-1])
    across *= 0.5
    down *= 0.5
    length = across * across
    length += 1.0
    lit = across
    lit *= -traits["light-x"]
    slope = down * -traits["light-y"]
    lit += slope
    lit += 1.0
    down *= down
    length += down
    np.sqrt(length, out=length)
    lit /= length
    aim = 1.0 / np.sqrt(1.0 + traits["light-x"] * traits["light-x"] + traits["light-y"] * traits["light-y"])
    gloss = np.multiply(lit, 11.0 * aim, out=down)
    gloss -= 10.0
    unit(gloss)
    gloss *= gloss
    gloss *= 60.0 * traits["shine"] * (0.4 + 0.6 * traits["light-contrast"])
    np.clip(lit, 0.0, 1.55, out=lit)
    lit -= 0.88
    lit *= traits["light-contrast"]
    lit += 1.0
    _brush(lit, traits)
    cast = light_colour(traits)
    gain, floor = cast * (1.0 - BOUNCE), cast * BOUNCE
    for channel in range(3):
        shade = np.multiply(lit, gain[channel], out=length)
        shade += floor[channel]
        planes[channel] *= shade
        planes[channel] += gloss


def _brush(lit: Plane, traits: Traits) -> None:
    """Leave soft brush marks in the light, in place."""
    tile = mottle()
    places = (traits["mottle-place"][:, 0, 0] * np.float32((TILE - SIZE) ** 2 - 1)).astype(np.int64)
    for image, place in enumerate(places):
        row, column = divmod(int(place), TILE - SIZE)
        marks = tile[row : row + SIZE, column : column + SIZE] * 0.10
        marks += 1.0
        lit[image] *= marks


def background(planes: Plane, cover: Plane, view: View, traits: Traits) -> None:
    """Put a soft, out-of-focus background behind what is covered, in place."""
    steps = (np.arange(SIZE, dtype=np.float32) - 56.0) * np.float32(1 / 56)
    tone = traits["ground-slope-x"] * steps[None, None, :] + traits["ground-slope-y"] * steps[None, :, None]
    tone *= 34.0
    columns, rows = np.arange(SIZE, dtype=np.float32)[None, None, :], np.arange(SIZE, dtype=np.float32)[None, :, None]
    spot = blob(columns, rows, (traits["ground-spot-x"], 30.0), (48.0, 56.0))
    spot *= 60.0 * traits["ground-spot"]
    tone += spot
    tone += traits["ground-tone"]
    cast = light_colour(traits)
    shift = (traits["ground-red"], np.float32(0.0), traits["ground-blue"])
    for channel in range(3):
        ground = tone + shift[channel]
        ground *= cast[channel]
        planes[channel] -= ground
        planes[channel] *= cover
        planes[channel] += ground


def develop(planes: Plane, traits: Traits) -> npt.NDArray[np.uint8]:
    """Apply the camera and return (B, 112, 112, 3) bytes; `planes` is used up."""
    rich, contrast = traits["saturation"], 1.0 + traits["contrast"]
    grey = planes[0] + planes[1]
    grey += planes[2]
    grey *= 1.0 / 3.0
    grey *= -rich * contrast
    grey += 124.0 * (1.0 - contrast)
    for channel in planes:
        channel *= (1.0 + rich) * contrast
        channel += grey
    np.clip(planes, 0.0, 255.0, out=planes)
    pictures = np.empty((len(traits), SIZE, SIZE, 3), dtype=np.uint8)
    blur, side = traits["blur"][:, 0, 0], traits["coarseness"][:, 0, 0]
    noise, place = traits["noise"][:, 0, 0] * np.float32(7.0), traits["noise-place"][:, 0, 0]
    for image in range(len(traits)):
        picture = planes[:, image]
        if blur[image] > 0:
            picture = defocus(picture, float(blur[image]) * 2.4)
        if side[image] < SIZE:
            picture = coarsen(picture, int(side[image]))
        if noise[image] > 0:
            start = int(place[image] * np.float32(GRAIN - PLACES))
            picture = picture + grain()[start : start + PLACES].reshape(3, SIZE, SIZE) * noise[image]
        picture = np.clip(np.rint(picture), 0.0, 255.0)
        pictures[image] = picture.astype(np.uint8).transpose(1, 2, 0)
    return pictures


def defocus(picture: Plane, level: float) -> Plane:
    """Blur (3, H, W): up to three passes of the kernel 1-2-1 with growing steps; level 3 has a deviation of 2.6 pixels."""
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
    for _ in range(2):
        picture = _stretch(_cells(picture, side)).transpose(0, 2, 1)
    return picture


def _cells(picture: Plane, side: int) -> Plane:
    """Exact averages over `side` equal stretches of the last axis; (3, H, side)."""
    sums = np.zeros((*picture.shape[:2], SIZE + 1), dtype=np.float32)
    np.cumsum(picture, axis=2, out=sums[..., 1:])
    edges = np.arange(side + 1) * (SIZE / side)
    whole = np.minimum(edges.astype(np.int64), SIZE - 1)
    part = (edges - whole).astype(np.float32)
    at_edges = sums[..., whole] * (1 - part) + sums[..., whole + 1] * part
    return (at_edges[..., 1:] - at_edges[..., :-1]) * np.float32(side / SIZE)


def _stretch(cells: Plane) -> Plane:
    """Linear interpolation of the last axis back to 112; (3, H, 112)."""
    side = cells.shape[2]
    place = np.clip((np.arange(SIZE) + 0.5) * (side / SIZE) - 0.5, 0, side - 1)
    low = np.minimum(place.astype(np.int64), max(side - 2, 0))
    part = (place - low).astype(np.float32)
    return cells[..., low] * (1 - part) + cells[..., low + 1] * part
