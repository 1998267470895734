"""Many faces at once, decoded side by side, all of the size a network wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facebench.errors import DataError
from facebench.images import fit_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    import numpy.typing as npt

    from facebench.contracts import FaceDataset

OnCorrupt = Literal["stop", "skip"]

# Pictures per task: enough to make the hand-over to a thread (tens of microseconds) cheap beside the decoding.
_STRETCH = 16
# Of one task: how many faces had to be resized; row and line of each that could not be read.
_Stretch = tuple[int, list[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Faces in the order asked for.

    Attributes:
        images: uint8 (N, height, width, 3), RGB.
        labels: int64 (N,), -1 when unknown; always those of the faces shown.
        indices: Which face each row shows, int64 (N,): as asked for, except where a picture had to be replaced.
        resized: How many were of another size and went through ``facebench.images.fit_to``. More than none deserves
            a warning: resized pictures were not aligned for this size.
        unreadable: The pictures that were replaced, one line each: key and reason.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    resized: int = 0
    unreadable: tuple[str, ...] = ()


def read_batch(
    dataset: FaceDataset,
    indices: Sequence[int] | npt.NDArray[np.int64],
    *,
    size: tuple[int, int],
    pool: Executor | None = None,
    corrupt: OnCorrupt = "stop",
) -> Batch:
    """Reads faces by index.

    A data set that has ``batch(indices)`` is asked for all of them; one that is made of others has ``pieces(indices)``,
    and each of these is read in its own way; otherwise they are decoded one by one, in the pool's threads (the JPEG
    decoder releases the interpreter lock) or here.

    Args:
        dataset: The faces; read from several threads at once if a pool is given.
        indices: Which, (N,); in any order, repeats allowed.
        size: (height, width) wanted, pixels.
        pool: Threads to decode in. Must not be the pool this call itself runs in.
        corrupt: What to do about a picture that is missing or cannot be decoded. ``stop`` raises; ``skip`` shows the
            next readable face of the same batch in its place, the first following the last, and names the picture in
            ``Batch.unreadable``. The batch keeps its size, and what it holds does not depend on the threads.

    Raises:
        DataError: When a face cannot be read, or is not uint8 RGB; under ``skip`` only when that holds for all.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    try:
        if hasattr(dataset, "pieces"):
            return _pieced(dataset, wanted, size, pool)
        if (together := getattr(dataset, "batch", None)) is not None:
            return _fitted(together(wanted), dataset, wanted, size)
    except (DataError, OSError):
        if corrupt == "stop":
            raise
    out = np.empty((len(wanted), *size, 3), dtype=np.uint8)
    starts = range(0, len(wanted), _STRETCH)

    def read(start: int) -> _Stretch:
        stretch = slice(start, start + _STRETCH)
        return _read_into(out[stretch], dataset, wanted[stretch].tolist(), corrupt)

    stretches = list(map(read, starts) if pool is None else pool.map(read, starts))
    failed = {start + row: line for start, (_, lines) in zip(starts, stretches, strict=True) for row, line in lines}
    shown = wanted if not failed else _replaced(out, dataset, wanted, failed)
    return Batch(
        images=out,
        labels=dataset.labels[shown],
        indices=shown,
        resized=sum(resized for resized, _ in stretches),
        unreadable=tuple(dict.fromkeys(failed.values())),
    )


def _pieced(dataset: Any, indices: npt.NDArray[np.int64], size: tuple[int, int], pool: Executor | None) -> Batch:
    """Faces of a set that is made of others."""
    images = np.empty((len(indices), *size, 3), dtype=np.uint8)
    resized = 0
    for piece in dataset.pieces(indices):
        found = read_batch(piece.faces, piece.rows, size=size, pool=pool)
        images[piece.places] = found.images
        resized += found.resized
    return Batch(images=images, labels=dataset.labels[indices], indices=indices, resized=resized)


def _fitted(
    images: npt.NDArray[np.uint8], dataset: FaceDataset, indices: npt.NDArray[np.int64], size: tuple[int, int]
) -> Batch:
    images = np.asarray(images)
    _check(images, (len(indices),), dataset.name)
    resized = len(images) if images.shape[1:3] != size else 0
    fitted = fit_to(images, size) if resized else images
    return Batch(images=fitted, labels=dataset.labels[indices], indices=indices, resized=resized)


def _read_into(out: npt.NDArray[np.uint8], dataset: FaceDataset, indices: list[int], corrupt: OnCorrupt) -> _Stretch:
    resized = 0
    failed = []
    for row, index in enumerate(indices):
        try:
            resized += _read_one(out[row], dataset, index)
        except DataError as error:
            if corrupt == "stop":
                raise
            failed.append((row, _line(dataset.keys[index], error)))
    return resized, failed


def _read_one(out: npt.NDArray[np.uint8], dataset: FaceDataset, index: int) -> bool:
    """Fills ``out``, (H, W, 3), and says whether the face had to be resized."""
    size = out.shape[:2]
    try:
        image = dataset[index].image
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{dataset.name}: {dataset.keys[index]}: cannot read the picture: {reason}") from error
    _check(image, (), f"{dataset.name}: {dataset.keys[index]}")
    other = image.shape[:2] != size
    out[...] = fit_to(image, (size[0], size[1])) if other else image
    return other


def _line(key: str, error: DataError) -> str:
    reason = " ".join(str(error).split())
    named = any(part == key or part.startswith(f"{key}.") for part in reason.split(": "))
    return reason if named else f"{key}: {reason}"


def _replaced(
    out: npt.NDArray[np.uint8], dataset: FaceDataset, wanted: npt.NDArray[np.int64], failed: dict[int, str]
) -> npt.NDArray[np.int64]:
    """Fills the rows that failed with the next one that did not, and returns which face each row now shows."""
    rows = np.array(list(failed), dtype=np.int64)
    readable = np.setdiff1d(np.arange(len(wanted)), rows)
    if not len(readable):
        first = next(iter(failed.values()))
        raise DataError(f"{dataset.name}: none of {len(wanted)} pictures can be read; the first: {first}")
    sources = readable[np.searchsorted(readable, rows) % len(readable)]
    out[rows] = out[sources]
    shown = wanted.copy()
    shown[rows] = wanted[sources]
    return shown


def _check(images: npt.NDArray[np.uint8], leading: tuple[int, ...], name: str) -> None:
    wanted = len(leading) + 3
    right = images.ndim == wanted and images.shape[:-3] == leading and images.shape[-1] == 3 and images.size > 0
    if images.dtype != np.uint8 or not right:
        shape = ", ".join([*(str(n) for n in leading), "H", "W", "3"])
        raise DataError(f"{name}: expected uint8 pictures ({shape}), found {images.dtype} {images.shape}")
