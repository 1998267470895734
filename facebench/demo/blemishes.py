"""Small marks in the skin: freckles, moles and wrinkles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import SIZE, TILE, blob, darken, ellipse, line, speckle, unit

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View


_AROUND = np.arange(-4, 5)


def paint_wrinkles(planes: Plane, view: View, traits: Traits, bare: Plane) -> None:
    """Lines across the forehead, beside the eyes and from the nose to the mouth, where skin is bare."""
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
    fold *= window(bare)
    darken(window(planes), unit(fold), 0.55, 0.425)
    window = view.windows["temples"]
    wide, y = np.abs(window(view.x)), window(view.y)
    edge = traits["eye-spacing"] + traits["eye-width"]
    place = wide - edge
    place *= 0.30
    place = y * 0.34 / (1.0 + np.clip(place, 0.0, None))
    place -= np.floor(place)
    fold = line(place, 0.5, 0.28)
    fold *= unit(ellipse(wide, y, (edge + 6.0, 1.5), (6.5, 8.0)))
    fold *= depth * (0.6 + 0.5 * np.clip(traits["smile"], 0.0, None))
    fold *= window(bare)
    darken(window(planes), unit(fold), 0.58, 0.445)
    window = view.windows["folds"]
    wide, y = np.abs(window(view.x)), window(view.y)
    nose, mouth = traits["nose-length"], traits["mouth-height"]
    slope = (traits["mouth-width"] + 4.5 - traits["nose-width"]) / (mouth - nose)
    crease = line(wide, (y - nose) * slope + traits["nose-width"] + 1.6, 2.6)
    crease *= unit(ellipse(wide, y, (16.0, (nose + mouth) * 0.5), (12.0, 12.5)))
    crease *= 0.62 * traits["smile-lines"] + 0.35 * np.clip(traits["smile"], 0.0, None)
    darken(window(planes), unit(crease), 0.58, 0.445)


def paint_freckles(planes: Plane, view: View, traits: Traits) -> None:
    """Freckles over cheeks and nose, for those images that have any."""
    has = np.flatnonzero(traits["freckles"] > 0)
    if not len(has):
        return
    window, some = view.windows["freckles"], traits.only(has)
    x, y = window(view.x)[has], window(view.y)[has]
    start = np.floor(some["freckle-pattern"] * 4093.0)
    row, column = (y * 2.0 + start).astype(np.int32), (x * 2.0 + start * 7.0).astype(np.int32)
    dots = np.take(speckle(), (row & (TILE - 1)) * TILE + (column & (TILE - 1)), mode="clip")
    dots *= unit(ellipse(x, y, (0.0, 15.0), (36.0, 17.0)))
    dots *= some["freckles"] * 0.9
    part = window(planes)[:, has]
    darken(part, unit(dots), 0.70, 0.45)
    window(planes)[:, has] = part


def paint_moles(planes: Plane, view: View, traits: Traits) -> None:
    """Up to two moles, each for those images whose person has it."""
    moles = [[traits[f"mole-{which}-{what}"] for what in ("x", "y", "size")] for which in "ab"]
    x, y, size = (np.stack(values) for values in zip(*moles, strict=True))
    columns, rows = view.lens.pixels(x, y)
    for mole in range(2):
        has = np.flatnonzero(size[mole] > 0)
        column, row = (np.clip(place[mole, has] + 0.5, 4.0, SIZE - 5.0).astype(np.intp) for place in (columns, rows))
        patch = (has[:, None, None], row + _AROUND[:, None], column + _AROUND)
        radius = size[mole, has] + 0.7
        spot = blob(view.x[patch], view.y[patch], (x[mole, has], y[mole, has]), (radius, radius))
        part = planes[:, *patch]
        darken(part, spot, 0.34, 0.23)
        planes[:, *patch] = part
