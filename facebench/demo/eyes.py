"""Eyes and eyebrows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, colour, darken, enrich, line, paint, ramp, strands, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

IRIS = (
    (52.0, 32.0, 22.0),
    (84.0, 54.0, 32.0),
    (112.0, 88.0, 50.0),
    (88.0, 108.0, 78.0),
    (112.0, 124.0, 128.0),
    (84.0, 122.0, 158.0),
)


@dataclass(frozen=True, slots=True)
class _Lids:
    """Both eyes at once, folded onto each other: everything (B, h, w).

    Attributes:
        x: Outward distance from the middle of the eye.
        y: Downward distance from the eye's axis.
        side: -1 in the left half of the picture, 1 in the right.
        upper: Height of the upper lid at each x.
        lower: The same of the lower lid.
        ends: 1 along the eye, fading out beyond its corners.
    """

    x: Plane
    y: Plane
    side: Plane
    upper: Plane
    lower: Plane
    ends: Plane


def _lids(view: View, traits: Traits) -> _Lids:
    window = view.windows["eyes"]
    side = np.sign(window(view.x))
    x = np.abs(window(view.x))
    x -= traits["eye-spacing"]
    y = window(view.y) + traits["eye-tilt"] * x
    along = x * (1.0 / traits["eye-width"])
    bell = along * along
    np.subtract(1.0, bell, out=bell)
    ends = np.abs(along)
    np.subtract(1.14, ends, out=ends)
    ends *= 5.0
    unit(ends)
    squint = 1.0 - 0.22 * np.clip(traits["smile"], 0.0, 1.0)
    opening = traits["eye-opening"] * squint * (1.0 + 0.12 * np.clip(traits["brow-raise"], 0.0, 1.0))
    lower = bell * (opening * traits["lower-lid"])
    along *= traits["eye-shape"]
    along += 1.0
    along *= bell
    closed = np.clip(traits["eye-closure"], 0.0, 1.0)
    along *= -opening * (1.0 - closed)
    along += lower * closed
    return _Lids(x, y, side, along, lower, ends)


def paint_eyes(planes: Plane, view: View, traits: Traits) -> None:
    """Paint eyeballs, lids and lashes."""
    part = view.windows["eyes"](planes)
    lids = _lids(view, traits)
    above = lids.y - lids.upper
    inside = np.minimum(above, lids.lower - lids.y)
    inside *= 1.1
    inside += 0.45
    unit(inside)
    inside *= lids.ends
    paint(part, inside, colour(224.0, 214.0, 206.0))
    _paint_iris(part, lids, traits, inside)
    _shade_lids(part, lids, traits, above, inside)
    _paint_lashes(part, lids, traits, above)


def _paint_iris(part: Plane, lids: _Lids, traits: Traits, inside: Plane) -> None:
    gaze = lids.side * traits["gaze-x"]
    x = lids.x - gaze
    y = lids.y - (traits["gaze-y"] - 0.1 * traits["eye-opening"])
    distance = x * x
    distance += y * y
    np.sqrt(distance, out=distance)
    size = traits["iris-size"]
    ring = np.subtract(size, distance)
    disc = unit(ring + 0.5)
    disc *= inside
    shade = ring * 0.55
    unit(shade)
    shade *= 0.55
    shade += 0.45 + 0.035 * y
    hue = ramp(traits["iris-hue"], IRIS)
    pupil = np.subtract(0.42 * size + 0.5, distance)
    unit(pupil)
    pupil *= -0.88
    pupil += 1.0
    shade *= pupil
    paint(part, disc, shade * enrich(hue, traits))
    x *= lids.side
    x -= np.clip(traits["light-x"], -1.0, 1.0)
    y += 1.1
    glint = blob(x, y, (0.0, 0.0), (1.5, 1.5))
    glint *= inside
    glint *= 190.0
    part += glint


def _shade_lids(part: Plane, lids: _Lids, traits: Traits, above: Plane, inside: Plane) -> None:
    """The shadow of the lid on the eyeball, the lid, its crease, and the rim of the lower lid."""
    crease = traits["lid-crease"]
    dark = line(above, -0.5 * crease, 0.5 * crease + 0.8)
    dark *= 0.22 + 0.4 * traits["make-up"]
    fold = line(above, -crease - 0.6, 1.25)
    fold *= traits["lid-fold"]
    dark += fold
    rim = line(lids.y, lids.lower + 0.5, 1.0)
    rim *= 0.32
    dark += rim
    dark *= lids.ends
    shadow = line(above, 0.0, 2.8)
    shadow *= inside
    shadow *= 0.6
    dark += shadow
    darken(part, unit(dark), 0.48, 0.38)


def _paint_lashes(part: Plane, lids: _Lids, traits: Traits, above: Plane) -> None:
    thick = lids.x * 0.09
    thick += traits["lashes"] + 0.75 + 0.5 * traits["make-up"]
    np.clip(thick, 0.7, 3.0, out=thick)
    lash = np.abs(above + 0.15)
    lash /= thick
    np.subtract(1.25, lash, out=lash)
    unit(lash)
    lash *= lids.ends
    lash *= 0.92
    paint(part, lash, colour(30.0, 21.0, 19.0))


def paint_brows(planes: Plane, view: View, traits: Traits, hair: Plane) -> None:
    """Paint both eyebrows, strand by strand."""
    window = view.windows["brows"]
    wide = np.abs(window(view.x))
    y = window(view.y)
    along = wide - traits["brow-gap"]
    along *= 1.0 / traits["brow-length"]
    rise = traits["brow-raise"]
    middle = along - 0.58
    middle *= middle
    middle *= -1.9
    middle += 1.0 - 0.35
    middle *= traits["brow-arch"] + 0.8 * np.clip(rise, 0.0, None)
    tilt = along - 0.4
    tilt *= traits["brow-tilt"] - 1.6 * np.clip(rise, None, 0.0) * -1.0
    middle += tilt
    middle += y
    middle += traits["brow-height"] + 2.6 * rise
    half = along * along
    half *= -0.72
    half += 1.0
    half *= traits["brow-thickness"]
    np.abs(middle, out=middle)
    band = half - middle
    band *= 0.8
    band += 0.55
    unit(band)
    ends = np.subtract(1.0, along)
    ends *= 6.0
    band *= unit(ends)
    along *= 7.0
    along += 0.45
    band *= unit(along)
    place = wide * 9.0
    place += y * 6.0
    hairs = np.take(strands(), place.astype(np.int32), mode="wrap")
    hairs *= 0.55
    hairs += 0.55
    band *= hairs
    band *= traits["brow-strength"]
    paint(window(planes), unit(band), hair * 0.62)
