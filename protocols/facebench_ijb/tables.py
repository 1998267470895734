"""Tables in text: columns with known types, read at once, and a line number for whatever does not fit.

pandas reads the good files. When it cannot, or when a row turns out to be wrong, the file is gone through line by line
only to say where.
"""

from __future__ import annotations

import csv
import math
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

Kind = Literal["text", "integer", "number"]
"""``integer`` is a whole number that fits 64 bits, ``number`` a finite decimal one."""

_DTYPES: Mapping[str, str] = {"text": "str", "integer": "int64", "number": "float64"}
_MOST = 2**63 - 1


def read_blank_separated(path: Path, columns: Mapping[str, Kind]) -> dict[str, npt.NDArray[np.generic]]:
    """Reads a table without a header, fields parted by blanks or tabs.

    Args:
        path: The table.
        columns: The kind of each column by name, in order; text must not be empty.

    Returns:
        Arrays (N,) by column: str, int64 or float64; row k stands in line k + 1.

    Raises:
        DataError: When the file cannot be read, is empty, or a line does not fit; the message says which.
    """
    import pandas as pd

    data = _content(path)
    names = [*columns, "beyond"]
    types = {name: _DTYPES[kind] for name, kind in columns.items()} | {"beyond": "str"}
    try:
        frame = pd.read_csv(
            BytesIO(data),
            sep=r"\s+",
            header=None,
            names=names,
            dtype=types,
            index_col=False,
            quoting=3,
            na_filter=False,
            skip_blank_lines=False,
            engine="c",
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        raise _first_wrong(path, data, columns, header=False) from None
    # A field too many is seen in the column beyond the last; one too few leaves the last one empty.
    sound = (frame["beyond"] == "").all() and (frame[names[-2]].astype(str) != "").all()
    finite = all(np.isfinite(frame[name]).all() for name, kind in columns.items() if kind == "number")
    if not sound or not finite:
        raise _first_wrong(path, data, columns, header=False)
    return {name: _array(frame[name].to_numpy(), kind) for name, kind in columns.items()}


def read_csv(
    path: Path, columns: Mapping[str, Kind], *, spellings: Mapping[str, Sequence[str]]
) -> dict[str, npt.NDArray[np.generic]]:
    """Reads some columns of a comma-separated table with a header line.

    Args:
        path: The table.
        columns: The kind of each wanted column by our name for it.
        spellings: The header names that a column may have, by our name, case ignored; ``#0`` takes the first column
            whatever it is called, and ``""`` lets the column be absent, and then absent from the result.

    Returns:
        Arrays (N,) by our name; row k stands in line k + 2.

    Raises:
        DataError: When the file cannot be read, a column is absent, there is no row, or a line does not fit.
    """
    import pandas as pd

    data = _content(path)
    header = data.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
    titles = [title.strip().strip('"').upper() for title in header.split(",")]
    chosen: dict[str, int] = {}
    for name in columns:
        wanted = [spelling.upper() for spelling in spellings[name]]
        places = [titles.index(title) for title in wanted if title and title in titles]
        places += [int(title[1:]) for title in wanted if title.startswith("#") and int(title[1:]) < len(titles)]
        if places:
            chosen[name] = places[0]
        elif "" not in wanted:
            raise DataError(f"{path}, line 1: no column {' or '.join(wanted)}; found {header[:120]!r}")
    kinds = {name: columns[name] for name in chosen}
    if not _even(data, len(titles)):
        raise _first_wrong(path, data, kinds, header=True, places=chosen, width=len(titles))
    try:
        frame = pd.read_csv(
            BytesIO(data),
            header=0,
            names=list(range(len(titles))),
            usecols=sorted(chosen.values()),
            dtype={place: _DTYPES[kinds[name]] for name, place in chosen.items()},
            index_col=False,
            na_filter=False,
            skip_blank_lines=False,
            engine="c",
        )
    except (ValueError, OverflowError, pd.errors.ParserError):
        raise _first_wrong(path, data, kinds, header=True, places=chosen, width=len(titles)) from None
    if not len(frame):
        raise DataError(f"{path}: the table has a header and no rows")
    text = [name for name, kind in kinds.items() if kind == "text"]
    finite = all(np.isfinite(frame[chosen[name]]).all() for name, kind in kinds.items() if kind == "number")
    if not finite or any((frame[chosen[name]].astype(str) == "").any() for name in text):
        raise _first_wrong(path, data, kinds, header=True, places=chosen, width=len(titles))
    return {name: _array(frame[chosen[name]].to_numpy(), kind) for name, kind in kinds.items()}


def _even(data: bytes, width: int) -> bool:
    """Whether every line has as many fields as the header; lines with quotation marks are left to pandas."""
    if b'"' in data:
        return True
    text = np.frombuffer(data, dtype=np.uint8)
    commas, newlines = np.flatnonzero(text == ord(",")), np.flatnonzero(text == ord("\n"))
    before = np.searchsorted(commas, newlines)
    return bool((np.diff(before, prepend=0) == width - 1).all())


def _content(path: Path) -> bytes:
    """The file without white space at its end."""
    try:
        data = path.read_bytes().rstrip()
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror}") from None
    if not data:
        raise DataError(f"{path}: the list is empty")
    return data + b"\n"


def _array(values: npt.NDArray[np.generic], kind: Kind) -> npt.NDArray[np.generic]:
    return values.astype(np.str_) if kind == "text" else np.ascontiguousarray(values)


def _first_wrong(
    path: Path,
    data: bytes,
    columns: Mapping[str, Kind],
    *,
    header: bool,
    places: Mapping[str, int] | None = None,
    width: int | None = None,
) -> DataError:
    """The error that names the first line which does not fit."""
    at = places or {name: place for place, name in enumerate(columns)}
    count = width or len(columns)
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        if header and number == 1:
            continue
        text = line.decode("utf-8", "replace").strip()
        fields = next(csv.reader([text]), []) if header else text.split()
        if len(fields) != count:
            return DataError(f"{path}, line {number}: expected {count} fields, found {len(fields)}: {text[:80]!r}")
        for name, kind in columns.items():
            if not _fits(fields[at[name]], kind):
                wanted = {"text": "text", "integer": "a whole number", "number": "a finite number"}[kind]
                return DataError(f"{path}, line {number}: {name} must be {wanted}, found {fields[at[name]][:40]!r}")
    return DataError(f"{path}: not a table of {', '.join(columns)}")


def _fits(field: str, kind: Kind) -> bool:
    if kind == "text":
        return bool(field)
    try:
        return abs(int(field)) <= _MOST if kind == "integer" else math.isfinite(float(field))
    except ValueError:
        return False
