"""Small marks in the skin: freckles, moles and wrinkles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import TILE, blob, darken, ellipse, line, speckle, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View


def paint_wrinkles(planes: Plane, view: View, traits: Traits) -> None:
    """Lines across the forehead, beside the eyes and from the nose to the mouth."""
    depth = traits["wrinkles"]
    window = view.windows["forehead"]
    x, y = window(view.x), window(view.y)
    place = x * x
    place *= -0.0016
    place += y
    place *= 1.0 / 5.6
    place -= np.floor(place)
    fold = line(place, 0.5, 0.3)
    fold *= unit(ellipse(x, y, (0.0, -24.0), (30.0, 13.0)))
    fold *= 0.75 * depth + 0.25 * depth * np.clip(traits["brow-raise"], 0.0, None)
    darken(window(planes), unit(fold), (0.55, 0.43, 0.42))
    window = view.windows["cheeks"]
    wide, y = np.abs(window(view.x)), window(view.y)
    edge = traits["eye-spacing"] + traits["eye-width"]
    place = wide - edge
    place *= 0.30
    place = y * 0.34 / (1.0 + np.clip(place, 0.0, None))
    place -= np.floor(place)
    fold = line(place, 0.5, 0.28)
    fold *= unit(ellipse(wide, y, (edge + 6.0, 1.5), (6.5, 8.0)))
    fold *= depth * (0.6 + 0.5 * np.clip(traits["smile"], 0.0, None))
    nose, mouth = traits["nose-length"], traits["mouth-height"]
    slope = (traits["mouth-width"] + 4.5 - traits["nose-width"]) / (mouth - nose)
    crease = line(wide, (y - nose) * slope + traits["nose-width"] + 1.6, 1.9)
    crease *= unit(ellipse(wide, y, (16.0, (nose + mouth) * 0.5), (12.0, 12.5)))
    crease *= 0.62 * traits["smile-lines"] + 0.35 * np.clip(traits["smile"], 0.0, None)
    fold += crease
    darken(window(planes), unit(fold), (0.58, 0.45, 0.44))


def paint_freckles(planes: Plane, view: View, traits: Traits) -> None:
    """Freckles over cheeks and nose, for those images that have any."""
    window = view.windows["cheeks"]
    for image in np.flatnonzero(traits["freckles"][:, 0, 0] > 0):
        part, one = view.only(int(image)), traits.only(int(image))
        x, y = window(part.x), window(part.y)
        start = np.floor(one["freckle-pattern"] * 4093.0)
        row, column = (y * 2.0 + start).astype(np.int32), (x * 2.0 + start * 7.0).astype(np.int32)
        dots = speckle()[(row & (TILE - 1)) * TILE + (column & (TILE - 1))]
        dots *= unit(ellipse(x, y, (0.0, 15.0), (36.0, 17.0)))
        dots *= one["freckles"] * 0.9
        darken(window(planes[:, image : image + 1]), unit(dots), (0.70, 0.50, 0.40))


def paint_moles(planes: Plane, view: View, traits: Traits) -> None:
    """Up to two moles, each for those images whose person has it."""
    window = view.windows["whole"]
    for name in ("mole-a", "mole-b"):
        size = traits[f"{name}-size"]
        for image in np.flatnonzero(size[:, 0, 0] > 0):
            part, one = view.only(int(image)), traits.only(int(image))
            radius = one[f"{name}-size"] + 0.7
            spot = blob(window(part.x), window(part.y), (one[f"{name}-x"], one[f"{name}-y"]), (radius, radius))
            darken(window(planes[:, image : image + 1]), spot, (0.34, 0.24, 0.22))
