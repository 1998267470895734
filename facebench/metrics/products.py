"""Exact float32 matrix products, in blocks, on the processor or an accelerator.

Everything that compares many vectors with many others stands on these few lines, and so agrees on what a score is: a
float32 product with none of the shortcuts a training run may have switched on (autocast, TF32, bfloat16 products).
torch is imported when the first product is made, not before.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import torch

    Singles = npt.NDArray[np.float32]

_LARGEST = float(np.finfo(np.float32).max)
_CACHED_BYTES = 32 << 20
_BLOCK_BYTES = 256 << 20
_ROWS = 256  # fewer make a product slow, for its other factor is then packed too often


def as_singles(vectors: npt.ArrayLike, what: str) -> Singles:
    """Returns checked vectors as contiguous float32, shape ``(N, D)``; such arrays are not copied.

    Args:
        vectors: One vector a row, shape ``(N, D)``.
        what: The name that an error message gives them.

    Raises:
        MetricError: If the array is empty, not two-dimensional, not of real numbers, or a row is not finite in float32.
    """
    checked = as_matrix(vectors, what)
    if checked.dtype == np.float64:
        with np.errstate(over="ignore"):
            checked = as_matrix(checked.astype(np.float32), what)
    return np.ascontiguousarray(checked, dtype=np.float32)


def as_sides(first: npt.ArrayLike, second: npt.ArrayLike, names: tuple[str, str]) -> tuple[Singles, Singles]:
    """Checks two sets of vectors that are to be multiplied.

    Args:
        first: Shape ``(N, D)``.
        second: Shape ``(M, D)``.
        names: What to call them in an error message.

    Raises:
        MetricError: If either is not as :func:`as_singles` wants it, the dimensions differ, or a product of two rows
            could overflow, which would make scores that cannot be ordered.
    """
    left, right = as_singles(first, names[0]), as_singles(second, names[1])
    if left.shape[1] != right.shape[1]:
        raise MetricError(
            f"{names[0]} and {names[1]} must have one dimension; found {left.shape[1]} and {right.shape[1]}; embed "
            "both with one model"
        )
    if _reach(left) * _reach(right) * left.shape[1] > _LARGEST:
        raise MetricError(
            f"products of {names[0]} and {names[1]} would overflow; found members up to {_reach(left):.3g} and "
            f"{_reach(right):.3g}; scale the vectors to unit length"
        )
    return left, right


@contextmanager
def exact_products() -> Iterator[None]:
    """Makes torch's float32 products exact for the time being, and leaves no trace for autograd."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def placed(vectors: Singles, device: str) -> torch.Tensor:
    """Returns the vectors as a tensor on a device; on the processor they share their memory.

    Raises:
        MetricError: If torch knows no such device or cannot use it here.
    """
    import torch

    if not vectors.flags.writeable:
        # torch warns of read-only memory, which a memory-mapped file is; nothing here writes to it.
        vectors = vectors.copy()
    try:
        return torch.from_numpy(vectors).to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise MetricError(f"device {device!r} cannot be used for products: {reason}; 'cpu' always can") from error


def score_blocks(probes: Singles, gallery: Singles, device: str) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yields runs of probes with their scores against the whole gallery, shape ``(rows, G)``, in one reused block.

    The block has at most 32 MiB, or 256 rows as far as 256 MiB hold them; a single row may have more. Consume it within
    :func:`exact_products`.

    Args:
        probes: Checked by :func:`as_sides`, shape ``(P, D)``.
        gallery: Likewise, shape ``(G, D)``.
        device: Where to multiply, in torch's words.

    Raises:
        MetricError: If the device cannot be used.
    """
    import torch

    queries, entries = placed(probes, device), placed(gallery, device)
    few = min(_ROWS, rows_within(_BLOCK_BYTES, len(gallery)))
    height = min(len(probes), max(few, rows_within(_CACHED_BYTES, len(gallery))))
    block = torch.empty((height, len(gallery)), device=queries.device)
    for start in range(0, len(probes), height):
        rows = slice(start, min(start + height, len(probes)))
        yield rows, multiplied(queries[rows], entries, block[: rows.stop - start])


def multiplied(rows: torch.Tensor, columns: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Returns ``out`` filled with the dot products of all rows, shape ``(N, D)``, with all columns, ``(M, D)``.

    On the processor NumPy multiplies, in the same memory: its BLAS was a third faster than torch's where both were
    measured, and knows no reduced precision.
    """
    import torch

    if out.device.type == "cpu":
        np.matmul(rows.numpy(), columns.numpy().T, out=out.numpy())
        return out
    return torch.mm(rows, columns.T, out=out)


def rows_within(budget: int, columns: int) -> int:
    """How many rows of float32 scores against ``columns`` others fit into a budget of bytes; at least one."""
    return max(1, budget // (4 * max(1, columns)))


def _reach(vectors: Singles) -> float:
    """The largest absolute member."""
    return max(float(vectors.max()), -float(vectors.min()))
