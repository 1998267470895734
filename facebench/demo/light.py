"""Light and shade: what turns flat colours into a head, and the blurred background behind it.

The factors by which light multiplies the colours are soft, so they are worked out on every second pixel and stretched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.blemishes import paint_wrinkles
from facebench.demo.canvas import SIZE, TILE, blob, colour, darken, enrich, mottle, smooth, stretch, unit
from facebench.demo.nose import bent
from facebench.demo.relief import Ground, relief

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

BOUNCE = np.array([0.12, 0.04], dtype=np.float32)[:, None, None, None]
"""Share of red, and of green and blue, that reaches the shadows of skin and hair, which makes them warm."""


STEEPEST = 1.3
"""Largest slope that is lit as such: what is steeper would only glitter."""


def light_colour(traits: Traits) -> Plane:
    """What light and camera do to each channel of something white and flat, (3, B, 1, 1)."""
    warm, green = traits["warmth"], traits["tint"]
    cast = 1.0 + colour(1.0, 0.1, -1.0) * warm + colour(-0.5, 1.0, -0.5) * green
    return cast * ((1.0 + traits["exposure"]) * (1.0 + traits["contrast"]))


def illuminate(planes: Plane, half: View, traits: Traits, ground: Ground) -> None:
    """Light the painted head (3, B, 112, 112) in place; the view and the ground have every second pixel."""
    lit = _lit(relief(half, traits, ground), traits)
    factors = lit * (1.0 - BOUNCE)
    factors += BOUNCE
    _tint(factors, half, traits, ground)
    red, green, blue = light_colour(traits)
    planes[0] *= stretch(factors[0] * red)
    rest = stretch(factors[1] * green)
    planes[1] *= rest
    rest *= blue / green
    planes[2] *= rest


def _lit(heights: Plane, traits: Traits) -> Plane:
    """How much light falls on each half-resolution pixel, about 1 on what faces the viewer; (B, 56, 56)."""
    across, down = np.zeros_like(heights), np.zeros_like(heights)
    np.subtract(heights[:, :, 2:], heights[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(heights[:, 2:], heights[:, :-2], out=down[:, 1:-1])
    across *= 0.25
    down *= 0.25
    np.clip(across, -STEEPEST, STEEPEST, out=across)
    np.clip(down, -STEEPEST, STEEPEST, out=down)
    length = across * across
    length += 1.0
    length += down * down
    np.sqrt(length, out=length)
    right, below = traits["light-x"], traits["light-y"]
    across *= -right
    down *= -below
    across += down
    across += 1.0
    across /= length
    aim = 1.0 / np.sqrt(1.0 + right * right + below * below)
    gloss = np.multiply(across, 11.0 * aim, out=down)
    gloss -= 10.0
    unit(gloss)
    gloss *= gloss
    gloss *= 0.45 * traits["shine"] * (0.4 + 0.6 * traits["light-contrast"])
    np.clip(across, 0.0, 1.55, out=across)
    across -= 0.88
    across *= traits["light-contrast"]
    across += 1.0
    across += gloss
    tile = mottle()
    places = (traits["mottle-place"][:, 0, 0] * np.float32((TILE - SIZE) ** 2 - 1)).astype(np.int64)
    for image, place in enumerate(places):
        row, column = divmod(int(place), TILE - SIZE)
        across[image] *= tile[row : row + SIZE : 2, column : column + SIZE : 2]
    return across


def _tint(factors: Plane, view: View, traits: Traits, ground: Ground) -> None:
    """Blush, shadowed eye sockets, wrinkles, and the turn away at the outline; in place."""
    window = view.windows["cheeks"]
    flush = blob(np.abs(window(view.x)), window(view.y), (22.0, 21.0), (17.0, 15.0))
    flush *= traits["blush"]
    darken(window(factors), flush, 1.02, 0.79)
    window = view.windows["eyes"]
    x, y = np.abs(window(view.x)), window(view.y)
    spacing = traits["eye-spacing"]
    shade = blob(x, y, (spacing - 3.5, -2.0), (12.5, 8.5))
    shade *= 0.10 + 0.10 * traits["eye-depth"]
    bags = blob(x, y, (spacing - 1.0, 6.0), (9.0, 4.0))
    bags *= 0.45 * traits["eye-bags"]
    shade += bags
    darken(window(factors), unit(shade), 0.62, 0.5)
    window = view.windows["nose"]
    x, y, length, width = bent(view, traits), window(view.y), traits["nose-length"], traits["nose-width"]
    flush = blob(x, y, (0.0, length - 1.0), (width + 2.0, 8.0))
    flush *= 0.8 * traits["blush"]
    darken(window(factors), flush, 1.0, 0.785)
    rim = ground.out - 0.55
    rim *= 2.0
    smooth(rim)
    bare = 1.0 - ground.covered
    rim *= 0.30
    rim *= bare
    darken(factors, rim, 0.80, 0.64)
    paint_wrinkles(factors, view, traits, bare)


def background(planes: Plane, cover: Plane, traits: Traits) -> None:
    """Put a soft, out-of-focus background behind what is covered, in place; adds the camera's black level to all."""
    steps = np.arange(SIZE, dtype=np.float32) - np.float32(SIZE / 2)
    columns, rows = steps[None, None, :], steps[None, :, None]
    near = 1.0 - np.abs(columns - traits["ground-spot-x"]) * np.float32(1 / 52)
    high = 1.0 - np.abs(rows + 26.0) * np.float32(1 / 60)
    spot = smooth(near) * (smooth(high) * (60.0 * traits["ground-spot"]))
    spot += columns * (0.6 * traits["ground-slope-x"])
    spot += rows * (0.6 * traits["ground-slope-y"]) + traits["ground-tone"]
    spot *= 1.0 - cover
    hue = 1.0 + colour(1.0, 0.0, 0.0) * traits["ground-red"] + colour(0.0, 0.0, 1.0) * traits["ground-blue"]
    hue = enrich(hue, traits) * light_colour(traits)
    black = -124.0 * traits["contrast"] + 0.5
    for channel, tone in zip(planes, hue, strict=True):
        channel *= cover
        ground = spot * tone
        ground += black
        channel += ground
