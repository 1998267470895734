"""Many faces at once, decoded side by side, all of the size a network wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import DataError
from facebench.images import fit_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    import numpy.typing as npt

    from facebench.contracts import FaceDataset

# Pictures per task: enough to make the hand-over to a thread (tens of microseconds) cheap beside the decoding.
_STRETCH = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Faces in the order asked for.

    Attributes:
        images: uint8 (N, height, width, 3), RGB.
        labels: int64 (N,), -1 when unknown.
        resized: How many were of another size and went through ``facebench.images.fit_to``. More than none deserves
            a warning: resized pictures were not aligned for this size.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    resized: int


def read_batch(
    dataset: FaceDataset,
    indices: Sequence[int] | npt.NDArray[np.int64],
    *,
    size: tuple[int, int],
    pool: Executor | None = None,
) -> Batch:
    """Reads faces by index.

    A data set that has ``batch(indices)`` is asked for all of them; otherwise they are decoded one by one, in the
    pool's threads (the JPEG decoder releases the interpreter lock) or here.

    Args:
        dataset: The faces; read from several threads at once if a pool is given.
        indices: Which, (N,); in any order, repeats allowed.
        size: (height, width) wanted, pixels.
        pool: Threads to decode in. Must not be the pool this call itself runs in.

    Raises:
        DataError: When a face cannot be read, or is not uint8 RGB.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    labels = dataset.labels[wanted]
    together = getattr(dataset, "batch", None)
    if together is not None:
        images = np.asarray(together(wanted))
        _check(images, (len(wanted),), dataset.name)
        resized = len(images) if images.shape[1:3] != size else 0
        return Batch(fit_to(images, size) if resized else images, labels, resized)
    out = np.empty((len(wanted), *size, 3), dtype=np.uint8)
    starts = range(0, len(wanted), _STRETCH)

    def read(start: int) -> int:
        stretch = slice(start, start + _STRETCH)
        return _read_into(out[stretch], dataset, wanted[stretch].tolist())

    counts = map(read, starts) if pool is None else pool.map(read, starts)
    return Batch(out, labels, sum(counts))


def _read_into(out: npt.NDArray[np.uint8], dataset: FaceDataset, indices: list[int]) -> int:
    """Fills ``out`` and says how many faces had to be resized."""
    size = out.shape[1:3]
    resized = 0
    for row, index in enumerate(indices):
        image = dataset[index].image
        if image.shape[:2] != size:
            _check(image, (), f"{dataset.name}: {dataset.keys[index]}")
            image = fit_to(image, (size[0], size[1]))
            resized += 1
        _check(image, (), f"{dataset.name}: {dataset.keys[index]}")
        out[row] = image
    return resized


def _check(images: npt.NDArray[np.uint8], leading: tuple[int, ...], name: str) -> None:
    wanted = len(leading) + 3
    right = images.ndim == wanted and images.shape[:-3] == leading and images.shape[-1] == 3 and images.size > 0
    if images.dtype != np.uint8 or not right:
        shape = ", ".join([*(str(n) for n in leading), "H", "W", "3"])
        raise DataError(f"{name}: expected uint8 pictures ({shape}), found {images.dtype} {images.shape}")
