"""The one step that needs a network: faces in, embeddings out, once per data set.

Embeddings are written to memory-mapped arrays as they are made, so memory does not grow with the data set (one batch in
flight, one being embedded, and what the system keeps of the map), and a note of how far the work is done follows each
stretch of rows. A killed run continues after the last note and, since batches are cut at the same places, ends with the
same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import __version__
from facebench.contracts import fingerprint_of
from facebench.embeddings import Embeddings
from facebench.errors import DataError, FacebenchError
from facebench.images import mirror as mirrored_images
from facebench.loading import read_ahead
from facebench.store import locked, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import Embedder, FaceDataset, Features, Progress

# Rows are made durable at least this often; a killed run loses no more.
NOTE_SECONDS = 2.0
_COMPLETE = "embeddings.json"
_UNDERWAY = "underway.json"
_ARRAYS = ("vectors", "mirrored", "confidence")
# What a file system says that cannot reserve room; all else it says is about the room.
_NO_RESERVING = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of a data set.

    Attributes:
        embeddings: Rows in the data set's order.
        resized: How many pictures were not of the network's size and had to be resized; they were not aligned for it.
        reused: Whether all of it came from the cache.
    """

    embeddings: Embeddings
    resized: int
    reused: bool


def fingerprint(embedder: Embedder, dataset: FaceDataset, *, mirror: bool) -> str:
    """The name of a set of embeddings: weights x preprocessing x pictures x whether mirrors were embedded x code.

    A data set may have ``pictures``, a hash of its pictures and keys without the lists that name them: then two
    protocols with other lists over the same faces, or longer lists, find the embeddings that are there.
    """
    pictures = getattr(dataset, "pictures", None) or dataset.fingerprint
    return fingerprint_of([__version__, embedder.fingerprint, embedder.preprocess.fingerprint, pictures, mirror])


def embed(
    embedder: Embedder,
    dataset: FaceDataset,
    *,
    folder: Path,
    batch_size: int,
    workers: int,
    mirror: bool,
    progress: Progress,
) -> Embedded:
    """Embeds a data set into a folder, or continues, or reads what is already there.

    Args:
        embedder: What embeds.
        dataset: The faces.
        folder: Belongs to this set of embeddings alone: name it by ``fingerprint``.
        batch_size: Faces per forward pass.
        workers: Decoding threads; 0 takes one per core.
        mirror: Whether to embed the mirrored faces as well.
        progress: For the bar.

    Raises:
        DataError: When a picture cannot be decoded or the embedder returns something else than finite (N, D).
        FacebenchError: When the folder cannot be written, or its disk is full.
    """
    count = len(dataset)
    if not count:
        raise DataError(f"data set {dataset.name!r} holds no faces to embed")
    name = fingerprint(embedder, dataset, mirror=mirror)
    with locked(folder):  # others wait, and then find the work done
        finished = None
        with suppress(DataError):  # what is damaged is made again
            finished = _finished(folder, dataset, name)
        if finished is not None:
            return finished
        rows = _Rows(folder, count, name)
        parts = (np.arange(first, min(first + batch_size, count)) for first in range(rows.done, count, batch_size))
        batches = read_ahead(dataset, parts, size=embedder.preprocess.size, workers=workers)
        with progress.bar(count, f"embedding {dataset.name}", unit="face", start=rows.done) as bar:
            for batch in batches:
                rows.add(_both(embedder, batch.images, mirror=mirror), resized=batch.resized)
                bar.advance(len(batch.images))
        rows.close()
        complete = _finished(folder, dataset, name)
    if complete is None:
        raise DataError(
            f"{folder}: the embeddings vanished while they were being read; is something deleting the cache?"
        )
    return Embedded(complete.embeddings, complete.resized, reused=False)


def _both(embedder: Embedder, images: npt.NDArray[np.uint8], *, mirror: bool) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays of one batch by name."""
    straight = _checked(embedder, embedder.embed(images), len(images))
    found = {"vectors": straight.vectors}
    if straight.confidence is not None:
        found["confidence"] = straight.confidence
    if mirror:
        found["mirrored"] = _checked(embedder, embedder.embed(mirrored_images(images)), len(images)).vectors
    return found


def _checked(
    embedder: Embedder, features: Features[npt.NDArray[np.float32]], count: int
) -> Features[npt.NDArray[np.float32]]:
    wanted = (count, embedder.embedding_size)
    if features.vectors.shape != wanted:
        raise DataError(f"the embedder returned vectors of shape {features.vectors.shape}; expected {wanted}")
    confidence = features.confidence
    if confidence is not None and (confidence.ndim != 2 or len(confidence) != count):
        raise DataError(f"the embedder returned confidences of shape {confidence.shape}; expected ({count}, K)")
    if not all(np.isfinite(array).all() for array in (features.vectors, confidence) if array is not None):
        raise DataError("the embedder returned NaN or infinity; are these the right weights and preprocessing?")
    return features


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


class _Rows:
    """Arrays that grow on disk, with a note of how many rows are safe."""

    def __init__(self, folder: Path, count: int, name: str) -> None:
        self._folder, self._count, self._name = folder, count, name
        self._maps: dict[str, np.memmap[Any, Any]] = {}
        self._noted = time.monotonic()
        self.done, self.resized = 0, 0
        note = _note(folder / _UNDERWAY)
        if note is None or note.name != name or not 0 <= note.done <= count:
            return
        # Opened for reading first: numpy fills up a file that was cut short when it opens it for writing.
        if all(_stored(folder / f"{array}.npy", count) is not None for array in note.arrays):
            self._maps = {array: np.load(folder / f"{array}.npy", mmap_mode="r+") for array in note.arrays}
            self.done, self.resized = note.done, note.resized

    def add(self, arrays: Mapping[str, npt.NDArray[np.float32]], *, resized: int) -> None:
        if not self._maps:
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
        self._write(_COMPLETE)
        # The note of the way here, and what a killed process left while writing one.
        for path in (self._folder / _UNDERWAY, *self._folder.glob(".*.json")):
            path.unlink(missing_ok=True)

    def _write(self, file: str) -> None:
        for array in self._maps.values():
            array.flush()
        note = _Note(self._name, tuple(sorted(self._maps)), self.done, self.resized)
        write_text(self._folder / file, json.dumps(asdict(note)) + "\n")


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


def _finished(folder: Path, dataset: FaceDataset, name: str) -> Embedded | None:
    """What the folder holds, if it is complete.

    Raises:
        DataError: When its arrays hold what is none of an embedding.
    """
    note = _note(folder / _COMPLETE)
    if note is None or note.name != name or note.done != len(dataset):
        return None
    arrays = {array: _stored(folder / f"{array}.npy", len(dataset)) for array in note.arrays}
    vectors = arrays["vectors"]
    if vectors is None or any(array is None for array in arrays.values()):
        return None
    embeddings = Embeddings(
        keys=np.asarray(dataset.keys, dtype=np.str_),
        vectors=vectors,
        mirrored=arrays.get("mirrored"),
        confidence=arrays.get("confidence"),
        fingerprint=name,
    )
    return Embedded(embeddings, note.resized, reused=True)
