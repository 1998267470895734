"""What users know of the faces they train on: soft labels of mined variations, and profiles rendered beforehand.

Both are CSV, UTF-8 with a header, one line per picture. The column ``path`` names the picture as the training set's
keys do; the extension may stand or be left out. A table may name fewer pictures than the training set has, and others:
one table serves a set and all its parts. Only a table that names none of them is taken for a mistake.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench.datasets.naming import key_of
from facebench.images import decode, fit_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

SIZE = (112, 112)
"""Height and width of a profile, pixels."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file that a table names."""

    line: int
    name: str


class Profiles:
    """Profiles of some faces of a training set, decoded when they are asked for; safe to use from several threads.

    Args:
        path: The table; the pictures lie beside it or below its folder.
        pictures: The picture of each row that has one.
        size: N, the faces of the training set.

    Attributes:
        available: Which have one, bool (N,).
    """

    def __init__(self, path: Path, pictures: Mapping[int, _Picture], *, size: int) -> None:
        self._path, self._pictures = path, pictures
        self.available = np.zeros(size, dtype=np.bool_)
        self.available[list(pictures)] = True
        self.available.setflags(write=False)

    def images(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[np.uint8]:
        """The profiles of some faces, in their order.

        Args:
            rows: Rows of the training set, (M,), all available.

        Returns:
            uint8 (M, 112, 112, 3), RGB; pictures of another size go through ``facebench.images.fit_to``.

        Raises:
            DataError: Naming table and line of a picture that cannot be read or decoded.
        """
        found = np.empty((len(rows), *SIZE, 3), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            picture = self._pictures[row]
            name = f"{self._path}:{picture.line}: {picture.name}"
            try:
                data = (self._path.parent / picture.name).read_bytes()
            except OSError as error:
                raise DataError(f"{name}: cannot read the picture: {error.strerror}") from None
            found[place] = fit_to(decode(data, name=name), SIZE)
        return found


def read_mined(path: Path, keys: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Soft labels of mined variations: how certainly a face smiles, is young, and so on (URL, section 3.4).

    The table has the columns ``path`` and one per attribute; values lie in 0..1, an empty cell is unknown.

    Args:
        path: The CSV.
        keys: Of the training set, (N,).

    Returns:
        The T attributes in the table's order, and their labels, float32 (N, T), NaN where unknown.

    Raises:
        DataError: Naming file and line of what is wrong.
    """
    table = _Table(path)
    own = table.column("path")
    columns = [place for place in range(len(table.header)) if place != own]
    names = tuple(table.header[place] for place in columns)
    if not names:
        raise DataError(f"{path}:1: the header names no attribute; expected path,<attribute>,...")
    values = np.full((len(keys), len(names)), np.nan, dtype=np.float32)
    for row, line, cells in table.rows(keys):
        values[row] = [_label(cells[place], f"{path}:{line}", table.header[place]) for place in columns]
    return names, values


def read_profiles(path: Path, keys: Sequence[str]) -> Profiles:
    """Profiles rendered elsewhere: the same faces, turned to the side by a 3-D model as in the paper.

    The table has the columns ``path`` and ``profile``, a picture beside the table or below its folder, aligned as the
    training set is; an empty cell is a face without one. Pictures elsewhere are refused, whether the table or a link
    leads there. Every file is looked for here; they are decoded later.

    Args:
        path: The CSV.
        keys: Of the training set, (N,).

    Raises:
        DataError: Naming file and line of what is wrong.
    """
    table = _Table(path)
    column = table.column("profile")
    folders: dict[Path, bool] = {}
    pictures = {}
    for row, line, cells in table.rows(keys):
        name = cells[column].strip()
        if name:
            _check_picture(path, line, name, folders)
            pictures[row] = _Picture(line, name)
    return Profiles(path, pictures, size=len(keys))


class _Table:
    """The lines of a CSV, each found in a training set.

    Args:
        path: The CSV; its header is read at once.

    Raises:
        DataError: When it cannot be read, or its header does not name each of its columns once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _, cells = next(self._lines(), (1, []))
        self.header = [cell.strip() for cell in cells]
        self._path = self.column("path")
        for place, name in enumerate(self.header):
            if not name:
                raise DataError(f"{path}:1: column {place + 1} of the header has no name")
            if self.column(name) != place:
                raise DataError(f"{path}:1: the header names the column {name[:80]!r} twice")

    def column(self, name: str) -> int:
        """Where a column stands; small and capital letters are one."""
        names = [cell.lower() for cell in self.header]
        if name.lower() not in names:
            found = ",".join(self.header)[:80]
            raise DataError(f"{self.path}:1: the header must name the column {name}, found {found!r}")
        return names.index(name.lower())

    def rows(self, keys: Sequence[str]) -> Iterator[tuple[int, int, list[str]]]:
        """Row of the training set, number and cells of each line that names one of its pictures.

        Raises:
            DataError: Where a line is malformed or names a picture again; at the end, when none was named.
        """
        row_of = {key: row for row, key in enumerate(keys)}
        line_of = np.zeros(len(row_of), dtype=np.int64)
        unknown: tuple[int, str] | None = None
        lines = self._lines()
        next(lines)
        for line, cells in lines:
            if len(cells) != len(self.header):
                raise DataError(f"{self.path}:{line}: {len(cells)} fields where the header has {len(self.header)}")
            name = cells[self._path].strip().replace("\\", "/").removeprefix("./")
            if not name:
                raise DataError(f"{self.path}:{line}: the path is empty")
            row = row_of.get(name)
            if row is None:
                row = row_of.get(key_of(name))
            if row is None:
                unknown = unknown or (line, name)
                continue
            if line_of[row]:
                raise DataError(f"{self.path}:{line}: {name[:200]!r} stands on line {line_of[row]} already")
            line_of[row] = line
            yield row, line, cells
        if not line_of.any():
            self._refuse(unknown, keys)

    def _refuse(self, unknown: tuple[int, str] | None, keys: Sequence[str]) -> None:
        if unknown is None:
            raise DataError(f"{self.path}:1: the table has a header and no lines")
        example = f", such as {keys[0]!r}" if len(keys) else ""
        line, name = unknown
        raise DataError(
            f"{self.path}:{line}: {name[:200]!r} is no picture of the training set, nor is any other of the table; "
            f"paths must be its keys{example}"
        )

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line that is not empty, the header among them."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                reader = csv.reader(file, strict=True)
                try:
                    for cells in reader:
                        "".join(cells).encode()  # strictly; decoding would fail somewhere in a block of lines
                        if cells or reader.line_num == 1:
                            yield reader.line_num, cells
                except csv.Error as error:
                    raise DataError(f"{self.path}:{reader.line_num}: not a CSV line ({error})") from None
                except UnicodeEncodeError:
                    raise DataError(f"{self.path}:{reader.line_num}: the line is not UTF-8") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot read the table: {error.strerror}") from None


def _label(cell: str, place: str, attribute: str) -> float:
    cell = cell.strip()
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DataError(
            f"{place}: {attribute[:80]} is {cell[:40]!r}; expected a number in 0..1, or nothing for unknown"
        )
    return value


def _check_picture(path: Path, line: int, name: str, folders: dict[Path, bool]) -> None:
    """Refuses a picture that is not there, or not below the table's folder.

    Args:
        path: The table.
        line: Its line.
        name: What it says.
        folders: Whether folders met before lie below the table's; filled here.
    """
    # Both ways to read a path are tried on every system: a table is as safe here as it is elsewhere.
    for spelled in (PurePosixPath(name), PureWindowsPath(name)):
        if spelled.is_absolute() or spelled.drive or spelled.root or ".." in spelled.parts or "\0" in name:
            raise DataError(f"{path}:{line}: the profile {name[:200]!r} is no path below the table's folder; refused")
    picture = path.parent / name
    try:
        if not picture.is_file():
            raise DataError(f"{path}:{line}: there is no picture {name[:200]!r} in {path.parent}")
        if picture.parent not in folders:
            folders[picture.parent] = _below(path, picture.parent)
        inside = folders[picture.parent] and (not picture.is_symlink() or _below(path, picture))
    except OSError as error:
        raise DataError(f"{path}:{line}: cannot look for {name[:200]!r}: {error.strerror}") from None
    if not inside:
        raise DataError(f"{path}:{line}: the profile {name[:200]!r} is a link out of the table's folder; refused")


def _below(path: Path, place: Path) -> bool:
    """Whether a place really lies below the table's folder, or that of the file which the table is a link to."""
    real = place.resolve()
    return any(real.is_relative_to(folder) for folder in (path.parent.resolve(), path.resolve().parent))
