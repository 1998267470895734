"""Lists of whole numbers, millions of lines long, read at the speed of memory.

The pairs of IJB-C are 15.7 million lines. Here a number costs a handful of vector operations: the eight bytes that end
at its last digit are taken as one 64-bit word, what stands before it is cleared, and three multiplications add the
digits up, two by two (Lemire's and Mula's way of parsing, "simd within a register"). What was read is kept in the cache
as arrays, so that the second reading is a copy. Whatever is no number is told with its line.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, FacebenchError
from facebench.store import cache_root, write_atomic

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

_LOG = logging.getLogger(__name__)
_BLOCK = 1 << 18  # bytes at a time: all working arrays together stay in the cache of a core
_LEAST_CACHED = 4 << 20  # bytes; smaller files are parsed in the time that finding the cache takes
_LONGEST = 8  # digits in one word
_CACHE_VERSION = 1
_NEWLINE = ord("\n")
_BLANKS = tuple(b" ,\t\r")


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """A list of whole numbers.

    Attributes:
        columns: One int32 array (N,) a column; row k stands in line k + 1.
        digest: SHA-256 over the numbers.
    """

    columns: tuple[npt.NDArray[np.int32], ...]
    digest: str


def read_integers(path: Path, *, columns: int) -> Integers:
    """Reads a list with the same count of whole numbers in every line, parted by blanks, tabs or commas; no header.

    Empty lines are allowed at the end only. Large files are kept in the cache under a name that changes whenever the
    file does; a cache that cannot be written or read is done without.

    Args:
        path: The list.
        columns: Numbers in a line.

    Raises:
        DataError: When the file cannot be read, is empty, or a line is not as described; the message says which.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror}") from None
    # The time of the last change of state cannot be set back, so an exchanged file never meets an old cache.
    name = [path.resolve(), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, columns, _CACHE_VERSION]
    kept = cache_root() / "lists" / f"{hashlib.sha256(repr(name).encode()).hexdigest()[:32]}.npz"
    large = found.st_size >= _LEAST_CACHED
    if large and (cached := _cached(kept, columns)) is not None:
        return cached
    arrays = _parse(path, columns)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    read = Integers(arrays, digest.hexdigest())
    if large:
        _keep(kept, read)
    return read


def _cached(path: Path, columns: int) -> Integers | None:
    """What the cache holds, unless it is damaged; the archive's own check sums tell."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = tuple(stored[f"column{index}"] for index in range(columns))
            digest = str(stored["digest"])
    except Exception:  # a damaged archive makes numpy raise anything, and all of it means: parse the list again
        return None
    same = all(array.dtype == np.int32 and array.shape == arrays[0].shape and array.ndim == 1 for array in arrays)
    return Integers(arrays, digest) if same else None


def _keep(path: Path, read: Integers) -> None:
    named = {f"column{index}": array for index, array in enumerate(read.columns)}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, digest=np.array(read.digest), **named)

    try:
        write_atomic(path, write)
    except FacebenchError as error:
        _LOG.info("the list will be parsed again next time: %s", error)


def _parse(path: Path, columns: int) -> tuple[npt.NDArray[np.int32], ...]:
    """Parses the file block by block; only the numbers are ever held whole."""
    blocks: list[list[npt.NDArray[np.int32]]] = [[] for _ in range(columns)]
    rows, rest = 0, b""
    try:
        with path.open("rb") as file:
            left = _length(file)
            while left or rest:
                read = file.read(min(_BLOCK, left))
                left = left - len(read) if read else 0
                data = rest + read
                end = data.rfind(b"\n") + 1 if left else len(data)
                rest = data[end:]
                if end:
                    table = _block(data[:end], path, columns, rows)
                    rows += len(table)
                    for index, column in enumerate(blocks):
                        column.append(np.ascontiguousarray(table[:, index]))
                elif len(rest) > _BLOCK:
                    raise DataError(f"{path}, line {rows + 1}: expected {columns} whole numbers in each line")
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror}") from None
    if not rows:
        raise DataError(f"{path}: the list is empty")
    return tuple(np.concatenate(column) for column in blocks)


def _length(file: BinaryIO) -> int:
    """How many bytes there are before the white space at the end; the file is left at its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _BLOCK))
    tail = file.read()
    file.seek(0)
    return size - len(tail) + len(tail.rstrip())


def _block(data: bytes, path: Path, columns: int, rows: int) -> npt.NDArray[np.int32]:
    """The numbers of some whole lines, (lines, columns).

    Raises:
        DataError: Naming the first line that is not as it should be.
    """
    # Eight bytes in front, so that every number is the end of a word.
    text = np.frombuffer(b"".join((b"\n" * 8, data, b"" if data.endswith(b"\n") else b"\n")), dtype=np.uint8)
    digit = text - np.uint8(ord("0")) < 10  # smaller bytes wrap around and are large
    edges = np.flatnonzero(digit[1:] != digit[:-1])
    before, ends = edges[0::2], edges[1::2]
    length = ends - before
    newlines = np.flatnonzero(text[8:] == _NEWLINE) + 8
    other = len(text) - 8 - len(newlines) - np.count_nonzero(digit)
    if (
        len(ends) != columns * len(newlines)
        or not len(ends)
        or int(length.max()) > _LONGEST
        or (ends[columns - 1 :: columns] > newlines).any()
        or (before[columns::columns] < newlines[:-1]).any()
        or other != sum(np.count_nonzero(text == blank) for blank in _BLANKS)
    ):
        return _line_by_line(data, path, columns, rows)
    return _values(text, ends, length).reshape(-1, columns)


def _values(
    text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """The numbers whose last digits stand at ``ends``, (N,)."""
    words: npt.NDArray[np.uint64] = np.ndarray((len(text) - 7,), dtype="<u8", buffer=text, strides=(1,))
    # Text order is from the lowest byte to the highest, so what precedes the number lies in the lowest bits.
    strange = (8 * (8 - length)).astype(np.uint64)
    value = words[ends - 7]
    value &= np.uint64(0x0F0F0F0F0F0F0F0F)
    value >>= strange
    value <<= strange
    value *= np.uint64(10 * 2**8 + 1)
    value >>= np.uint64(8)
    value &= np.uint64(0x00FF00FF00FF00FF)
    value *= np.uint64(100 * 2**16 + 1)
    value >>= np.uint64(16)
    value &= np.uint64(0x0000FFFF0000FFFF)
    value *= np.uint64(10000 * 2**32 + 1)
    value >>= np.uint64(32)
    return value.astype(np.int32)


def _line_by_line(data: bytes, path: Path, columns: int, rows: int) -> npt.NDArray[np.int32]:
    """The slow way: finds the line that is wrong, or reads what is right but unusual (leading zeros, last blanks)."""
    table: list[list[int]] = []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), rows + 1):
        fields = line.replace(b",", b" ").split()
        shown = line.decode("utf-8", "replace").strip()[:80]
        if len(fields) != columns:
            raise DataError(f"{path}, line {number}: expected {columns} whole numbers, found {shown!r}")
        for field in fields:
            if not (field.isascii() and field.isdigit()) or len(field.lstrip(b"0")) > _LONGEST:
                raise DataError(f"{path}, line {number}: expected whole numbers below 10^8, found {shown!r}")
        table.append([int(field) for field in fields])
    return np.array(table, dtype=np.int32).reshape(-1, columns)
