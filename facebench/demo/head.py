"""The head without its features: outline, skin, ears and neck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import colour, ellipse, enrich, paint, ramp, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

SKIN = (
    (84.0, 54.0, 40.0),
    (126.0, 84.0, 62.0),
    (168.0, 120.0, 92.0),
    (205.0, 157.0, 128.0),
    (224.0, 182.0, 156.0),
    (238.0, 204.0, 183.0),
)
TOP = -57.0


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


def skin_colour(traits: Traits) -> Plane:
    """The colour of the skin, (3, B, 1, 1)."""
    warm = traits["skin-undertone"]
    return enrich(ramp(traits["skin-tone"], SKIN) * (1.0 + colour(0.015, 0.012, -0.085) * warm), traits)


def paint_head(planes: Plane, cover: Plane, view: View, traits: Traits, inside: Plane) -> None:
    """Paint neck, ears and, where `inside` is positive, skin; let `cover` (B, H, W) grow by them."""
    skin = skin_colour(traits)
    _paint_neck(planes, cover, view, skin)
    _paint_ears(planes, cover, view, traits, skin)
    alpha = np.clip(inside, 0.0, 1.0)
    paint(planes, alpha, skin)
    np.maximum(cover, alpha, out=cover)


def _paint_neck(planes: Plane, cover: Plane, view: View, skin: Plane) -> None:
    window = view.windows["neck"]
    alpha = np.subtract(28.0, np.abs(window(view.x)))
    unit(alpha)
    alpha *= unit(window(view.y) - 30.0)
    paint(window(planes), alpha, skin * colour(0.60, 0.52, 0.50))
    np.maximum(window(cover), alpha, out=window(cover))


def _paint_ears(planes: Plane, cover: Plane, view: View, traits: Traits, skin: Plane) -> None:
    window = view.windows["ears"]
    x, y = np.abs(window(view.x)), window(view.y)
    size, height = traits["ear-size"], traits["ear-height"]
    side = traits["head-width"] + traits["ear-stand"] - 1.0
    lean = y - height
    lean *= 0.16
    lean += x
    shape = ellipse(lean, y, (side, height), (0.52 * size, size))
    alpha = unit(shape * 5.0)
    inner = shape - 0.40
    inner *= 1.9
    unit(inner)
    inner *= -0.32
    inner += 1.0
    paint(window(planes), alpha, skin * colour(0.93, 0.80, 0.77) * inner)
    np.maximum(window(cover), alpha, out=window(cover))
