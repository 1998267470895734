"""The head without its features: outline, relief, skin, ears and neck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, colour, darken, ellipse, line, paint, ramp, smooth, unit
from facebench.demo.nose import bent, ridge

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

SKIN = ((84.0, 54.0, 40.0), (126.0, 84.0, 62.0), (168.0, 120.0, 92.0), (205.0, 157.0, 128.0), (224.0, 182.0, 156.0), (238.0, 204.0, 183.0))
TOP = -57.0
DOME = 33.0


def outline(view: View, traits: Traits) -> Plane:
    """How far out every pixel lies on the head: 0 in the middle, 1 on its outline, more outside; (B, H, W).

    With p the squared relative width, u and d the squared relative heights above and below the widest row, the level
    set of p + u + d (1 - c + c d) + p (f u + j d) runs from boxes (f, j towards -1) over ellipses (0) to wedges.
    """
    widest, chin = traits["cheek-height"], traits["chin-length"]
    round_ = traits["chin-roundness"]
    across = view.x * (1.0 / traits["head-width"])
    across *= across
    height = view.y - widest
    down = np.clip(height, 0.0, None)
    height -= down
    height *= 1.0 / (widest - TOP)
    height *= height
    down *= 1.0 / (chin - widest)
    down *= down
    bend = height * traits["forehead-width"]
    bend += down * traits["jaw-width"]
    bend += 1.0
    across *= bend
    across += height
    np.multiply(down, round_, out=bend)
    bend += 1.0 - round_
    down *= bend
    across += down
    return across


def relief(view: View, traits: Traits, out: Plane, hood: Plane, covered: Plane) -> Plane:
    """How far every pixel of the head stands out, in pixels; (B, H, W).

    Args:
        view: Where the pixels lie on the face.
        traits: The parameters.
        out: The outline field of the head.
        hood: (B, H, W) the outline field of the hair.
        covered: (B, H, W) where hair lies on the head, so that its outline takes over.
    """
    dome = np.minimum(out, hood)
    dome -= out
    dome *= covered
    dome += out
    dome *= dome
    np.subtract(1.0, dome, out=dome)
    np.clip(dome, 0.0, None, out=dome)
    np.sqrt(dome, out=dome)
    dome *= DOME
    wide = np.abs(view.x)
    _eye_relief(view, traits, dome, wide)
    _cheek_relief(view, traits, dome, wide)
    _mouth_relief(view, traits, dome, wide)
    window = view.windows["nose"]
    window(dome)[...] += ridge(bent(view, traits), window(view.y), traits)
    return dome


def _eye_relief(view: View, traits: Traits, dome: Plane, wide: Plane) -> None:
    window = view.windows["brows"]
    x, y = window(wide), window(view.y)
    bump = blob(x, y, (traits["eye-spacing"], -10.0), (16.0, 8.0))
    bump *= traits["brow-ridge"]
    window(dome)[...] += bump
    window = view.windows["eyes"]
    x, y = window(wide), window(view.y)
    bump = blob(x, y, (traits["eye-spacing"] - 1.0, -1.0), (12.5, 9.0))
    bump *= -traits["eye-depth"]
    bump += 1.6 * blob(x, y, (traits["eye-spacing"], 0.0), (8.0, 6.0))
    bump += traits["eye-bags"] * blob(x, y, (traits["eye-spacing"], 6.5), (8.0, 3.4))
    window(dome)[...] += bump


def _cheek_relief(view: View, traits: Traits, dome: Plane, wide: Plane) -> None:
    window = view.windows["cheeks"]
    x, y = window(wide), window(view.y)
    smile = np.clip(traits["smile"], 0.0, None)
    bump = blob(x, y, (24.0, 15.0 - 2.0 * smile), (15.0, 12.0))
    bump *= traits["cheekbones"] + 2.0 * smile
    bump += traits["cheek-fullness"] * blob(x, y, (23.0, 34.0), (14.0, 15.0))
    nose, mouth = traits["nose-length"], traits["mouth-height"]
    place = y - nose
    place *= (traits["mouth-width"] + 4.5 - traits["nose-width"]) / (mouth - nose)
    place += traits["nose-width"] + 1.0
    fold = line(x, place, 4.0)
    fold *= unit(ellipse(x, y, (17.0, (nose + mouth) * 0.5), (13.0, 14.0)))
    fold *= 1.2 * traits["smile-lines"] + 1.5 * smile
    bump -= fold
    window(dome)[...] += bump


def _mouth_relief(view: View, traits: Traits, dome: Plane, wide: Plane) -> None:
    window = view.windows["mouth"]
    x, y = window(wide), window(view.y)
    mouth, chin = traits["mouth-height"], traits["chin-length"]
    bump = 2.6 * blob(x, y, (0.0, mouth), (traits["mouth-width"] + 5.0, 11.0))
    bump += traits["chin-relief"] * blob(x, y, (0.0, chin - 6.0), (12.0, 8.0))
    bump -= 1.4 * blob(x, y, (0.0, mouth + traits["lower-lip"] + 3.5), (9.0, 4.0))
    bump -= np.clip(traits["chin-cleft"], 0.0, None) * blob(x, y, (0.0, chin - 5.0), (2.6, 6.0)) * 1.6
    bump -= traits["philtrum"] * blob(x, y, (0.0, mouth - 6.5), (2.6, 5.5))
    window(dome)[...] += bump


def skin_colour(traits: Traits) -> Plane:
    """The colour of the skin, (3, B, 1, 1)."""
    warm = traits["skin-undertone"]
    return ramp(traits["skin-tone"], SKIN) * (1.0 + colour(0.015, 0.0, -0.085) * warm + colour(0.0, 0.012, 0.0) * warm)


def paint_head(planes: Plane, view: View, traits: Traits, out: Plane) -> Plane:
    """Paint neck, ears and skin; returns their joint coverage (B, H, W)."""
    skin = skin_colour(traits)
    cover = np.subtract(1.0, out)
    cover *= 17.0
    cover += 0.5
    unit(cover)
    wide = np.abs(view.x)
    neck, ears = _paint_neck(planes, view, skin, wide), _paint_ears(planes, view, traits, skin, wide)
    paint(planes, cover, skin)
    window = view.windows["neck"]
    np.maximum(window(cover), neck, out=window(cover))
    window = view.windows["ears"]
    np.maximum(window(cover), ears, out=window(cover))
    return cover


def _paint_neck(planes: Plane, view: View, skin: Plane, wide: Plane) -> Plane:
    window = view.windows["neck"]
    alpha = np.subtract(28.0, window(wide))
    unit(alpha)
    alpha *= unit(window(view.y) - 30.0)
    paint(window(planes), alpha, skin * colour(0.60, 0.52, 0.50))
    return alpha


def _paint_ears(planes: Plane, view: View, traits: Traits, skin: Plane, wide: Plane) -> Plane:
    window = view.windows["ears"]
    x, y = window(wide), window(view.y)
    size, height = traits["ear-size"], traits["ear-height"]
    side = traits["head-width"] + traits["ear-stand"] - 1.0
    lean = y - height
    lean *= 0.16
    lean += x
    shape = ellipse(lean, y, (side, height), (0.52 * size, size))
    alpha = unit(shape * 5.0)
    paint(window(planes), alpha, skin * colour(0.93, 0.80, 0.77))
    inner = unit(ellipse(lean, y, (side + 0.8, height - 0.5), (0.30 * size, 0.66 * size)) * 1.6)
    inner *= 0.55
    darken(window(planes), inner, (0.62, 0.48, 0.46))
    return alpha


def paint_skin(planes: Plane, view: View, traits: Traits, out: Plane) -> None:
    """Paint what lies in the skin itself: blush, shadowed eye sockets, and the turn away at the outline."""
    wide = np.abs(view.x)
    window = view.windows["cheeks"]
    x, y = window(wide), window(view.y)
    flush = blob(x, y, (22.0, 21.0), (17.0, 15.0))
    flush *= traits["blush"]
    darken(window(planes), flush, (1.02, 0.80, 0.78))
    window = view.windows["eyes"]
    x, y = window(wide), window(view.y)
    spacing = traits["eye-spacing"]
    shade = blob(x, y, (spacing - 3.5, -2.0), (12.5, 8.5))
    shade *= 0.10 + 0.10 * traits["eye-depth"]
    shade += traits["eye-bags"] * 0.45 * blob(x, y, (spacing - 1.0, 6.0), (9.0, 4.0))
    darken(window(planes), unit(shade), (0.62, 0.50, 0.50))
    rim = out - 0.55
    rim *= 2.0
    smooth(rim)
    rim *= 0.30
    darken(planes, rim, (0.80, 0.66, 0.62))
