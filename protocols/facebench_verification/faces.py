"""The faces of a list of pairs, each once, with the pairs that compare them.

A face that occurs in many pairs is decoded and embedded once. Pictures may come from a folder, a tar, a pack or the
demo; or there may be none, when embeddings are at hand already.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebench import DataError, Face, FaceDataset

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench_verification.pairs import Pairs


class Compared(Protocol):
    """What is compared: vectors by row, and the rows on either side of each pair.

    Attributes:
        pairs: The comparisons, N of them.
        first: Row of the first vector of each pair, (N,).
        second: Row of the second one, (N,).
    """

    pairs: Pairs
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


class PairFaces:
    """A ``FaceDataset`` of the faces that a list of pairs names.

    Args:
        name: Of the data set.
        pairs: The comparisons.
        source: Where the pictures are; None when only embeddings will be looked up.
        listed_in: The list's file, for messages.

    Raises:
        DataError: When the list names a face that the source does not have.
    """

    def __init__(self, name: str, pairs: Pairs, source: FaceDataset | None, *, listed_in: Path | str) -> None:
        self.name, self.pairs, self._source = name, pairs, source
        self._keys = pairs.keys
        self.first: npt.NDArray[np.int64] = np.searchsorted(self._keys, pairs.first)
        self.second: npt.NDArray[np.int64] = np.searchsorted(self._keys, pairs.second)
        self._rows = self._find(source, listed_in) if source is not None else None
        if hasattr(source, "batch"):
            self.batch = self._batch  # as quick as the source, where that has a quick way

    def _find(self, source: FaceDataset, listed_in: Path | str) -> npt.NDArray[np.int64]:
        """The source's row of each of our keys."""
        have = np.asarray(source.keys, dtype=np.str_)
        order = np.argsort(have)
        place = np.minimum(np.searchsorted(have, self._keys, sorter=order), len(have) - 1)
        rows = order[place]
        absent = have[rows] != self._keys
        if absent.any():
            missing = self._keys[absent]
            pair = int(np.flatnonzero((self.pairs.first == missing[0]) | (self.pairs.second == missing[0]))[0])
            raise DataError(
                f"{self.pairs.where(pair, listed_in)}: no picture {str(missing[0])!r} in {source.name} "
                f"({len(missing)} of {len(self._keys)} pictures are missing)"
            )
        return np.asarray(rows, dtype=np.int64)

    @cached_property
    def keys(self) -> list[str]:
        """Sorted, each once."""
        return [str(key) for key in self._keys]

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """Number of the subject where the list names subjects, else -1."""
        if self.pairs.subjects is None:
            return np.full(len(self._keys), -1, dtype=np.int64)
        _, numbers = np.unique(np.concatenate(self.pairs.subjects), return_inverse=True)
        labels = np.empty(len(self._keys), dtype=np.int64)
        labels[np.concatenate([self.first, self.second])] = numbers
        return labels

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the pictures and of all that the list says, in order."""
        digest = hashlib.sha256(self._source.fingerprint.encode() if self._source is not None else b"no pictures")
        for part in (self.pairs.first, self.pairs.second, *(self.pairs.subjects or ())):
            digest.update("\0".join([*map(str, part), "\0"]).encode())
        digest.update(np.packbits(self.pairs.same).tobytes())
        digest.update(f"{self.pairs.folds} folds".encode())
        for told in (self.pairs.fold, self.pairs.group, *(self.pairs.quality or ())):
            if told is not None:
                digest.update("\0".join([*map(str, told), "\0"]).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int, /) -> Face:
        """The face in that row.

        Raises:
            DataError: When it cannot be decoded, or when only lists were opened.
        """
        source, rows = self._opened()
        face = source[int(rows[index])]
        return Face(image=face.image, label=int(self.labels[index]), key=str(self._keys[index]))

    def _batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once, uint8 (N, H, W, 3)."""
        source, rows = self._opened()
        images: npt.NDArray[np.uint8] = source.batch(rows[indices])  # type: ignore[attr-defined]
        return images

    def _opened(self) -> tuple[FaceDataset, npt.NDArray[np.int64]]:
        if self._source is None or self._rows is None:
            raise DataError(f"{self.name}: only the lists were opened, there are no pictures to embed")
        return self._source, self._rows
