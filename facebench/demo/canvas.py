"""The few brushes every feature is painted with, and the fixed textures.

Everything is elementwise float32 arithmetic that IEEE 754 defines exactly (add, subtract, multiply, divide, square
root, comparison, rounding): no transcendental functions on pixels, no matrix products, no reductions whose order could
differ. That is what makes the pictures identical on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from facebench.demo.nuisance import NUISANCE_PARAMETERS
from facebench.demo.parameters import IDENTITY_PARAMETERS, combine

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

SIZE = 112
STRANDS = 4096
TILE = 256
GRAIN = 1 << 17

Plane: TypeAlias = "npt.NDArray[np.floating[Any]]"
"""A field over pixels (B, H, W), one number per image (B, 1, 1), or colours (3, B, H, W) or (3, B, 1, 1)."""


class Traits:
    """The parameters of a batch by name, each of shape (B, 1, 1), ready to be combined with fields over pixels."""

    __slots__ = ("_index", "_values")

    def __init__(self, identity: Plane, nuisance: Plane) -> None:
        """Join (B, P) identity and (B, Q) nuisance parameters."""
        self._values = np.concatenate([identity, nuisance], axis=1)
        self._index = _INDEX

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, name: str) -> Plane:
        column: Plane = self._values[:, self._index[name], None, None]
        return column

    def raise_by(self, name: str, amount: Plane) -> None:
        """Add `amount` (B, 1, 1) to one parameter."""
        self._values[:, self._index[name]] += amount[:, 0, 0]

    def only(self, images: npt.NDArray[np.intp]) -> Traits:
        """The parameters of some images."""
        count = len(IDENTITY_PARAMETERS)
        rows = self._values[images]
        return Traits(rows[:, :count], rows[:, count:])


_INDEX = {name: index for index, name in enumerate(IDENTITY_PARAMETERS + NUISANCE_PARAMETERS)}


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels that surely holds a feature of every image in the batch."""

    rows: slice
    columns: slice

    def __call__(self, field: Plane) -> Plane:
        """The part of a field or of colour planes inside the window, as a view."""
        return field[..., self.rows, self.columns]


WHOLE = Window(slice(0, SIZE), slice(0, SIZE))


def unit(field: Plane) -> Plane:
    """Clip to 0..1, in place."""
    return field.clip(0.0, 1.0, out=field)


def smooth(field: Plane) -> Plane:
    """Clip to 0..1 and ease both ends (smoothstep), in place."""
    unit(field)
    bend = field * -2.0
    bend += 3.0
    field *= field
    field *= bend
    return field


def _squared(place: Plane, centre: Plane | float, radius: Plane | float) -> Plane:
    """The squared distance from a centre in radii."""
    if isinstance(centre, float) and centre == 0.0:
        away = place * (1.0 / radius)
    else:
        away = place - centre
        away *= 1.0 / radius
    away *= away
    return away


def ellipse(x: Plane, y: Plane, centre: tuple[Plane | float, Plane | float], radii: Sequence[Plane | float]) -> Plane:
    """1 at the centre of an ellipse, 0 on its edge, negative outside (quadratic)."""
    across = _squared(x, centre[0], radii[0])
    down = _squared(y, centre[1], radii[1])
    inside: Plane = across + down
    return np.subtract(1.0, inside, out=inside)


def blob(x: Plane, y: Plane, centre: tuple[Plane | float, Plane | float], radii: Sequence[Plane | float]) -> Plane:
    """A soft bump of height 1 that is exactly 0 outside the ellipse."""
    bump = unit(ellipse(x, y, centre, radii))
    bump *= bump
    return bump


def line(field: Plane, centre: Plane | float, half: Plane | float) -> Plane:
    """A soft line of strength 1 where `field` equals `centre`, 0 from the distance `half` on."""
    distance = field - centre
    np.abs(distance, out=distance)
    distance *= 1.0 / half
    np.subtract(1.0, distance, out=distance)
    return unit(distance)


def paint(planes: Plane, alpha: Plane, colour: Plane) -> None:
    """Lay a colour over the planes, in place.

    Args:
        planes: (3, B, H, W).
        alpha: (B, H, W) opacity 0..1; where it is 0 the planes keep their bits.
        colour: (3, B, 1, 1) or (3, B, H, W), 0..255.
    """
    layer = colour - planes
    layer *= alpha
    planes += layer


def darken(planes: Plane, alpha: Plane, red: float, rest: float) -> None:
    """Multiply red by 1 - alpha * (1 - red), green and blue likewise, in place; shadows on skin keep their red."""
    shade = alpha * (red - 1.0)
    shade += 1.0
    planes[0] *= shade
    np.multiply(alpha, rest - 1.0, out=shade)
    shade += 1.0
    for channel in planes[1:]:
        channel *= shade


def colour(red: float, green: float, blue: float) -> Plane:
    """A colour for every image, shape (3, 1, 1, 1)."""
    return np.array([red, green, blue], dtype=np.float32)[:, None, None, None]


def ramp(position: Plane, palette: Sequence[tuple[float, float, float]]) -> Plane:
    """Colours (3, B, 1, 1) between those of a palette, at positions (B, 1, 1) in 0..1."""
    place = np.clip(position, 0.0, 1.0) * np.float32(len(palette) - 1)
    mixed = np.zeros((3, *position.shape), dtype=np.float32)
    for index, entry in enumerate(palette):
        weight = np.clip(1.0 - np.abs(place - np.float32(index)), 0.0, 1.0)
        mixed += colour(*entry) * weight
    return mixed


def stretch(field: Plane) -> Plane:
    """Double (B, 56, 56) to (B, 112, 112): every second pixel as it is, the others halfway between or beyond."""
    count, side, _ = field.shape
    halves = field * 0.5
    wide = np.empty((count, side, 2 * side), dtype=np.float32)
    wide[:, :, ::2] = field
    np.add(halves[:, :, :-1], halves[:, :, 1:], out=wide[:, :, 1:-1:2])
    wide[:, :, -1] = 3.0 * halves[:, :, -1] - halves[:, :, -2]
    halves = wide * 0.5
    full = np.empty((count, 2 * side, 2 * side), dtype=np.float32)
    full[:, ::2] = wide
    np.add(halves[:, :-1], halves[:, 1:], out=full[:, 1:-1:2])
    full[:, -1] = 3.0 * halves[:, -1] - halves[:, -2]
    return full


def enrich(paint_: Plane, traits: Traits) -> Plane:
    """Colours (3, B, 1, 1) as saturated as the picture's camera makes them."""
    grey = (paint_[0] + paint_[1] + paint_[2]) * np.float32(1 / 3)
    rich: Plane = paint_ + (paint_ - grey) * traits["saturation"]
    return rich


def _noise(shape: tuple[int, ...], stream: int) -> npt.NDArray[np.float64]:
    """Fixed uniform numbers in 0..1."""
    count = int(np.prod(shape))
    bits = combine(np.full(count, stream, dtype=np.uint64), np.arange(count, dtype=np.uint64))
    return ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)


def _octave(values: npt.NDArray[np.float64], factor: int, axis: int) -> npt.NDArray[np.float64]:
    """Stretch periodic noise smoothly by an integer factor along one axis."""
    step = (np.arange(factor) / factor).reshape([-1 if d == axis + 1 else 1 for d in range(values.ndim + 1)])
    step = step * step * (3 - 2 * step)
    here, after = np.expand_dims(values, axis + 1), np.expand_dims(np.roll(values, -1, axis), axis + 1)
    shape = list(values.shape)
    shape[axis] *= factor
    return (here + (after - here) * step).reshape(shape)


@cache
def strands() -> Plane:
    """(4096,) periodic noise in 0..1: what one sees going across a head of hair."""
    total = np.zeros(STRANDS)
    for factor, weight in ((64, 0.4), (24 + 8, 0.3), (16, 0.2), (8, 0.1)):
        total += weight * _octave(_noise((STRANDS // factor,), factor), factor, 0)
    return np.clip((total - 0.5) * 1.6 + 0.5, 0, 1).astype(np.float32)


@cache
def mottle() -> Plane:
    """(256, 256) periodic soft patches of light around 1: brush marks."""
    total = np.zeros((TILE, TILE))
    for factor, weight in ((32, 0.5), (16, 0.3), (8, 0.2)):
        side = TILE // factor
        total += weight * _octave(_octave(_noise((side, side), 100 + factor), factor, 0), factor, 1)
    return (0.9 + 0.2 * total).astype(np.float32)


@cache
def speckle() -> Plane:
    """(65536,) a 256 x 256 map, row by row, of small soft dots in 0..1: freckles."""
    total = np.zeros((TILE, TILE))
    reach = np.arange(-4, 5)
    for row, column, size in _noise((700, 3), 7):
        rows, columns = np.floor(row * TILE) + reach, np.floor(column * TILE) + reach
        away = (rows[:, None] - row * TILE) ** 2 + (columns - column * TILE) ** 2
        dot = np.clip(1.3 - away / (1.5 + 6 * size * size), 0, 1)
        place = np.ix_(rows.astype(int) % TILE, columns.astype(int) % TILE)
        total[place] = np.maximum(total[place], dot * (0.4 + 0.6 * size))
    return total.astype(np.float32).ravel()


@cache
def grain() -> Plane:
    """(131072,) bell-shaped noise of standard deviation about 1: what a sensor adds."""
    total = np.zeros(GRAIN)
    for stream in range(4):
        total += _noise((GRAIN,), 200 + stream)
    return ((total - 2.0) * 1.7320508).astype(np.float32)
