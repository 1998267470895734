"""Variation augmentation: some faces reach the network turned, covered or blurred, and the loss is told which.

URL, sections 3.3 and 3.4: low resolution, occlusion and pose strike each face independently. What struck it becomes the
labels of the decorrelation loss, beside soft labels of mined variations. Faces are taken out by variation, changed
together on whatever device they are, and put back: a face pays only for what strikes it.

The windows of the blur, the grid of blocks, the angles and the probability are the paper's as remembered; the width of
the blur, the resampling and the number of blocks are ours. The paper turns heads with a mesh fitted by PRNet. Ours is
``pose_2d_approx``, the same gently curved head for everyone; or the user brings profiles rendered elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch.nn import functional

from facebench import ConfigError
from facebench.images import fit_to

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from facebench import Preprocess

Pose = Literal["pose_2d_approx", "profiles", "off"]

VARIATIONS = ("low resolution", "occlusion", "pose")
"""What the first M columns of the marks say."""
BLOCKS = 7
"""Blocks along each side of the grid of which some become black."""
DIVISORS = (2, 3, 4, 5, 6)
"""By how much a resampled face is shrunk, all equally likely."""

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


class VariationOptions(Protocol):
    """What ``Variation`` asks of the trainer's options."""

    @property
    def variation(self) -> float:
        """Probability of each variation."""

    @property
    def blur_kernel_least(self) -> int:
        """Smallest window of the blur, pixels, odd."""

    @property
    def blur_kernel_most(self) -> int:
        """Largest."""

    @property
    def resample(self) -> float:
        """Share of the low-resolution faces that are shrunk and enlarged instead of blurred."""

    @property
    def blocks_least(self) -> int:
        """Fewest black blocks of an occluded face."""

    @property
    def blocks_most(self) -> int:
        """Most."""

    @property
    def pose(self) -> Pose:
        """Where turned faces come from."""

    @property
    def yaw_least(self) -> float:
        """Smallest turn, degrees."""

    @property
    def yaw_most(self) -> float:
        """Largest."""


class ProfileImages(Protocol):
    """Profiles rendered elsewhere, such as ``facebench_url.tables.Profiles``."""

    @property
    def available(self) -> npt.NDArray[np.bool_]:
        """Which faces of the training set have one, (dataset size,)."""

    def images(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[np.uint8]:
        """Those of some faces that have one, uint8 (M, 112, 112, 3), RGB."""


class Variation:
    """Strikes each face by low resolution, occlusion and pose, each with the same probability and independently.

    Args:
        chosen: Probability and strengths.
        preprocess: What was done to the pixels; black blocks and profiles are brought to the same units.
        profiles: For the pose ``profiles``.
        mined: float32 (dataset size, T), soft labels in 0..1, NaN where unknown.

    Raises:
        ConfigError: When a range of the options holds nothing, or profiles are asked for and not given.
    """

    def __init__(
        self,
        chosen: VariationOptions,
        preprocess: Preprocess,
        *,
        profiles: ProfileImages | None = None,
        mined: npt.NDArray[np.float32] | None = None,
    ) -> None:
        _check(chosen)
        if chosen.pose == "profiles" and profiles is None:
            raise ConfigError(
                "the pose 'profiles' needs a table of profile pictures; or choose 'pose_2d_approx' or 'off'"
            )
        self.chosen, self._preprocess = chosen, preprocess
        self._profiles = profiles if chosen.pose == "profiles" else None
        self._mined = mined
        self._windows = tuple(range(chosen.blur_kernel_least, chosen.blur_kernel_most + 1, 2))
        self._mean, self._std = (torch.tensor(one).view(3, 1, 1) for one in (preprocess.mean, preprocess.std))

    @torch.no_grad()
    def __call__(
        self, images: Tensor, random: np.random.Generator, indices: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Returns images of which some are varied, and what varies them.

        A face that several variations strike is turned first, then covered, then blurred: the order in which a camera
        meets them.

        Args:
            images: float (N, 3, H, W), preprocessed, H and W at least 7; left as they are.
            random: Decides everything.
            indices: Rows of the training set, (N,).

        Returns:
            New images of the same shape, dtype and memory order on the same device, and their marks there, float32
            (N, M + T). The first M = 3 columns are ``VARIATIONS``, 1 where one was applied, else 0; the rest are the
            faces' mined labels, NaN where unknown.
        """
        struck = random.random((len(VARIATIONS), len(images))) < self.chosen.variation
        if self.chosen.pose == "off":
            struck[2] = False
        elif self._profiles is not None:
            struck[2] &= self._profiles.available[indices]
        found = images.clone()
        for column, operation in ((2, self._posed), (1, self._occluded), (0, self._coarsened)):
            places = np.flatnonzero(struck[column])
            if len(places):
                rows = torch.from_numpy(places).to(images.device)
                faces = found.index_select(0, rows).contiguous()
                changed = operation(faces.to(torch.promote_types(faces.dtype, torch.float32)), random, indices[places])
                found.index_copy_(0, rows, changed.to(images.dtype))
        marks = struck.T.astype(np.float32)
        if self._mined is not None:
            marks = np.concatenate([marks, self._mined[indices]], axis=1)
        return found, torch.from_numpy(np.ascontiguousarray(marks)).to(images.device)

    def _posed(self, faces: Tensor, random: np.random.Generator, indices: npt.NDArray[np.int64]) -> Tensor:
        if self._profiles is not None:
            return self._profiled(faces, self._profiles.images(indices))
        angles = random.uniform(self.chosen.yaw_least, self.chosen.yaw_most, len(faces))
        sides = random.integers(2, size=len(faces)) * 2 - 1
        return turned(faces, torch.from_numpy(np.deg2rad(angles * sides)).to(faces))

    def _profiled(self, faces: Tensor, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Profiles instead of the faces. They come as they were rendered, also where the face was mirrored before."""
        height, width = faces.shape[2:]
        pixels = fit_to(pixels, (height, width))
        planes = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(faces.device).permute(0, 3, 1, 2)
        if self._preprocess.color == "bgr":
            planes = planes.flip(1)
        return (planes.to(faces.dtype) - self._mean.to(faces)) / self._std.to(faces)

    def _occluded(self, faces: Tensor, random: np.random.Generator, indices: npt.NDArray[np.int64]) -> Tensor:
        """Some blocks of each face become black, as they are where the picture ends."""
        counts = random.integers(self.chosen.blocks_least, self.chosen.blocks_most + 1, size=len(faces))
        ranks = random.random((len(faces), BLOCKS**2)).argsort(axis=1).argsort(axis=1)
        grid = torch.from_numpy((ranks < counts[:, None]).reshape(-1, BLOCKS, BLOCKS)).to(faces.device)
        down, across = (torch.arange(size, device=faces.device) * BLOCKS // size for size in faces.shape[2:])
        black = (0 - self._mean.to(faces)) / self._std.to(faces)
        return torch.where(grid[:, down][:, :, across][:, None], black, faces)

    def _coarsened(self, faces: Tensor, random: np.random.Generator, indices: npt.NDArray[np.int64]) -> Tensor:
        """Blurred, or for a part of them shrunk and enlarged; both are one product along each side."""
        count, channels, height, width = faces.shape
        resampled = random.random(count) < self.chosen.resample
        window = random.integers(len(self._windows), size=count)
        divisor = random.integers(len(DIVISORS), size=count) + len(self._windows)
        kinds = torch.from_numpy(np.where(resampled, divisor, window)).to(faces.device)
        down, across = (_filters(self._windows, size, faces.dtype, faces.device)[kinds] for size in (height, width))
        rows = faces.view(count, channels * height, width) @ across.mT
        return down[:, None] @ rows.view(count, channels, height, width)


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


@lru_cache(maxsize=8)
def _filters(windows: tuple[int, ...], length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What each old sample gives to each new one, (windows + divisors, length, length)."""
    kinds = [_blur(window, length) for window in windows] + [_resampling(divisor, length) for divisor in DIVISORS]
    return torch.stack(kinds).to(device=device, dtype=dtype)


def sigma_of(window: int) -> float:
    """Standard deviation that OpenCV gives a Gaussian of so many taps, pixels."""
    return 0.3 * ((window - 1) * 0.5 - 1) + 0.8


def _blur(window: int, length: int) -> Tensor:
    """Gaussian along one side, float64; the border reflects, without repeating the last sample."""
    taps = np.arange(window) - window // 2
    weights = np.exp(-0.5 * (taps / sigma_of(window)) ** 2)
    period = max(2 * (length - 1), 1)
    places = (np.arange(length)[:, None] + taps) % period
    places = np.minimum(places, period - places) if length > 1 else np.zeros_like(places)
    matrix = np.zeros((length, length))
    np.add.at(matrix, (np.arange(length)[:, None], places), weights / weights.sum())
    return torch.from_numpy(matrix)


def _resampling(divisor: int, length: int) -> Tensor:
    """Bilinear, antialiased to a part of the length, and back to all of it; float64."""
    small = max(round(length / divisor), 1)
    least = torch.eye(length, dtype=torch.float64)[None, None]
    least = functional.interpolate(least, size=(small, length), mode="bilinear", antialias=True)
    return functional.interpolate(least, size=(length, length), mode="bilinear")[0, 0]


def _check(chosen: VariationOptions) -> None:
    """Refuses ranges that hold nothing."""
    least, most = chosen.blur_kernel_least, chosen.blur_kernel_most
    if not 1 <= least <= most or least % 2 == 0 or most % 2 == 0:
        raise ConfigError(f"the blur's windows are odd, from the smallest to the largest; found {least} to {most}")
    if not 0 <= chosen.blocks_least <= chosen.blocks_most <= BLOCKS**2:
        found = f"{chosen.blocks_least} to {chosen.blocks_most}"
        raise ConfigError(
            f"an occluded face loses some of {BLOCKS**2} blocks, from the fewest to the most; found {found}"
        )
    if not 0 <= chosen.yaw_least <= chosen.yaw_most < 90:
        found = f"{chosen.yaw_least:g} to {chosen.yaw_most:g}"
        raise ConfigError(f"heads turn by less than 90 degrees, from the smallest angle to the largest; found {found}")
