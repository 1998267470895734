"""The one step that needs a network: faces in, embeddings out, once per data set.

Embeddings are written to memory-mapped arrays as they are made, so memory does not grow with the data set (one batch in
flight, one being embedded, and what the system keeps of the map), and a note of how far the work is done follows each
stretch of rows. A killed run continues after the last note and, since batches are cut at the same places, ends with the
same bytes.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facebench import __version__
from facebench.contracts import fingerprint_of
from facebench.embeddings import Embeddings
from facebench.errors import DataError
from facebench.images import mirror as mirrored_images
from facebench.loading import read_ahead
from facebench.progress import Bars
from facebench.ranks import told, wait, world
from facebench.rows import Rows, kept
from facebench.store import locked

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import Embedder, FaceDataset, Features, Progress
    from facebench.ranks import World
    from facebench.rows import Kept

_SHARED = "on several machines the cache (--cache) must lie on a file system that all of them share"


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

    Processes that have joined share the work, and all of them must call this: each embeds its own stretch of batches
    into a folder inside the folder, with a note of its own, and the first one puts the stretches together. The disk
    holds the embeddings twice for that moment. Processes on several machines need a file system that they share. What
    a killed run left is continued by as many processes as that run had; another number begins again.

    Args:
        embedder: What embeds; each process has its own, of the same weights.
        dataset: The faces.
        folder: Belongs to this set of embeddings alone: name it by ``fingerprint``.
        batch_size: Faces per forward pass.
        workers: Decoding threads of each process; 0 takes one per core.
        mirror: Whether to embed the mirrored faces as well.
        progress: For the bar; among several processes the first one shows how far its own stretch is.

    Raises:
        DataError: When a picture cannot be decoded, the embedder returns something else than finite (N, D), or one
            process does not find what another one wrote. The other processes then wait to be ended by their launcher.
        FacebenchError: When the folder cannot be written, or its disk is full.
    """
    count = len(dataset)
    if not count:
        raise DataError(f"data set {dataset.name!r} holds no faces to embed")
    here = world()
    work = _Work(embedder, dataset, fingerprint(embedder, dataset, mirror=mirror), batch_size, workers, mirror)
    complete = None
    with locked(folder) if here.first else nullcontext():  # other runs wait, and then find the work done
        if here.first:
            with suppress(DataError):  # what is damaged is made again
                complete = _finished(folder, dataset, work.name)
        reused = _agreed(work, here, complete is not None)
        if not reused:
            _make(work, folder, here, progress)
        if here.first:
            _sweep(folder)
            complete = complete or _finished(folder, dataset, work.name)
    wait()
    complete = complete or _finished(folder, dataset, work.name)
    if complete is None:
        raise DataError(
            f"{folder}: the embeddings vanished while they were being read; is something deleting the cache?"
            if here.first
            else f"{folder}: process {here.rank} does not see what the first process wrote; {_SHARED}"
        )
    return Embedded(complete.embeddings, complete.resized, reused=reused)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is embedded, and how.

    Attributes:
        embedder: What embeds.
        dataset: The faces.
        name: The fingerprint of it all.
        batch_size: Faces per forward pass.
        workers: Decoding threads.
        mirror: Whether to embed the mirrored faces as well.
    """

    embedder: Embedder
    dataset: FaceDataset
    name: str
    batch_size: int
    workers: int
    mirror: bool

    def fill(self, folder: Path, stretch: range, progress: Progress, what: str) -> None:
        """Embeds a stretch of the faces into a folder, from where it was left."""
        rows = Rows(folder, len(stretch), self.name)
        starts = stretch[rows.done :: self.batch_size]
        parts = (np.arange(start, min(start + self.batch_size, stretch.stop)) for start in starts)
        batches = read_ahead(self.dataset, parts, size=self.embedder.preprocess.size, workers=self.workers)
        with progress.bar(len(stretch), what, unit="face", start=rows.done) as bar:
            for batch in batches:
                rows.add(_both(self.embedder, batch.images, mirror=self.mirror), resized=batch.resized)
                bar.advance(len(batch.images))
        rows.close()


def _stretches(count: int, batch_size: int, size: int) -> list[range]:
    """The rows of each process: whole batches, cut where one process cuts them; some get none when there are few."""
    batches = -(-count // batch_size)
    cuts = [min(-(-batches * rank // size) * batch_size, count) for rank in range(size + 1)]
    return [range(start, stop) for start, stop in pairwise(cuts)]


def _agreed(work: _Work, here: World, done: bool) -> bool:
    """Whether the first process finds the work done, once it is clear that all processes mean the same work."""
    done, name = told((done, work.name))
    if name != work.name:
        raise DataError(
            f"process {here.rank} has other weights, or other pictures of {work.dataset.name}, than the first process; "
            "do all of them read the same files?"
        )
    return done


def _make(work: _Work, folder: Path, here: World, progress: Progress) -> None:
    """Embeds the stretch of this process; the first one then puts all of them together."""
    what = f"embedding {work.dataset.name}"
    if here.size == 1:
        work.fill(folder, range(len(work.dataset)), progress, what)
        return
    stretches = _stretches(len(work.dataset), work.batch_size, here.size)
    own = stretches[here.rank]
    if own:
        place = folder / _part(own)
        with locked(place):  # against what is left of a run whose other processes were killed
            if not _sound(kept(place, len(own), work.name)):
                shown = progress if here.first else Bars(quiet=True)
                work.fill(place, own, shown, f"{what}, part {here.rank + 1} of {here.size}")
    wait()
    if here.first:
        _join(folder, [stretch for stretch in stretches if stretch], work.name)


def _part(stretch: range) -> str:
    return f"part-{stretch.start}-{stretch.stop}"


def _sound(part: Kept | None) -> bool:
    """Whether a part is there and holds numbers; a damaged one must not be put beside the good ones."""
    return part is not None and all(np.isfinite(rows).all() for rows in part.arrays.values())


def _join(folder: Path, stretches: list[range], name: str) -> None:
    """Copies the parts into one set, from map to map: what that takes of memory, the system can take back."""
    rows = Rows(folder, stretches[-1].stop, name, fresh=True)
    for stretch in stretches:
        part = kept(folder / _part(stretch), len(stretch), name)
        if part is None:
            raise DataError(f"{folder / _part(stretch)}: the first process does not see what another wrote; {_SHARED}")
        try:
            rows.add(part.arrays, resized=part.resized)
        except DataError:
            _sweep(folder)  # parts that do not fit together would not fit next time
            raise
    rows.close()


def _sweep(folder: Path) -> None:
    """Removes parts that are put together by now, or that no run will ask for."""
    for part in folder.glob("part-*"):
        shutil.rmtree(part, ignore_errors=True)


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


def _finished(folder: Path, dataset: FaceDataset, name: str) -> Embedded | None:
    """What the folder holds, if it is complete.

    Raises:
        DataError: When its arrays hold what is none of an embedding.
    """
    found = kept(folder, len(dataset), name)
    if found is None:
        return None
    embeddings = Embeddings(
        keys=np.asarray(dataset.keys, dtype=np.str_),
        vectors=found.arrays["vectors"],
        mirrored=found.arrays.get("mirrored"),
        confidence=found.arrays.get("confidence"),
        fingerprint=name,
        folder=folder,
    )
    return Embedded(embeddings, found.resized, reused=True)
