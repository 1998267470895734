"""Several labelled sets as one: real beside generated faces in a training, people of several sources in a protocol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.contracts import Face
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from facebench.contracts import FaceDataset


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Those of some faces that lie in one set.

    Attributes:
        faces: The set.
        rows: Which of its faces, int64 (n,).
        places: Where these are among the faces asked for, int64 (n,).
    """

    faces: FaceDataset
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


class JoinedFaces:
    """A ``FaceDataset`` of the faces of several, one set after the other; keys are ``prefix/key``.

    Many faces at once are read from each set in its own way (``pieces``), be its pictures of another size.

    Args:
        sets: The data sets, each under the prefix of its keys, such as ``real`` and ``generated``.
        name: Of the whole; the prefixes with ``+`` between them if empty.
        labels: ``apart``: the sets show different people, and the labels of each follow those of the one before.
            ``together``: a label means the same person in every set. Faces without a label have none here.

    Attributes:
        starts: Where each set begins, and at last how many faces there are, int64 (number of sets + 1,).

    Raises:
        DataError: When there is no set, or a prefix is empty or holds a ``/``.
    """

    def __init__(
        self, sets: Mapping[str, FaceDataset], *, name: str = "", labels: Literal["apart", "together"] = "apart"
    ) -> None:
        wrong = [prefix for prefix in sets if not prefix or "/" in prefix]
        if wrong or not sets:
            raise DataError(f"sets to join need a prefix each, without '/'; found {wrong or 'no set'}")
        self.name = name or "+".join(sets)
        self._prefixes, self._sets = tuple(sets), tuple(sets.values())
        self.starts = np.cumsum([0, *map(len, self._sets)], dtype=np.int64)
        self.labels = _labels(self._sets, apart=labels == "apart")
        self.labels.setflags(write=False)

    @property
    def num_classes(self) -> int:
        """C: labels lie in 0..C-1."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def keys(self) -> list[str]:
        """Prefix and key of each face, (N,)."""
        return [
            f"{prefix}/{key}" for prefix, faces in zip(self._prefixes, self._sets, strict=True) for key in faces.keys
        ]

    @cached_property
    def pictures(self) -> str:
        """Hash of the pictures and their keys alone."""
        parts = [getattr(faces, "pictures", None) or faces.fingerprint for faces in self._sets]
        return self._hash(parts)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of pictures, keys and labels."""
        labels = hashlib.sha256(np.ascontiguousarray(self.labels, dtype="<i8").tobytes()).hexdigest()
        return self._hash([*(faces.fingerprint for faces in self._sets), labels])

    def _hash(self, parts: list[str]) -> str:
        told = ["facebench joined 1", *self._prefixes, *parts]
        return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int, /) -> Face:
        """The face in that row.

        Raises:
            DataError: When it cannot be decoded.
        """
        place = range(len(self))[index]
        part = int(np.searchsorted(self.starts, place, side="right")) - 1
        face = self._sets[part][place - int(self.starts[part])]
        return Face(face.image, int(self.labels[place]), f"{self._prefixes[part]}/{face.key}")

    def pieces(self, indices: npt.NDArray[np.int64]) -> list[Piece]:
        """What of some faces, int64 (N,), lies in which set."""
        part = np.searchsorted(self.starts, indices, side="right") - 1
        found = []
        for number in np.unique(part).tolist():
            places = np.flatnonzero(part == number)
            found.append(Piece(self._sets[number], indices[places] - self.starts[number], places))
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {len(self)} faces, {self.num_classes} classes)"


def _labels(sets: tuple[FaceDataset, ...], *, apart: bool) -> npt.NDArray[np.int64]:
    """Labels of all faces, int64 (N,)."""
    first, found = 0, []
    for faces in sets:
        labels = np.asarray(faces.labels, dtype=np.int64)
        found.append(np.where(labels >= 0, labels + first, -1))
        if apart:
            first += int(labels.max(initial=-1)) + 1
    return np.concatenate(found)
