"""Reading faces ahead of the network, in an order that does not depend on how many threads read."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from facebench.datasets import read_batch
from facebench.ranks import neighbours

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import numpy as np
    import numpy.typing as npt

    from facebench.contracts import FaceDataset
    from facebench.datasets import Batch
    from facebench.datasets.reading import OnCorrupt

# Batches read but not yet taken; one being made and two at hand outlast any hiccup of a disk.
_AHEAD = 3


def read_ahead(
    dataset: FaceDataset,
    parts: Iterable[npt.NDArray[np.int64]],
    *,
    size: tuple[int, int],
    workers: int,
    corrupt: OnCorrupt = "stop",
) -> Generator[Batch, None, None]:
    """Yields the batch of each part, in order, while later ones are being read.

    Args:
        dataset: The faces; it is read from several threads at once.
        parts: Indices of each batch.
        size: (height, width) wanted.
        workers: Decoding threads; 0 takes one per core.
        corrupt: Whether to ``stop`` at a picture that cannot be read, or to ``skip`` it; see ``read_batch``.

    Raises:
        DataError: When a face cannot be read; under ``skip``, when none of a batch can.
    """
    threads = workers or max(1, (os.cpu_count() or 1) // neighbours().size)
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="decode") as decoders,
        ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader,
    ):
        read = partial(read_batch, dataset, size=size, pool=decoders, corrupt=corrupt)
        rest = iter(parts)
        ahead = deque(reader.submit(read, part) for part in islice(rest, _AHEAD))
        try:
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(reader.submit(read, part) for part in islice(rest, 1))
                yield batch
        finally:
            for future in ahead:
                future.cancel()
