"""Distances in the input space: what the network sees, as points.

A face is the network's input, 112 x 112 x 3 values of (pixel - 127.5) / 127.5, flattened, unmirrored. Distances are in
units of the largest that two such points can have, sqrt(4 x 37,632) = 387.98, as TopoFR's training loss has them.

Small sets are kept in memory as pixels; and where the batches together would take more arithmetic than all pairs of
the set, the distances of all pairs are computed once. Of large sets only the faces asked for are read.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets import read_batch
from facebench.metrics.distances import distance_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from facebench import FaceDataset

    Floats = npt.NDArray[np.float32]
    Pixels = npt.NDArray[np.uint8]
    Rows = npt.NDArray[np.int64]

SIZE = (112, 112)
VALUES = SIZE[0] * SIZE[1] * 3
LARGEST = float(np.sqrt(4.0 * VALUES))
_MIDDLE = 127.5
_BLOCK = 512  # faces in a block: 77 MB as float32
_READ = 256  # faces read at a time
# Squared distances below this share of the squared norms that they are the difference of are measured anew.
_SHARE = 2.0**-4
_PAIRS = 64  # pairs measured anew at a time


class InputSpace:
    """The faces of a set as points, by their place in a given order.

    Args:
        faces: The set.
        rows: Its row of each point, int64 (N,); places count in this order.
        whole: At most so many points are kept in memory.
        work: How many pair distances will be asked for in all; decides whether computing all N^2 of them once is less.
    """

    def __init__(self, faces: FaceDataset, rows: Rows, *, whole: int, work: int) -> None:
        self._faces, self._rows = faces, rows
        self._readings, self._resized = 0, 0
        self._pixels = self._read(np.arange(len(rows))) if len(rows) <= whole else None
        self._all: Floats | None = None
        if self._pixels is not None and len(rows) ** 2 < work:
            self._all = all_distances(self._pixels)

    def distances(self, places: Rows) -> Floats:
        """Distances between some points, float32 (n, n), in units of the largest possible one."""
        if self._all is not None:
            return self._all[np.ix_(places, places)]
        pixels = self._pixels[places] if self._pixels is not None else self._read(places)
        found: Floats = distance_matrix(_points(pixels)).astype(np.float32, copy=False)
        found /= np.float32(LARGEST)
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of how the points were read."""
        if not self._resized:
            return ()
        what = f"{len(self._rows):,} pictures were" if self._pixels is not None else f"{self._readings:,} readings were"
        size = "x".join(map(str, SIZE))
        return (f"input space: {self._resized:,} of {what} resized to {size}; they were not aligned for it",)

    def _read(self, places: Rows) -> Pixels:
        """Pixels of some points, (n, 37632)."""
        pixels = np.empty((len(places), VALUES), dtype=np.uint8)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for start in range(0, len(places), _READ):
                stretch = slice(start, start + _READ)
                batch = read_batch(self._faces, self._rows[places[stretch]], size=SIZE, pool=pool)
                pixels[stretch] = batch.images.reshape(len(batch.images), VALUES)
                self._resized += batch.resized
        self._readings += len(places)
        return pixels


def all_distances(pixels: Pixels) -> Floats:
    """Distances between all points, block by block.

    Products of float32 values around the mean face do the bulk; pairs much closer to one another than to the mean face
    are measured from their difference, so that every distance is right to about 1e-5 of itself and equal pictures are
    0 apart. Memory: 4 N^2 bytes for the answer, about 0.2 GB for the blocks.

    Args:
        pixels: uint8 (N, 37632).

    Returns:
        float32 (N, N), symmetric, in units of the largest possible distance.
    """
    count = len(pixels)
    mean = pixels.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.concatenate([_norms(block - mean) for _, block in _blocks(pixels)])
    found = np.empty((count, count), dtype=np.float32)
    for rows, block in _blocks(pixels):
        left = block - mean
        for columns, other in _blocks(pixels[: rows.stop]):
            right = left if rows == columns else other - mean
            sums = squares[rows, None] + squares[columns]
            part = sums - 2 * (left @ right.T)
            doubtful = part < _SHARE * sums
            part = np.sqrt(np.maximum(part, 0))
            _measure(part, doubtful, left, right)
            if rows == columns:
                part = np.tril(part, -1)
                part += part.T
            part /= np.float32(_MIDDLE * LARGEST)
            found[rows, columns] = part
            found[columns, rows] = part.T
    return found


def _blocks(pixels: Pixels) -> Iterator[tuple[slice, Pixels]]:
    for start in range(0, len(pixels), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(pixels)))
        yield rows, pixels[rows]


def _norms(points: Floats) -> Floats:
    """Squared norms, (n,)."""
    found: Floats = np.vecdot(points, points)
    return found


def _measure(lengths: Floats, doubtful: npt.NDArray[np.bool_], left: Floats, right: Floats) -> None:
    """Replaces doubtful lengths by those of the points' differences."""
    first, second = doubtful.nonzero()
    for start in range(0, len(first), _PAIRS):
        a, b = first[start : start + _PAIRS], second[start : start + _PAIRS]
        lengths[a, b] = np.sqrt(_norms(left[a] - right[b]))


def _points(pixels: Pixels) -> Floats:
    """The network's input, float32."""
    points = pixels.astype(np.float32)
    points -= np.float32(_MIDDLE)
    points /= np.float32(_MIDDLE)
    return points
