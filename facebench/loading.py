"""Reading faces ahead of the network, in an order that does not depend on how many threads read."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from facebench.datasets import read_batch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import numpy as np
    import numpy.typing as npt

    from facebench.contracts import FaceDataset
    from facebench.datasets import Batch

# Batches read but not yet taken; one being made and two at hand outlast any hiccup of a disk.
_AHEAD = 3


def read_ahead(
    dataset: FaceDataset, parts: Iterable[npt.NDArray[np.int64]], *, size: tuple[int, int], workers: int
) -> Generator[Batch, None, None]:
    """Yields the batch of each part, in order, while later ones are being read.

    Args:
        dataset: The faces; it is read from several threads at once.
        parts: Indices of each batch.
        size: (height, width) wanted.
        workers: Decoding threads; 0 takes one per core.

    Raises:
        DataError: When a face cannot be read.
    """
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="decode") as decoders,
        ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader,
    ):
        rest = iter(parts)
        ahead = deque(
            reader.submit(read_batch, dataset, part, size=size, pool=decoders) for part in islice(rest, _AHEAD)
        )
        try:
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(
                    reader.submit(read_batch, dataset, part, size=size, pool=decoders) for part in islice(rest, 1)
                )
                yield batch
        finally:
            for future in ahead:
                future.cancel()
