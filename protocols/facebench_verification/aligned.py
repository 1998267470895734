"""Pictures aligned while they are read, from a table of five points for each.

For sets that are at hand as photographs: the crop is made by ``facebench.images.align``, the arithmetic that made the
published packs. The points stay the user's: other points move results by tenths of a point, so the table is part of the
fingerprint.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face
from facebench.images import align
from facebench_verification.lists.reading import key_of, read_lines

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy.typing as npt

    from facebench import FaceDataset

_COLUMNS = ("path", *(f"{axis}{point}" for point in range(1, 6) for axis in "xy"))
# Their order in a table without names: the lists of the SphereFace family.
_PLAIN = {name: place for place, name in enumerate(_COLUMNS)}


class AlignedImages:
    """A ``FaceDataset`` of 112 x 112 crops.

    Args:
        source: The photographs.
        landmarks: The table, see ``read_landmarks``; its paths are the source's keys, with or without file ending.
        needed: Keys that will be asked for; None means all of the source. Those that the source lacks are left out.

    Raises:
        DataError: When the table is malformed or a needed picture has no points.
    """

    def __init__(self, source: FaceDataset, landmarks: Path, *, needed: Collection[str] | None = None) -> None:
        points = read_landmarks(landmarks)
        wanted = None if needed is None else {str(key) for key in needed}
        self._rows = [row for row, key in enumerate(source.keys) if wanted is None or key in wanted]
        self.keys = [source.keys[row] for row in self._rows]
        lacking = [key for key in self.keys if key not in points]
        if lacking:
            raise DataError(f"{landmarks}: no points for {lacking[0]!r} ({len(lacking)} of {len(self.keys)} pictures)")
        self.name, self._source = source.name, source
        self._points = np.array([points[key] for key in self.keys], dtype=np.float64).reshape(-1, 5, 2)
        self.labels: npt.NDArray[np.int64] = source.labels[self._rows]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the photographs, the points and the kind of alignment."""
        digest = hashlib.sha256(f"aligned to 112, 1 {self._source.fingerprint}".encode())
        digest.update("\0".join(self.keys).encode())
        digest.update(self._points.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        face = self._source[self._rows[index]]
        return Face(align(face.image, self._points[index]), int(self.labels[index]), self.keys[index])


def read_landmarks(path: Path) -> dict[str, list[float]]:
    """Five points of each picture: ten numbers, x and y in pixels of the photograph, by key.

    The order is left eye, right eye, nose tip, left and right mouth corner, as seen in the picture. Either a CSV whose
    first line names the columns ``path,x1,y1,...,x5,y5`` (others are passed over), or lines of a path and ten numbers
    parted by commas, tabs or blanks.

    Raises:
        DataError: When a line does not fit.
    """
    lines = read_lines(path)
    header = [name.strip().lower() for name in lines[0][1].split(",")]
    named = "path" in header
    missing = [name for name in _COLUMNS if name not in header]
    if named and missing:
        raise DataError(f"{path}, line {lines[0][0]}: no column {missing[0]!r}; found {','.join(header)[:80]}")
    columns = {name: header.index(name) for name in _COLUMNS} if named else _PLAIN
    found: dict[str, list[float]] = {}
    for line, text in lines[1:] if named else lines:
        fields = text.split(",") if "," in text else text.split()
        numbers = _numbers(fields, columns)
        if numbers is None:
            raise DataError(f"{path}, line {line}: expected a path and five points, found {text[:80]!r}")
        found[key_of(fields[columns["path"]].strip())] = numbers
    return found


def _numbers(fields: list[str], columns: dict[str, int]) -> list[float] | None:
    try:
        numbers = [float(fields[columns[name]]) for name in _COLUMNS[1:]]
    except (ValueError, IndexError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
