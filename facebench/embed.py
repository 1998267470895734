"""The one step that needs a network: faces in, embeddings out, once per data set.

Embeddings are written to memory-mapped arrays as they are made, so memory does not grow with the data set (one batch in
flight, one being embedded, and what the system keeps of the map), and a note of how far the work is done follows each
stretch of rows. A killed run continues after the last note and, since batches are cut at the same places, ends with the
same bytes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.contracts import fingerprint_of
from facebench.embeddings import Embeddings
from facebench.errors import DataError
from facebench.images import mirror as mirrored_images
from facebench.loading import read_ahead
from facebench.store import write_text

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import Embedder, FaceDataset, Features, Progress

# Rows are made durable at least this often; a killed run loses no more.
NOTE_SECONDS = 2.0
_COMPLETE = "embeddings.json"
_UNDERWAY = "underway.json"


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
    """The name of a set of embeddings: weights x preprocessing x data x whether mirrors were embedded."""
    parts = [embedder.fingerprint, embedder.preprocess.fingerprint, dataset.fingerprint, mirror]
    return fingerprint_of(parts)


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
    """
    if not len(dataset):
        raise DataError(f"data set {dataset.name!r} holds no faces to embed")
    name = fingerprint(embedder, dataset, mirror=mirror)
    finished = _finished(folder, dataset, name)
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    rows = _Rows(folder, len(dataset), name)
    parts = (
        np.arange(first, min(first + batch_size, len(dataset))) for first in range(rows.done, len(dataset), batch_size)
    )
    batches = read_ahead(dataset, parts, size=embedder.preprocess.size, workers=workers)
    with progress.bar(len(dataset), f"embedding {dataset.name}", unit="face", start=rows.done) as bar:
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
    if not np.isfinite(features.vectors).all():
        raise DataError("the embedder returned NaN or infinity; are these the right weights and preprocessing?")
    return features


class _Rows:
    """Arrays that grow on disk, with a note of how many rows are safe."""

    def __init__(self, folder: Path, count: int, name: str) -> None:
        self._folder, self._count, self._name = folder, count, name
        self._maps: dict[str, np.memmap[Any, Any]] = {}
        self._noted = time.monotonic()
        self.done, self.resized = 0, 0
        note = _note(folder / _UNDERWAY)
        if note.get("name") != name:
            return
        try:
            opened = {n: np.lib.format.open_memmap(folder / f"{n}.npy", mode="r+") for n in note["arrays"]}
        except (OSError, ValueError):
            return  # without the rows the note is worth nothing: begin again
        if all(len(array) == count for array in opened.values()):
            self._maps, self.done, self.resized = opened, int(note["done"]), int(note["resized"])

    def add(self, arrays: dict[str, npt.NDArray[np.float32]], *, resized: int) -> None:
        if not self._maps:
            for name, array in arrays.items():
                shape = (self._count, *array.shape[1:])
                path = self._folder / f"{name}.npy"
                self._maps[name] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        stop = self.done + len(arrays["vectors"])
        for name, array in arrays.items():
            self._maps[name][self.done : stop] = array
        self.done, self.resized = stop, self.resized + resized
        if time.monotonic() - self._noted > NOTE_SECONDS:
            self._write(_UNDERWAY)
            self._noted = time.monotonic()

    def close(self) -> None:
        self._write(_COMPLETE)
        (self._folder / _UNDERWAY).unlink(missing_ok=True)

    def _write(self, file: str) -> None:
        for array in self._maps.values():
            array.flush()
        note = {"name": self._name, "arrays": sorted(self._maps), "done": self.done, "resized": self.resized}
        write_text(self._folder / file, json.dumps(note) + "\n")


def _note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _finished(folder: Path, dataset: FaceDataset, name: str) -> Embedded | None:
    """What the folder holds, if it is complete and undamaged."""
    note = _note(folder / _COMPLETE)
    if note.get("name") != name or note.get("done") != len(dataset):
        return None
    try:
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in note["arrays"]}
    except (OSError, ValueError):
        return None
    if any(len(array) != len(dataset) for array in arrays.values()) or "vectors" not in arrays:
        return None
    embeddings = Embeddings(
        keys=np.asarray(dataset.keys, dtype=np.str_),
        vectors=arrays["vectors"],
        mirrored=arrays.get("mirrored"),
        confidence=arrays.get("confidence"),
        fingerprint=name,
    )
    return Embedded(embeddings, int(note["resized"]), reused=True)
