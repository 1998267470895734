"""Heads turned in a picture without a model of the head: ``pose_2d_approx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# The head of pose_2d_approx, in pixels of the aligned crop of 112 from its middle. Head breadth, depth from the plane
# of the ears to the face and the nose are those of an average adult, whose pupils are 63 mm apart: 1.8 mm per pixel.
HALF_BREADTH, DEPTH, FLATNESS = 44.0, 50.0, 2.4
DISTANCE = 330.0
"""From the camera to the plane of the ears: 0.6 m."""
# Outside the outline of the face lie ears and hair, which fall back by so much per pixel.
FALL = 2.0
RELIEF = (
    (0, 5, 4, 4.5, 6),  # bridge of the nose
    (0, 15, 7.5, 6, 5),  # its tip
    (0, -14, 2, 16, 5),  # brows
    (0, 36, 3, 10, 6),  # lips
    (0, 52, 4, 11, 7),  # chin
)
"""What stands out of the curve: column, row, height, and width and height of a bell."""
# Eyes, nose and corners of the mouth in the aligned crop, made symmetric: where the turned face is brought back to.
LANDMARKS = ((-17.6, -3.9), (17.6, -3.9), (0.0, 16.2), (-14.6, 36.8), (14.6, 36.8))
# The background beside a turned face is made of so many of the crop's outermost columns, and of so many rows.
_BACKDROP = (4, 5)


def turned(faces: Tensor, yaw: Tensor) -> Tensor:
    """Heads turned about the vertical axis: ``pose_2d_approx``.

    An approximation of ours, **not** the paper's, which renders a mesh fitted by PRNet to each face; reports must name
    it ``pose_2d_approx``. Every face is taken for one and the same surface: half an elliptic cylinder, broad at the
    cheeks and narrow at the chin, out of which nose, brows, lips and chin stand. It is turned, seen in perspective and
    aligned again by its five landmarks, so that the near cheek widens, the nose stands out and the far cheek vanishes
    behind it. What the camera had not seen is not made up: the near side is what lay beside the face, stretched, and
    the background beyond the far side is the crop's border. Faces should look ahead; one that is turned already turns
    on, or back. Light does not move.

    Args:
        faces: float (M, 3, H, W), aligned as in ``facebench.images.template``.
        yaw: (M,), radians, between -pi/2 and pi/2; what was in front moves to the right where it is positive.

    Returns:
        (M, 3, H, W).
    """
    height, width = faces.shape[2:]
    left = (yaw < 0)[:, None, None, None]
    columns, rows, behind = _sources(yaw.abs()[:, None, None], height, width)
    places = torch.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], dim=3)
    # The head is symmetric: to the left it turns as its mirror image does to the right.
    ahead = torch.where(left, faces.flip(3), faces)
    found = functional.grid_sample(ahead, places, padding_mode="border", align_corners=True)
    found = torch.where(behind[:, None], _backdrop(ahead), found)
    # A silhouette falls between two pixels: the first of the background is half this and half that.
    edge = functional.pad(behind[:, :, 1:] & ~behind[:, :, :-1], (1, 0))[:, None]
    found = torch.where(edge, (found + found.roll(1, dims=3)) / 2, found)
    return torch.where(left, found.flip(3), found)


def _backdrop(faces: Tensor) -> Tensor:
    """(M, 3, H, 1), what lies at the right border of each row, smooth enough to draw no streaks."""
    columns, rows = _BACKDROP
    strip = faces[..., -columns:].mean(dim=3)
    return functional.avg_pool1d(strip, rows, stride=1, padding=rows // 2, count_include_pad=False)[..., None]


def _sources(yaw: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where each pixel of faces turned to the right comes from.

    Along a row of the picture the near side is on the left, so what is seen is what lies further right than everything
    left of it: the running maximum of the places after the turn, which the search inverts.

    Args:
        yaw: (M, 1, 1), radians, not negative.
        height: Of the crop, pixels.
        width: The same.

    Returns:
        (M, H, W) each: columns and rows, pixels, and bool, whether the background is seen.
    """
    unit = max(height, width) / 112
    across, down = ((torch.arange(size).to(yaw) - (size - 1) / 2) / unit for size in (width, height))
    shape = (len(yaw), height, width)
    seen, nearness, shift = _projected(across, down[:, None], yaw)
    horizon = seen.cummax(dim=2).values
    wanted = across.expand(shape).contiguous()
    after = torch.searchsorted(horizon, wanted).clamp_(1, width - 1)
    low, high = horizon.gather(2, after - 1), horizon.gather(2, after)
    part = ((wanted - low) / (high - low).clamp_(min=1e-6)).clamp_(0, 1)
    columns = after - 1 + part
    nearness = nearness.gather(2, columns.round().long().clamp_(0, width - 1))
    rows = (down[:, None] - shift) / nearness
    return columns, rows * unit + (height - 1) / 2, wanted > horizon[:, :, -1:] + 1e-3


def _projected(x: Tensor, y: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places after the turn and the new alignment; all in pixels of a crop of 112, from its middle.

    Returns:
        The column of each place, the factor of its row, and what (M, 1, 1) is added to rows.
    """
    marks = torch.tensor(LANDMARKS, dtype=yaw.dtype).to(yaw.device)
    column, factor = _pinhole(marks[:, 0], marks[:, 1], yaw)
    row = factor * marks[:, 1]
    # The least-squares scale and shift of five points, without the roll, of which a turn makes next to none.
    middle, centre = column.mean(2, keepdim=True), row.mean(2, keepdim=True)
    column, row = column - middle, row - centre
    scale = (column * marks[:, 0] + row * marks[:, 1]).sum(2, keepdim=True)
    scale = scale / (column.square() + row.square()).sum(2, keepdim=True)
    column, factor = _pinhole(x, y, yaw)
    return (column - middle) * scale, factor * scale, marks[:, 1].mean() - scale * centre


def _pinhole(x: Tensor, y: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of turned places as the camera sees them, and the factor of their rows."""
    sine, cosine = yaw.sin(), yaw.cos()
    depth = _depth(x, y)
    shrunk = 1 - depth / DISTANCE  # the picture shows near places larger
    aside = x * shrunk
    ratio = 1 / (1 - (depth * cosine - aside * sine) / DISTANCE)
    return (aside * cosine + depth * sine) * ratio, shrunk * ratio


def _depth(x: Tensor, y: Tensor) -> Tensor:
    """How far the surface lies before the plane of the ears, pixels."""
    breadth = HALF_BREADTH * (1 - ((y + 10) / 85).square()).clamp(min=0.05).sqrt()
    bulge = (1 - (x / breadth).abs().clamp(max=1) ** FLATNESS) ** (1 / FLATNESS)
    depth = DEPTH * (1 - ((y - 5) / 110).square()).sqrt() * bulge - FALL * (x.abs() - breadth).clamp(min=0)
    for column, row, height, wide, high in RELIEF:
        depth = depth + height * torch.exp(-0.5 * (((x - column) / wide).square() + ((y - row) / high).square()))
    return depth
