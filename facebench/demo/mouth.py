"""The mouth: lips, teeth and the line between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, colour, darken, line, paint, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View


def paint_mouth(planes: Plane, view: View, traits: Traits, skin: Plane) -> None:
    """Paint the mouth as the expression shapes it."""
    window = view.windows["mouth"]
    part = window(planes)
    smile, opened = traits["smile"], np.clip(traits["mouth-open"], 0.0, 1.0)
    half = traits["mouth-width"] * (1.0 + 0.12 * smile - 0.10 * opened)
    x = window(view.x)
    y = window(view.y) - traits["mouth-height"]
    y -= traits["mouth-slant"] * x
    along = x * (1.0 / half)
    square = along * along
    bell = np.subtract(1.0, square)
    bend = traits["mouth-corners"] + 3.4 * smile
    middle = bell * bend
    middle -= 0.55 * bend
    thin = 1.0 - 0.22 * np.clip(smile, 0.0, 1.0)
    notch = np.abs(along)
    notch *= -4.0
    notch += 1.0
    unit(notch)
    notch *= traits["cupid-bow"]
    upper = np.subtract(1.0, notch)
    upper *= bell
    upper *= -traits["upper-lip"] * thin
    upper += middle
    gape = bell * (6.5 * opened + 1.4 * np.clip(smile - 0.45, 0.0, None))
    gape += middle
    bow = square * 0.35
    bow += 1.0
    lower = bell * bow
    lower *= traits["lower-lip"] * thin
    lower += gape
    _paint_lips(part, traits, skin, (x, y, upper, lower))
    _paint_gap(part, (x, y, middle, gape), opened)
    seam = np.minimum(line(y, middle, 1.2), unit(bell * 5.0 + 0.4))
    corner = blob(np.abs(x), y, (half, -0.55 * bend), (2.4, 2.0))
    np.maximum(seam, corner, out=seam)
    below = blob(x, y - lower, (0.0, 2.2), (9.0, 3.2))
    below *= 0.45
    seam += below
    seam *= 0.75
    darken(part, seam, 0.36, 0.24)


def _paint_lips(part: Plane, traits: Traits, skin: Plane, shape: tuple[Plane, Plane, Plane, Plane]) -> None:
    x, y, upper, lower = shape
    lips = np.minimum(y - upper, lower - y)
    lips *= 0.75
    lips += 0.4
    unit(lips)
    red = np.clip(traits["lip-redness"] + 0.5 * traits["make-up"], 0.0, 1.0)
    hue = skin * (1.0 - traits["lip-darkness"]) * (1.0 + red * colour(-0.04, -0.42, -0.36))
    lips *= 0.92
    paint(part, lips, hue)
    light = blob(x, y - lower, (0.0, -0.55 * traits["lower-lip"]), (6.0, 1.7))
    light *= 26.0 * (0.4 + traits["shine"])
    part += light


def _paint_gap(part: Plane, shape: tuple[Plane, Plane, Plane, Plane], opened: Plane) -> None:
    x, y, middle, gape = shape
    above = y - middle
    gap = np.minimum(above, gape - y)
    gap *= 1.2
    unit(gap)
    paint(part, gap, colour(58.0, 22.0, 24.0))
    teeth = np.subtract(2.6 + 0.6 * opened, above)
    unit(teeth)
    teeth *= gap
    fade = np.abs(x)
    fade *= -0.11
    fade += 1.35
    teeth *= unit(fade)
    paint(part, teeth, colour(232.0, 226.0, 214.0))
