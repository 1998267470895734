"""Hair on the head and in the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, colour, enrich, paint, ramp, strands, stretch, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

HAIR = (
    (24.0, 20.0, 20.0),
    (46.0, 33.0, 27.0),
    (76.0, 52.0, 36.0),
    (112.0, 78.0, 50.0),
    (160.0, 120.0, 74.0),
    (204.0, 170.0, 118.0),
)
REACH, STEP = 72.0, 0.125
PLACES = np.arange(-REACH, REACH, STEP, dtype=np.float32)[None, None, :]
"""Sideways places at which the hairline is worked out."""
BROADEST = -14.0
"""Row at which the hair is widest."""
EDGE = 0.36
"""Coverage gained per row above the hairline."""
DEPTH = 14.0
"""About how many pixels the middle of the hair lies within its outline."""
CROWN = -92.0
"""Row above the head from which the strands spread."""


@dataclass(frozen=True, slots=True)
class Hair:
    """The hair of a batch, worked out once for everything that needs it.

    Attributes:
        colour: (3, B, 1, 1).
        tex: (B, H, W) strands, 0 to 1.
        depth: (B, H, W) about how many pixels each lies within the outline of the hair.
        hang: (B, H, W) how far above the hairline each lies; hair covers it fully from 1 on.
    """

    colour: Plane
    tex: Plane
    depth: Plane
    hang: Plane


def comb(half: View, traits: Traits, outline: Plane) -> Hair:
    """Lay the strands, given every second pixel of the view and of what `hood` gives."""
    grey = np.clip(traits["grey"], 0.0, 1.0)
    hue = ramp(traits["hair-colour"], HAIR) * (1.0 + traits["hair-redness"] * colour(0.38, -0.05, -0.30))
    hue = hue + (colour(168.0, 166.0, 164.0) - hue) * grey
    drop = np.clip(half.y - CROWN, 16.0, None)
    spread = half.x - (traits["hair-parting"] + traits["hair-shift"])
    turn = half.y * 0.05
    turn += traits["hair-shift"] * 0.11
    turn -= np.floor(turn)
    turn *= 1.0 - turn
    turn *= traits["hair-wave"] * 22.0
    spread += turn
    spread /= drop
    spread *= 520.0
    tex = np.take(strands(), stretch(spread).astype(np.int32), mode="wrap")
    hang = _look_up(_hairline(PLACES, traits) - 1.1, half.x)
    hang -= half.y
    hang *= EDGE
    return Hair(enrich(hue, traits), tex, stretch((1.0 - outline) * DEPTH), stretch(hang))


def hood(view: View, traits: Traits) -> Plane:
    """How far out every pixel lies on the hair: 1 on its outline. A cap when short, hanging straight when long."""
    volume = traits["hair-volume"]
    across = view.x * (1.0 / (traits["head-width"] * (1.03 + 0.35 * volume)))
    across *= across
    height = view.y - BROADEST
    down = np.clip(height, 0.0, None)
    height -= down
    height *= 1.0 / (46.0 + 26.0 * volume)
    height *= height
    across += height
    length = np.clip(traits["hair-length"], 0.0, 1.0)
    down *= 1.0 / (24.0 + 30.0 * np.clip(traits["hair-length"] * 3.0, -0.2, 1.0) + 400.0 * length * length)
    down *= down
    across += down
    return across


def paint_back_hair(planes: Plane, view: View, traits: Traits, hair: Hair) -> Plane:
    """Fill the planes with what hangs behind the head; returns its coverage (B, H, W)."""
    alpha = hair.tex * 9.0
    alpha -= view.y
    alpha += 8.0 + 80.0 * np.clip(traits["hair-length"], -0.1, 1.0)
    alpha *= 0.2
    np.minimum(alpha, hair.depth, out=alpha)
    unit(alpha)
    shade = hair.tex * traits["hair-streaks"]
    shade += 0.64 - 0.5 * traits["hair-streaks"]
    np.multiply(hair.colour, shade, out=planes)
    return alpha


def paint_front_hair(planes: Plane, cover: Plane, traits: Traits, hair: Hair) -> Plane:
    """Paint the hair above and beside the face, let `cover` grow; (B, 56, 56) how fully every second pixel is hair."""
    hang = hair.tex * 1.8
    hang += hair.hang
    edge = hair.tex * (0.5 + 2.6 * traits["hair-wave"])
    edge += hair.depth
    alpha = np.minimum(hang, edge)
    unit(alpha)
    np.clip(hang, 0.0, 3.0, out=hang)
    glow = np.subtract(1.4 * DEPTH, hair.depth, out=edge)
    glow *= hair.depth
    glow *= 0.85 / (DEPTH * DEPTH)
    glow += 0.73
    shade = hair.tex * traits["hair-streaks"]
    shade += 0.92 - 0.5 * traits["hair-streaks"]
    shade *= glow
    soft = hang * 0.09
    soft += 0.73
    shade *= soft
    keep = np.subtract(1.0, alpha)
    shade *= alpha
    for channel, hue in zip(planes, hair.colour, strict=True):
        channel *= keep
        channel += shade * hue
    np.maximum(cover, alpha, out=cover)
    lie: Plane = hang[:, ::2, ::2] * alpha[:, ::2, ::2] * np.float32(1 / 3)
    return lie


def _look_up(table: Plane, x: Plane) -> Plane:
    """The entries of a table over `PLACES`, (B, 1, T), at sideways places (B, H, W)."""
    place = x + REACH
    place *= 1.0 / STEP
    np.clip(place, 0.0, PLACES.shape[2] - 1.0, out=place)
    index = place.astype(np.int32)
    index += np.arange(len(table), dtype=np.int32)[:, None, None] * table.shape[2]
    return np.take(table.ravel(), index, mode="clip")


def _hairline(x: Plane, traits: Traits) -> Plane:
    """The row above which there is hair, at sideways places (1, 1, T); (B, 1, T)."""
    share = np.abs(x) * (1.0 / traits["head-width"])
    top = -traits["hairline"]
    square = share * share
    row = square * square
    row *= -4.0 - top
    row += top
    temples = share - 0.55
    temples *= 2.9
    temples *= temples
    np.subtract(1.0, temples, out=temples)
    unit(temples)
    row -= temples * traits["hairline-temples"]
    peak = np.subtract(0.30, share)
    np.clip(peak, 0.0, None, out=peak)
    peak *= 3.3 * traits["hairline-peak"]
    row += peak
    burn = share - 0.86
    burn *= 12.0
    unit(burn)
    burn *= 2.0 + traits["sideburns"]
    row += burn
    length = np.clip(traits["hair-length"] - 0.15, 0.0, 1.0)
    curtain = share - traits["hair-curtain"]
    curtain *= 9.0
    unit(curtain)
    curtain *= 110.0 * length
    row += curtain
    lie = traits["hair-parting"] + traits["hair-shift"]
    fringe = x + lie
    fringe *= 1.0 / 36.0
    fringe *= fringe
    np.subtract(1.0, fringe, out=fringe)
    unit(fringe)
    fringe *= np.clip(traits["hair-fringe"], 0.0, None) * np.clip((traits["hairline"] - 18.0) / 12.0, 0.0, 1.0)
    fringed: Plane = row + fringe
    return fringed


def paint_beard(planes: Plane, view: View, traits: Traits, hair: Hair, inside: Plane) -> None:
    """Paint beard and moustache of those who have one; the lips come later, on top."""
    for name, cover in (("beard", _beard), ("moustache", _moustache)):
        has = np.flatnonzero(traits[name] > 0)
        if not len(has):
            continue
        window = view.windows[name]
        x, y, part = window(view.x)[has], window(view.y)[has], window(planes)[:, has]
        wide = np.abs(x)
        alpha = cover(wide, y, window(inside)[has], traits.only(has))
        place = wide * 9.0
        place -= y * 4.0
        hairs = np.take(strands(), place.astype(np.int32), mode="wrap")
        hairs *= 0.53
        hairs += 0.48
        alpha *= hairs
        paint(part, unit(alpha), hair.colour[:, has] * 0.72)
        window(planes)[:, has] = part


def _beard(wide: Plane, y: Plane, inside: Plane, traits: Traits) -> Plane:
    """Coverage (B, h, w) of chin and cheeks."""
    extent = np.clip(traits["beard-extent"], 0.0, 1.0)
    edge = np.clip(wide - (13.0 + 40.0 * extent), 0.0, None)
    edge *= -2.5
    edge += y
    edge -= 47.0 - 4.0 * extent
    edge += wide * 0.85
    edge *= 0.11
    unit(edge)
    edge *= np.clip(inside, 0.0, 1.0)
    edge *= np.clip(traits["beard"], 0.0, 1.0) * 1.15
    return edge


def _moustache(wide: Plane, y: Plane, inside: Plane, traits: Traits) -> Plane:
    """Coverage (B, h, w) between nose and mouth."""
    mouth, nose = traits["mouth-height"], traits["nose-length"] + 6.0
    middle, half = (mouth + nose) * 0.5 + 0.6, 0.5 * (mouth - nose) + 3.0
    lip = blob(wide, y, (4.5, middle), (traits["mouth-width"] - 0.5, half))
    lip *= np.clip(traits["moustache"], 0.0, 1.0) * 2.2
    return unit(lip)
