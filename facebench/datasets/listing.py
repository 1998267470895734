"""CSV lists that choose and label pictures of a folder or tar."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.folder import ImageFolder
from facebench.datasets.naming import check_unique, dense
from facebench.datasets.tar import TarImages
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the list."""

    line: int
    path: str
    label: int


class CsvList(EncodedImages):
    """The pictures that a CSV names, in its order, with its labels.

    The CSV is UTF-8 with a header; it has the columns ``path`` (relative to the folder or tar, with or without a folder
    that wraps everything) and ``label`` (a whole number; negative for unknown); other columns are ignored. Labels are
    renumbered 0..C-1 in ascending order, which leaves a dense list as it is and makes a filtered one dense. Keys are
    those of the folder or tar, so lists of one set agree.

    Args:
        path: The CSV.
        images: The folder or tar. None looks beside the CSV: its own folder first, then a tar or sub-folder of the
            list's name, then any tar or sub-folder there; exactly one must hold the first picture listed.

    Raises:
        DataError: Naming file and line of what is wrong: a column that is missing, a label that is no number, a picture
            that is not there or listed twice.
    """

    def __init__(self, path: Path, images: Path | None = None) -> None:
        rows = list(_rows(path))
        if not rows:
            raise DataError(f"{path}: the list is empty; expected a header with path,label and one line per picture")
        self._images = _find_images(path, rows[0]) if images is None else _open(images)
        self._places = _places(path, rows, self._images)
        keys = [self._images.keys[place] for place in self._places]
        check_unique(keys, source=str(path))
        super().__init__(path, name=path.stem, keys=keys, labels=dense(row.label for row in rows))

    def encoded(self, index: int, /) -> bytes:
        """The file of one listed picture."""
        return self._images.encoded(int(self._places[index]))


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [cell.strip().lower() for cell in next(reader, [])]
            if "path" not in header or "label" not in header:
                found = ",".join(header)[:80]
                raise DataError(f"{path}:1: the header must name the columns path and label, found {found!r}")
            columns = header.index("path"), header.index("label")
            try:
                for cells in reader:
                    if cells:
                        yield _row(path, reader.line_num, cells, columns)
            except csv.Error as error:
                raise DataError(f"{path}:{reader.line_num}: not a CSV line ({error})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the list is not UTF-8 ({error.reason} at byte {error.start} of a block)") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror}") from None


def _row(path: Path, line: int, cells: list[str], columns: tuple[int, int]) -> _Row:
    if len(cells) <= max(columns):
        raise DataError(f"{path}:{line}: {len(cells)} fields where the header has at least {max(columns) + 1}")
    name, label = cells[columns[0]].strip(), cells[columns[1]].strip()
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or name.startswith(("/", "\\")) or ".." in parts:
        raise DataError(f"{path}:{line}: {name!r} is not a path relative to the pictures")
    try:
        number = int(label)
        np.int64(number)
    except (ValueError, OverflowError):
        raise DataError(f"{path}:{line}: the label {label[:40]!r} is not a whole number") from None
    return _Row(line, "/".join(parts), number)


def _places(path: Path, rows: list[_Row], images: ImageFolder | TarImages) -> list[int]:
    index = {images.file(place): place for place in range(len(images))}
    places = []
    for row in rows:
        place = index.get(row.path)
        if place is None:
            place = index.get(row.path.removeprefix(images.prefix))
        if place is None:
            raise DataError(f"{path}:{row.line}: the picture {row.path!r} is not in {images.path}")
        places.append(place)
    return places


def _open(images: Path) -> ImageFolder | TarImages:
    return ImageFolder(images) if images.is_dir() else TarImages(images)


def _find_images(path: Path, first: _Row) -> ImageFolder | TarImages:
    """The folder or tar beside a list that holds its first picture."""
    folder = path.parent
    if (folder / first.path).is_file():
        return ImageFolder(folder)
    try:
        beside = sorted(entry for entry in folder.iterdir() if entry.suffix == ".tar" or entry.is_dir())
    except OSError as error:
        raise DataError(f"{folder}: cannot read the folder: {error.strerror}") from None
    named = [entry for entry in beside if entry.stem == path.stem]
    for candidates in (named, beside):
        found = [images for images in map(_try, candidates) if images is not None and _holds(images, first)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(images.path.name for images in found)
            raise DataError(f"{path}: the picture {first.path!r} is in each of {several}; say which is meant")
    looked = ", ".join(entry.name for entry in beside[:8]) or "nothing"
    raise DataError(f"{path}:{first.line}: no folder or tar beside the list holds {first.path!r}; found {looked}")


def _try(path: Path) -> ImageFolder | TarImages | None:
    """What a path holds, if it holds pictures at all; a neighbour that the list does not mean may be broken."""
    try:
        return _open(path)
    except DataError:
        return None


def _holds(images: ImageFolder | TarImages, row: _Row) -> bool:
    names = {images.file(place) for place in range(len(images))}
    return row.path in names or row.path.removeprefix(images.prefix) in names
