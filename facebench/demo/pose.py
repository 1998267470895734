"""From the pixels of the crop to places on the face, and back.

A head is a cylinder each way: turning it by an angle moves a place at sideways position x and depth sqrt(R^2 - x^2)
to x cos + depth sin, which has an exact inverse with one square root per pixel. So the far half of a turned face is
squeezed, features slide with their depth, and no picture is ever resampled. After the turn the five landmarks are
fitted to the standard places of the aligned 112 x 112 crop, as an aligner would do with a photograph.

Face coordinates are pixels of the frontal crop: x from the midline to the right, y from the eye line downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.canvas import SIZE, WHOLE, Window, stretch

if TYPE_CHECKING:
    from facebench.demo.canvas import Plane, Traits

LANDMARKS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where the eyes, the nose tip and the corners of the mouth lie in the aligned crop (column, row)."""

RADIUS = 56.0
"""Depth of the head's cylinder about the vertical axis, in pixels."""
TALL = 90.0
"""The same about the horizontal axis."""
MIDDLE = 18.0
"""Row of that axis below the eye line."""
STEEP = 2.5
"""Places per position past the rim."""
PIVOT = SIZE / 2
MARGIN = 2

BOXES: dict[str, tuple[float, float, float, float]] = {
    "eyes": (-33.0, 33.0, -14.0, 13.0),
    "brows": (-34.0, 34.0, -28.0, -2.0),
    "ridge": (-37.0, 37.0, -19.0, -1.0),
    "nose": (-22.0, 22.0, -16.0, 38.0),
    "nostrils": (-16.0, 16.0, 12.0, 36.0),
    "mouth": (-23.0, 23.0, 26.0, 63.0),
    "chin": (-27.0, 27.0, 24.0, 68.0),
    "cheeks": (-41.0, 41.0, 0.0, 51.0),
    "freckles": (-37.0, 37.0, -3.0, 33.0),
    "folds": (-29.0, 29.0, 14.0, 47.0),
    "temples": (-42.0, 42.0, -8.0, 11.0),
    "forehead": (-31.0, 31.0, -38.0, -10.0),
    "ears": (-80.0, 80.0, -14.5, 23.5),
    "beard": (-46.0, 46.0, 3.0, 67.0),
    "moustache": (-19.0, 19.0, 19.0, 48.0),
    "neck": (-29.0, 29.0, 29.0, 90.0),
    "glasses": (-50.0, 50.0, -16.0, 18.0),
}
"""Where each feature can lie in face coordinates, whoever is drawn: left, right, top, bottom."""
_CORNERS = np.array(
    [
        [(x, y) for x in (left, 0.0, right) for y in (top, (top + bottom) / 2, bottom)]
        for left, right, top, bottom in BOXES.values()
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn about one axis, with sine and cosine of shape (B, 1, 1)."""

    sine: Plane
    cosine: Plane
    radius: float

    @classmethod
    def by(cls, angle: Plane, radius: float) -> _Turn:
        """Turn by `angle` radians."""
        value = sine(angle)
        return cls(value, np.sqrt(1.0 - value * value), radius)

    def rims(self) -> tuple[Plane, Plane]:
        """The last positions on either side at which the cylinder is seen from in front."""
        near = self.radius * self.cosine
        positive = self.sine > 0
        return np.where(positive, -near, np.float32(-self.radius)), np.where(positive, np.float32(self.radius), near)

    def place(self, seen: Plane) -> Plane:
        """The place on the cylinder at a position after the turn, running on steeply past its rim; reuses `seen`."""
        low, high = self.rims()
        within = np.clip(seen, low, high)
        seen -= within
        seen *= STEEP
        depth = within * within
        np.subtract(self.radius * self.radius, depth, out=depth)
        np.clip(depth, 0.0, None, out=depth)
        np.sqrt(depth, out=depth)
        depth *= self.sine
        within *= self.cosine
        within -= depth
        seen += within
        return seen

    def seen(self, place: Plane, depth: Plane | float = 0.0) -> Plane:
        """The position after the turn of a place that stands out by `depth`: the inverse of `place`."""
        low, high = self.rims()
        first, last = self.place(low.copy()), self.place(high.copy())
        away = np.sqrt(np.clip(self.radius * self.radius - place * place, 0.0, None)) + depth
        turned = place * self.cosine + away * self.sine
        turned = np.where(place < first, low + (place - first) / STEEP, turned)
        return np.where(place > last, high + (place - last) / STEEP, turned)


@dataclass(frozen=True, slots=True)
class Lens:
    """Turn, nod and similarity transform of a batch; all arrays (B, 1, 1)."""

    yaw: _Turn
    pitch: _Turn
    scale: Plane
    sin_roll: Plane
    cos_roll: Plane
    start_u: Plane
    start_v: Plane

    def pixels(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Column and row of places on the face."""
        u, v = self.yaw.seen(x) - self.start_u, self.pitch.seen(y - MIDDLE) - self.start_v
        column = (self.cos_roll * u - self.sin_roll * v) * self.scale + PIVOT
        return column, (self.sin_roll * u + self.cos_roll * v) * self.scale + PIVOT

    def places(self) -> tuple[Plane, Plane]:
        """The place on the face under every second pixel of the crop; x and y of shape (B, 56, 56)."""
        along, aside = self.cos_roll / self.scale, self.sin_roll / self.scale
        steps = np.arange(0, SIZE, 2, dtype=np.float32) - np.float32(PIVOT)
        columns, rows = steps[None, None, :], steps[None, :, None]
        x = self.yaw.place((along * columns + self.start_u) + aside * rows)
        y = self.pitch.place((along * rows + self.start_v) - aside * columns)
        y += MIDDLE
        return x, y


@dataclass(frozen=True, slots=True)
class View:
    """How a batch of faces is seen.

    Attributes:
        x: (B, 112, 112) sideways place on the face under each pixel.
        y: (B, 112, 112) its downward place.
        lean: (B, 1, 1) tangent of the turn: a place that stands out by one pixel slides by this much in x.
        windows: For each feature the pixels that hold it in every image of the batch.
        lens: The way from places on the face to pixels, of the whole batch.
    """

    x: Plane
    y: Plane
    lean: Plane
    windows: dict[str, Window]
    lens: Lens

    def half(self) -> View:
        """Every second pixel of this view."""
        x, y = (np.ascontiguousarray(field[:, ::2, ::2]) for field in (self.x, self.y))
        windows = {
            name: Window(*(slice(part.start // 2, (part.stop + 1) // 2) for part in (window.rows, window.columns)))
            for name, window in self.windows.items()
        }
        return View(x, y, self.lean, windows, self.lens)


def sine(angle: Plane) -> Plane:
    """The sine by its series, within 2e-6 up to one radian, from exact operations only."""
    square = angle * angle
    return angle * (1.0 - square * (1.0 / 6.0 - square * (1.0 / 120.0 - square * (1.0 / 5040.0))))


def look(traits: Traits) -> View:
    """Turn, fit and misplace the heads of a batch."""
    yaw, pitch = _Turn.by(traits["yaw"], RADIUS), _Turn.by(traits["pitch"], TALL)
    scale, left, top = _fit(traits, yaw, pitch)
    scale = scale * (1.0 + traits["zoom"])
    sin_roll = sine(traits["roll"])
    cos_roll = np.sqrt(1.0 - sin_roll * sin_roll)
    start_u = (PIVOT - left - traits["shift-x"]) / scale
    start_v = (PIVOT - top - traits["shift-y"]) / scale
    lens = Lens(yaw, pitch, scale, sin_roll, cos_roll, start_u, start_v)
    column, row = lens.pixels(_CORNERS[None, :, :, 0], _CORNERS[None, :, :, 1])
    x, y = lens.places()
    return View(stretch(x), stretch(y), yaw.sine / yaw.cosine, _windows(column, row), lens)


def _fit(traits: Traits, yaw: _Turn, pitch: _Turn) -> tuple[Plane, Plane, Plane]:
    """Scale and offset (B, 1, 1) that bring the turned landmarks closest to the standard ones (least squares)."""
    zero = np.zeros_like(traits["yaw"])
    spacing, corner = traits["eye-spacing"], traits["mouth-width"] * (1.0 + 0.12 * traits["smile"])
    mouth, length = traits["mouth-height"] + 1.5 * traits["mouth-open"], traits["nose-length"]
    depth = np.stack([zero, zero, 0.8 * traits["nose-relief"], zero, zero])
    u = yaw.seen(np.stack([-spacing, spacing, traits["nose-deviation"], -corner, corner]), depth)
    v = pitch.seen(np.stack([zero, zero, length, mouth, mouth]) - MIDDLE, depth)
    mean_u = (u[0] + u[1] + u[2] + u[3] + u[4]) * 0.2
    mean_v = (v[0] + v[1] + v[2] + v[3] + v[4]) * 0.2
    goal_u = sum(column for column, _ in LANDMARKS) / 5
    goal_v = sum(row for _, row in LANDMARKS) / 5
    u, v = u - mean_u, v - mean_v
    dot, norm = zero, zero
    for index, (column, row) in enumerate(LANDMARKS):
        dot = dot + u[index] * (column - goal_u) + v[index] * (row - goal_v)
        norm = norm + u[index] * u[index] + v[index] * v[index]
    scale = dot / norm
    return scale, goal_u - scale * mean_u, goal_v - scale * mean_v


def _windows(column: Plane, row: Plane) -> dict[str, Window]:
    """Rectangles of pixels around projected boxes (B, F, 9), over the whole batch."""
    low_c, high_c = column.min(axis=(0, 2)), column.max(axis=(0, 2))
    low_r, high_r = row.min(axis=(0, 2)), row.max(axis=(0, 2))
    windows = {"whole": WHOLE}
    for index, name in enumerate(BOXES):
        windows[name] = Window(_span(low_r[index], high_r[index]), _span(low_c[index], high_c[index]))
    return windows


def _span(low: np.float32, high: np.float32) -> slice:
    first = min(max(int(low) - MARGIN, 0), SIZE - 1)
    return slice(first, max(min(int(high) + 1 + MARGIN, SIZE), first + 1))
