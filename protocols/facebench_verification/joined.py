"""Several data sets as one, each under a name of its own: the packs of groups, the kinds of demo pictures."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from facebench import FaceDataset


class Joined:
    """A ``FaceDataset`` whose keys are ``part/key``; unlabelled, for the parts number people each for itself.

    Args:
        name: Of the whole.
        parts: The data sets by name.
    """

    def __init__(self, name: str, parts: Mapping[str, FaceDataset]) -> None:
        self.name, self._parts = name, tuple(parts.values())
        self.keys = [f"{part}/{key}" for part, faces in parts.items() for key in faces.keys]
        self.labels: npt.NDArray[np.int64] = np.full(len(self.keys), -1, dtype=np.int64)
        self._starts = np.cumsum([0, *(len(faces) for faces in self._parts)])
        if all(hasattr(faces, "batch") for faces in self._parts):
            self.batch = self._batch

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the parts and their names."""
        told = [*self.keys, *(faces.fingerprint for faces in self._parts)]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        place = range(len(self))[index]
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        face = self._parts[part][place - int(self._starts[part])]
        return Face(face.image, -1, self.keys[place])

    def _batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once, uint8 (N, H, W, 3)."""
        chosen = np.asarray(indices, dtype=np.int64)
        part = np.searchsorted(self._starts, chosen, side="right") - 1
        pictures: npt.NDArray[np.uint8] | None = None
        for number in np.unique(part).tolist():
            rows = np.flatnonzero(part == number)
            found = self._parts[number].batch(chosen[rows] - self._starts[number])
            if pictures is None:
                pictures = np.empty((len(chosen), *found.shape[1:]), dtype=np.uint8)
            if found.shape[1:] != pictures.shape[1:]:
                raise DataError(f"{self.name}: pictures of {found.shape[1:3]} beside some of {pictures.shape[1:3]}")
            pictures[rows] = found
        return np.empty((0, 0, 0, 3), dtype=np.uint8) if pictures is None else pictures
