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
from facebench_url.options import VARIATIONS
from facebench_url.turning import turned

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from facebench import Preprocess

Pose = Literal["pose_2d_approx", "profiles", "off"]

BLOCKS = 7
"""Blocks along each side of the grid of which some become black."""
DIVISORS = (2, 3, 4, 5, 6)
"""By how much a resampled face is shrunk, all equally likely."""


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
