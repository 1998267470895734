"""What hides a part of the face: spectacles, sunglasses, a mask, a hand, a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import SIZE, blob, colour, paint, ramp, unit
from facebench.demo.light import light_colour

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits
    from facebench.demo.pose import View

CLOTH = (
    (236.0, 238.0, 240.0),
    (150.0, 190.0, 214.0),
    (46.0, 48.0, 54.0),
    (176.0, 96.0, 92.0),
    (98.0, 128.0, 104.0),
    (218.0, 196.0, 150.0),
)
CLEAR, SUNGLASSES, MASK, HAND, BLOCK = range(5)


def occlude(planes: Plane, cover: Plane, view: View, traits: Traits, skin: Plane) -> None:
    """Paint over the faces whatever hides them, in place.

    Args:
        planes: (3, B, H, W) painted heads, already lit.
        cover: (B, H, W) what belongs to the head; grows where something covers the background.
        view: Where the pixels lie on the face.
        traits: The parameters.
        skin: (3, B, 1, 1) skin colours, for hands.
    """
    cast = light_colour(traits)
    kinds, glasses = traits["occlusion-kind"][:, 0, 0], traits["glasses"][:, 0, 0] > 0
    for kind, chosen in enumerate((glasses, kinds == 0, kinds == 1, kinds == 2, kinds == 3)):
        has = np.flatnonzero(chosen)
        if not len(has):
            continue
        some, light = traits.only(has), cast[:, has]
        if kind in (CLEAR, SUNGLASSES):
            window = view.windows["glasses"]
            part = window(planes)[:, has]
            _glasses(part, (window(view.x)[has], window(view.y)[has]), some, light, dark=kind == SUNGLASSES)
            window(planes)[:, has] = part
            continue
        part, behind = planes[:, has], cover[has]
        if kind == MASK:
            _mask(part, (view.x[has], view.y[has]), some, light)
        elif kind == HAND:
            _hand(part, behind, some, skin[:, has] * light)
        else:
            _block(part, behind, some, light)
        planes[:, has], cover[has] = part, behind


def _glasses(part: Plane, places: tuple[Plane, Plane], traits: Traits, light: Plane, *, dark: bool) -> None:
    x, y = np.abs(places[0]), places[1]
    shape = traits["glasses-shape"]
    half_x, half_y, round_ = 8.6 + 2.2 * shape, 8.2 - 1.8 * shape, 6.5 - 3.0 * shape
    across = np.abs(x - 17.6) - (half_x - round_)
    down = np.abs(y - 1.2) - (half_y - round_)
    np.clip(across, 0.0, None, out=across)
    np.clip(down, 0.0, None, out=down)
    distance = np.sqrt(across * across + down * down) - round_
    hue = ramp(
        traits["occlusion-hue"], ((26.0, 24.0, 26.0), (92.0, 58.0, 36.0), (128.0, 126.0, 130.0), (60.0, 40.0, 44.0))
    )
    hue *= light
    if dark:
        shade = 0.86 + 0.012 * y
        paint(part, unit(0.5 - distance) * unit(shade), colour(30.0, 28.0, 32.0))
        gleam = blob(x, y, (13.5, -2.0), (4.0, 2.4))
        part += gleam * 36.0
    else:
        paint(part, unit(0.5 - distance) * 0.07, colour(225.0, 232.0, 238.0))
    rim = unit(1.55 - np.abs(distance))
    bridge = unit(1.4 - np.abs(y + 1.0 + 0.05 * x * x)) * unit(17.6 - half_x - x + 0.5)
    arm = unit(1.5 - np.abs(y + 2.0)) * unit(x - 17.6 - half_x + 0.5) * unit(47.0 - x)
    paint(part, unit(rim + bridge + arm) * 0.9, hue)


def _mask(planes: Plane, places: tuple[Plane, Plane], traits: Traits, light: Plane) -> None:
    top = traits["nose-length"] - 8.0
    x, y = np.abs(places[0]), places[1]
    edge = y - top
    edge -= 0.0065 * x * x
    alpha = unit(edge)
    alpha *= unit((traits["head-width"] * 1.01 - x) * 0.8)
    alpha *= unit((traits["chin-length"] + 5.0 - y - 0.012 * x * x) * 0.8)
    folds = (y - top) * 0.115
    folds -= np.floor(folds)
    shade = 0.90 + 0.12 * folds - 0.00025 * x * x
    strap = unit(1.0 - np.abs(y - top - 6.0 + 0.25 * (x - 40.0))) * unit(x - 36.0) * unit(50.0 - x)
    hue = ramp(traits["occlusion-hue"], CLOTH) * light
    paint(planes, strap * 0.8, hue)
    paint(planes, alpha, hue * shade)


def _hand(planes: Plane, cover: Plane, traits: Traits, skin: Plane) -> None:
    """Four fingers that reach in from below, as capsules."""
    columns, rows = np.arange(SIZE, dtype=np.float32)[None, None, :], np.arange(SIZE, dtype=np.float32)[None, :, None]
    side = np.where(traits["occlusion-x"] < 0, np.float32(-1), np.float32(1))
    base = 56.0 + side * 40.0
    reach = 62.0 - 22.0 * traits["occlusion-size"]
    for finger in range(4):
        tip = reach + np.float32((5.0, 0.0, 2.0, 9.0)[finger])
        foot = base - side * np.float32(10.5 * finger)
        slant = -side * np.float32(0.16 + 0.04 * finger)
        x = columns - (foot + slant * (np.float32(SIZE) - rows) * 0.6)
        above = np.clip(tip - rows, 0.0, None)
        distance = np.sqrt(x * x + above * above)
        alpha = unit(5.9 - distance)
        roundness = 1.06 - 0.0105 * distance * distance
        nail = 1.0 - 0.16 * unit(1.0 - np.abs(rows - tip - 15.0) * 0.5)
        paint(planes, alpha, skin * (roundness * nail) * colour(1.0, 0.95, 0.93))
        np.maximum(cover, alpha, out=cover)


def _block(planes: Plane, cover: Plane, traits: Traits, light: Plane) -> None:
    columns, rows = np.arange(SIZE, dtype=np.float32)[None, None, :], np.arange(SIZE, dtype=np.float32)[None, :, None]
    half = 11.0 + 11.0 * traits["occlusion-size"]
    across = half - np.abs(columns - 56.0 - 34.0 * traits["occlusion-x"])
    down = 0.8 * half - np.abs(rows - 62.0 - 32.0 * traits["occlusion-y"])
    alpha = unit(np.minimum(across, down))
    paint(planes, alpha, ramp(traits["occlusion-hue"], CLOTH) * light * (0.85 + 0.002 * rows))
    np.maximum(cover, alpha, out=cover)
