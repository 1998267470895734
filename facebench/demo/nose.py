"""The nose: the ridge that the light shapes, the nostrils and the shadows around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, darken, ellipse, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

ROOT = -9.0
"""Row at which the bridge begins."""


def bent(view: View, traits: Traits, name: str = "nose") -> Plane:
    """Sideways place in a window around the nose, counted from the nose's own line; (B, h, w).

    The nose stands out more the further down, so it slides aside when the head turns; and it may be crooked.
    """
    window = view.windows[name]
    along = _along(window(view.y), traits)
    along *= 0.8 * traits["nose-relief"] * view.lean + traits["nose-deviation"]
    return np.subtract(window(view.x), along, out=along)


def _along(y: Plane, traits: Traits) -> Plane:
    """0 at the root of the nose, 1 at its tip and below."""
    along = y - ROOT
    along *= 1.0 / (traits["nose-length"] - ROOT)
    return unit(along)


def ridge(x: Plane, y: Plane, traits: Traits) -> Plane:
    """How far the nose stands out, in pixels; (B, h, w)."""
    length, width, stands = traits["nose-length"], traits["nose-width"], traits["nose-relief"]
    along = _along(y, traits)
    half = along * along
    half *= 0.55 * width - 0.4 * traits["nose-bridge"]
    half += traits["nose-bridge"] + 1.8
    profile = x / half
    profile *= profile
    np.subtract(1.0, profile, out=profile)
    unit(profile)
    profile *= profile
    root = traits["nose-root"]
    along *= 1.0 - root
    along += root
    start = y - (ROOT - 5.0)
    start *= 0.125
    along *= unit(start)
    profile *= along
    end = np.subtract(length + 5.5 - 0.6 * traits["nose-turn"], y)
    end *= 0.17
    profile *= unit(end)
    profile *= 0.72 * stands
    tip = traits["nose-tip"]
    profile += 0.30 * stands * blob(x, y, (0.0, length - 0.4 * traits["nose-turn"]), (tip + 1.6, tip + 0.8))
    wide = np.abs(x)
    profile += 0.42 * stands * blob(wide, y, (width - 2.6, length + 1.2), (4.4, 4.8))
    return profile


def paint_nose(planes: Plane, view: View, traits: Traits) -> None:
    """Paint nostrils, wings and the shadow under the tip."""
    window = view.windows["nostrils"]
    x, y, part = bent(view, traits, "nostrils"), window(view.y), window(planes)
    length, width, turn = traits["nose-length"], traits["nose-width"], traits["nose-turn"]
    wide = np.abs(x)
    base = length + 4.2 - 0.45 * turn
    shadow = blob(x, y, (0.0, base + 1.6), (width + 1.5, 3.6))
    shadow *= 0.42
    crease = blob(wide, y, (width + 0.4, length + 1.5), (1.8, 4.2))
    crease *= 0.5
    shadow += crease
    size = traits["nostrils"]
    hole = unit(ellipse(wide, y, (0.46 * width, base), (size * 1.35, 0.55 * size + 0.16 * turn + 0.35)) * 1.6)
    hole *= 1.5
    shadow += hole
    darken(part, shadow, 0.60, 0.45)
    shine = blob(x, y, (1.6 * np.clip(traits["light-x"], -1.0, 1.0), length - 1.8), (2.2, 2.0))
    shine *= 45.0 * traits["shine"]
    part += shine
