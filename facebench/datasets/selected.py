"""The faces that lists name, in the lists' order, out of wherever the pictures are.

Protocols open lists and pictures apart: a list may name a picture many times, or not at all, and there may be no
pictures, when embeddings are at hand already.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench.contracts import Face
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from facebench.contracts import FaceDataset


class SelectedFaces:
    """A ``FaceDataset`` over some of another's faces.

    Args:
        name: Of the data set.
        keys: What the lists name, each once, (N,).
        labels: Class of each, int64 (N,), -1 when unknown.
        source: Where the pictures are; None when only embeddings will be looked up.
        rows: The source's row of each key; found by key if not given.
        lists: Whatever else of the lists decides a result; part of the fingerprint.
        absent: Makes the error for keys that the source does not have, from those keys; a general one if not given.

    Raises:
        DataError: When the source does not have a key.
    """

    def __init__(
        self,
        name: str,
        keys: npt.NDArray[np.str_],
        labels: npt.NDArray[np.int64],
        *,
        source: FaceDataset | None,
        rows: npt.NDArray[np.int64] | None = None,
        lists: bytes = b"",
        absent: Callable[[npt.NDArray[np.str_]], DataError] | None = None,
    ) -> None:
        self.name = name
        self.labels = labels
        self._keys, self._source, self._lists = keys, source, lists
        if source is not None and rows is None:
            rows = _find(name, keys, source, absent)
        self._rows = rows
        if hasattr(source, "batch"):
            self.batch = self._batch  # as quick as the source, where that has a quick way

    @cached_property
    def keys(self) -> list[str]:
        """In the lists' order."""
        return [str(key) for key in self._keys]

    @cached_property
    def pictures(self) -> str:
        """Hash of the pictures and their keys alone: the same under any list that names the same faces."""
        digest = hashlib.sha256(self._source.fingerprint.encode() if self._source is not None else b"no pictures")
        digest.update("\0".join(self.keys).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of pictures, keys, labels and lists."""
        digest = hashlib.sha256(self.pictures.encode())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        digest.update(self._lists)
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


def _find(
    name: str,
    keys: npt.NDArray[np.str_],
    source: FaceDataset,
    absent: Callable[[npt.NDArray[np.str_]], DataError] | None,
) -> npt.NDArray[np.int64]:
    have = np.asarray(source.keys, dtype=np.str_)
    order = np.argsort(have)
    rows = order[np.minimum(np.searchsorted(have, keys, sorter=order), len(have) - 1)] if len(have) else order
    missing = keys[have[rows] != keys] if len(have) else keys
    if len(missing):
        raise (absent or _missing(name, source.name, len(keys)))(missing)
    return np.asarray(rows, dtype=np.int64)


def _missing(name: str, source: str, count: int) -> Callable[[npt.NDArray[np.str_]], DataError]:
    def error(keys: npt.NDArray[np.str_]) -> DataError:
        return DataError(
            f"{name}: no picture {str(keys[0])!r} in {source} ({len(keys)} of {count} pictures are missing)"
        )

    return error
