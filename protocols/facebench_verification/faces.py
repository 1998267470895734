"""The faces of a list of pairs, each once, with the pairs that compare them.

A face that occurs in many pairs is decoded and embedded once. Pictures may come from a folder, a tar, a pack or the
demo; or there may be none, when embeddings are at hand already.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebench import DataError
from facebench.datasets import SelectedFaces

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import FaceDataset
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


class PairFaces(SelectedFaces):
    """A ``FaceDataset`` of the faces that a list of pairs names, sorted by key, each once.

    Args:
        name: Of the data set.
        pairs: The comparisons.
        source: Where the pictures are; None when only embeddings will be looked up.
        listed_in: The list's file, for messages.

    Raises:
        DataError: When the list names a face that the source does not have.
    """

    def __init__(self, name: str, pairs: Pairs, source: FaceDataset | None, *, listed_in: Path | str) -> None:
        keys = pairs.keys
        self.pairs = pairs
        self.first: npt.NDArray[np.int64] = np.searchsorted(keys, pairs.first)
        self.second: npt.NDArray[np.int64] = np.searchsorted(keys, pairs.second)

        def absent(missing: npt.NDArray[np.str_]) -> DataError:
            pair = int(np.flatnonzero((pairs.first == missing[0]) | (pairs.second == missing[0]))[0])
            return DataError(
                f"{pairs.where(pair, listed_in)}: no picture {str(missing[0])!r} in "
                f"{source.name if source is not None else name} ({len(missing)} of {len(keys)} pictures are missing)"
            )

        super().__init__(name, keys, self._labels(), source=source, lists=_told(pairs), absent=absent)

    def _labels(self) -> npt.NDArray[np.int64]:
        """Number of the subject where the list names subjects, else -1."""
        labels = np.full(len(self.pairs.keys), -1, dtype=np.int64)
        if self.pairs.subjects is not None:
            _, numbers = np.unique(np.concatenate(self.pairs.subjects), return_inverse=True)
            labels[np.concatenate([self.first, self.second])] = numbers
        return labels


def _told(pairs: Pairs) -> bytes:
    """Digest of all that the list says, in order."""
    digest = hashlib.sha256(f"{pairs.folds} folds".encode())
    digest.update(np.packbits(pairs.same).tobytes())
    columns = (pairs.first, pairs.second, *(pairs.subjects or ()), pairs.fold, pairs.group, *(pairs.quality or ()))
    for place, column in enumerate(columns):
        if column is not None:
            digest.update("\0".join([str(place), *map(str, column), "\0"]).encode())
    return digest.digest()
