"""Embeddings as they grow on disk: memory-mapped arrays, and a note of how many of their rows are safe.

A folder with ``embeddings.json`` holds all its rows; one with ``underway.json`` those the note tells of. What a note
tells is on the disk before the note is, and a folder loses its notes before its arrays are made anew: so what a killed
process leaves is never taken for more than it is. No network and no data set is known here.
"""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import DataError, FacebenchError
from facebench.store import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

# Rows are made durable at least this often; a killed run loses no more.
NOTE_SECONDS = 2.0
_COMPLETE = "embeddings.json"
_UNDERWAY = "underway.json"
_ARRAYS = ("vectors", "mirrored", "confidence")
# What a file system says that cannot reserve room; all else it says is about the room.
_NO_RESERVING = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class _Note:
    """How far the work is.

    Attributes:
        name: The fingerprint of what is embedded.
        arrays: Which arrays there are.
        done: Rows that are safe.
        resized: How many of their pictures were resized.
    """

    name: str
    arrays: tuple[str, ...]
    done: int
    resized: int


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """All rows of a complete folder, mapped for reading.

    Attributes:
        arrays: float32 (N, D), (N, D) and (N, K) under the names ``vectors``, ``mirrored`` and ``confidence``; the last
            two may be absent.
        resized: How many pictures had to be resized.
    """

    arrays: dict[str, np.memmap[Any, Any]]
    resized: int


class Rows:
    """The rows of a folder, from where it was left.

    Args:
        folder: Exists, and is held by this process.
        count: How many rows there will be.
        name: The fingerprint of what is embedded; rows of another are not continued.
        fresh: Whether to begin anew in any case.

    Attributes:
        done: Rows that are there.
        resized: How many of their pictures were resized.
    """

    def __init__(self, folder: Path, count: int, name: str, *, fresh: bool = False) -> None:
        self._folder, self._count, self._name = folder, count, name
        self._maps: dict[str, np.memmap[Any, Any]] = {}
        self._noted = time.monotonic()
        self.done, self.resized = 0, 0
        note = None if fresh else _note(folder / _UNDERWAY)
        if note is None or note.name != name or not 0 <= note.done <= count:
            return
        # Opened for reading first: numpy fills up a file that was cut short when it opens it for writing.
        if all(_stored(folder / f"{array}.npy", count) is not None for array in note.arrays):
            self._maps = {array: np.load(folder / f"{array}.npy", mmap_mode="r+") for array in note.arrays}
            self.done, self.resized = note.done, note.resized

    def add(self, arrays: Mapping[str, npt.NDArray[np.float32]], *, resized: int) -> None:
        """Appends rows.

        Args:
            arrays: Equally many rows for each name; always the same names and widths.
            resized: How many of their pictures were resized.

        Raises:
            DataError: When the names or widths are not those of the rows before.
            FacebenchError: When the disk is full or refuses.
        """
        if not self._maps:
            self._unnoted()
            self._maps = {
                name: _made(self._folder / f"{name}.npy", (self._count, *array.shape[1:]))
                for name, array in arrays.items()
            }
        widths = {name: array.shape[1:] for name, array in self._maps.items()}
        found = {name: array.shape[1:] for name, array in arrays.items()}
        if found != widths:
            raise DataError(f"the embedder returned {found} after {widths} for other faces; it must return one kind")
        stop = self.done + len(arrays["vectors"])
        for name, array in arrays.items():
            self._maps[name][self.done : stop] = array
        self.done, self.resized = stop, self.resized + resized
        if time.monotonic() - self._noted > NOTE_SECONDS:
            self._write(_UNDERWAY)
            self._noted = time.monotonic()

    def close(self) -> None:
        """Declares the folder complete."""
        self._write(_COMPLETE)
        # The note of the way here, and what a killed process left while writing one.
        for path in (self._folder / _UNDERWAY, *self._folder.glob(".*.json")):
            path.unlink(missing_ok=True)

    def _write(self, file: str) -> None:
        for array in self._maps.values():
            array.flush()
        note = _Note(self._name, tuple(sorted(self._maps)), self.done, self.resized)
        write_text(self._folder / file, json.dumps(asdict(note)) + "\n")

    def _unnoted(self) -> None:
        """Notes of rows that will be overwritten must not outlive them."""
        for file in (_COMPLETE, _UNDERWAY):
            (self._folder / file).unlink(missing_ok=True)


def kept(folder: Path, count: int, name: str) -> Kept | None:
    """What a folder holds, if it is complete; None as well when it is damaged, as far as shapes tell.

    Args:
        folder: May be absent.
        count: How many rows there must be.
        name: The fingerprint they must have.
    """
    note = _note(folder / _COMPLETE)
    if note is None or note.name != name or note.done != count:
        return None
    found = {array: _stored(folder / f"{array}.npy", count) for array in note.arrays}
    arrays = {array: rows for array, rows in found.items() if rows is not None}
    return Kept(arrays, note.resized) if len(arrays) == len(found) else None


def _note(path: Path) -> _Note | None:
    """A note, or None when there is none that can be understood."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        note = _Note(str(told["name"]), tuple(told["arrays"]), int(told["done"]), int(told["resized"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if set(note.arrays) <= set(_ARRAYS) and "vectors" in note.arrays else None


def _stored(path: Path, count: int) -> np.memmap[Any, Any] | None:
    """An array for reading; None when it is damaged or another."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return array if array.dtype == np.float32 and array.ndim == 2 and len(array) == count else None


def _made(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A new array with its room on the disk reserved: a map of a full disk would end the process without a word."""
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        with path.open("rb+") as file:
            _reserve(file.fileno(), path.stat().st_size)
    except OSError as error:
        raise FacebenchError(f"cannot write {path}: {error.strerror}; set --cache to another disk") from None
    return array


def _reserve(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
        except OSError as error:
            if error.errno not in _NO_RESERVING:
                raise
