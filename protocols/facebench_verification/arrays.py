"""Pictures as one array: ``hadrian/hadrian.npy`` with ``hadrian/issame.txt`` beside it.

The form that the makers of Hadrian and Eclipse unpack their packs to: uint8 (2N, 3, H, W) RGB, pictures 2i and 2i + 1
being pair i, and N numbers, 0 for two people.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face
from facebench_verification.lists.reading import read_lines

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


class ArrayImages:
    """A ``FaceDataset`` over an array on disk; read in place.

    Args:
        path: The ``.npy``; ``issame.txt`` lies beside it.

    Attributes:
        same: Whether pair i (pictures 2i and 2i + 1) shows one person, bool (N,).

    Raises:
        DataError: When the array has another form, or the flags another number.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: not a readable array: {error}") from None
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3:
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
            raise DataError(f"{path}: expected uint8 (2N, 3, H, W), found {found}")
        self._array: npt.NDArray[np.uint8] = array
        self.same = _flags(path.with_name("issame.txt"), len(array), path)
        self.keys = [f"{index:07d}" for index in range(len(array))]
        self.labels: npt.NDArray[np.int64] = np.full(len(array), -1, dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all pixels and flags."""
        digest = hashlib.sha256(f"facebench array 1 {self._array.shape}".encode())
        for start in range(0, len(self._array), 256):
            digest.update(np.ascontiguousarray(self._array[start : start + 256]).data)
        digest.update(self.same.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        return Face(self.batch(np.array([index]))[0], -1, self.keys[index])

    def batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures, uint8 (N, H, W, 3)."""
        return np.ascontiguousarray(self._array[indices].transpose(0, 2, 3, 1))

    def encoded(self, index: int, /) -> bytes:
        """The bytes of one picture as they lie in the array."""
        pixels: bytes = self._array[index].tobytes()
        return pixels


def _flags(path: Path, pictures: int, array: Path) -> npt.NDArray[np.bool_]:
    flags = []
    for line, text in read_lines(path):
        try:
            flags.append(float(text) != 0)  # NumPy's own writer spells 1 as 1.000000000000000000e+00
        except ValueError:
            raise DataError(f"{path}, line {line}: expected 0 or 1, found {text[:40]!r}") from None
    if pictures != 2 * len(flags) or not pictures:
        raise DataError(f"{path}: {len(flags)} pairs for the {pictures} pictures of {array}; each pair needs two")
    return np.array(flags, dtype=np.bool_)
