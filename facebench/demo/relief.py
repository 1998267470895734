"""How far every part of the head stands out, so that light from any side finds its slopes.

All of it is soft, so it is worked out on every second pixel only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import blob, ellipse, line, unit
from facebench.demo.nose import bent, ridge

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

DOME = 24.0
"""Depth of the head from its outline to the middle of the face, in pixels."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the relief rises from; all fields (B, H, W).

    Attributes:
        out: The outline field of the head, 1 on its outline.
        hood: The same of the hair.
        covered: How fully hair lies on the head, 0 to 1, so that its outline takes over.
    """

    out: Plane
    hood: Plane
    covered: Plane


def relief(view: View, traits: Traits, ground: Ground) -> Plane:
    """How far every pixel of the head stands out, in pixels; (B, H, W).

    Args:
        view: Where the pixels lie on the face.
        traits: The parameters.
        ground: The outlines of head and hair on the same pixels.
    """
    dome = np.minimum(ground.out, ground.hood)
    dome -= ground.out
    dome *= 0.6 * ground.covered
    dome += ground.out
    dome *= dome
    np.clip(dome, 0.0, 1.3, out=dome)
    dome *= -DOME
    wide = np.abs(view.x)
    _eye_relief(view, traits, dome, wide)
    _cheek_relief(view, traits, dome, wide)
    _mouth_relief(view, traits, dome, wide)
    window = view.windows["nose"]
    window(dome)[...] += ridge(bent(view, traits), window(view.y), traits)
    return dome


def _eye_relief(view: View, traits: Traits, dome: Plane, wide: Plane) -> None:
    window = view.windows["ridge"]
    x, y = window(wide), window(view.y)
    bump = blob(x, y, (traits["eye-spacing"], -10.0), (16.0, 8.0))
    bump *= traits["brow-ridge"]
    window(dome)[...] += bump
    window = view.windows["eyes"]
    x, y = window(wide), window(view.y)
    bump = blob(x, y, (traits["eye-spacing"] - 1.0, -1.0), (12.5, 9.0))
    bump *= -traits["eye-depth"]
    bump += 1.6 * blob(x, y, (traits["eye-spacing"], 0.0), (8.0, 6.0))
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
    window = view.windows["chin"]
    x, y = window(wide), window(view.y)
    mouth, chin = traits["mouth-height"], traits["chin-length"]
    bump = 2.6 * blob(x, y, (0.0, mouth), (traits["mouth-width"] + 5.0, 11.0))
    bump += traits["chin-relief"] * blob(x, y, (0.0, chin - 6.0), (12.0, 8.0))
    bump -= 1.4 * blob(x, y, (0.0, mouth + traits["lower-lip"] + 3.5), (9.0, 4.0))
    bump -= np.clip(traits["chin-cleft"], 0.0, None) * blob(x, y, (0.0, chin - 5.0), (2.6, 6.0)) * 1.6
    bump -= traits["philtrum"] * blob(x, y, (0.0, mouth - 6.5), (2.6, 5.5))
    window(dome)[...] += bump
