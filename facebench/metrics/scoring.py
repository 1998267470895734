"""Scores of listed pairs, without a loop over pairs.

A verification list such as IJB-C's names 15.7 million pairs of 23,124 templates: each vector takes part in hundreds of
them. So the vectors that occur on the first side are multiplied with those that occur on the second, block by block,
and the listed scores are picked out. Where a list is so thin that this would compute far more than it asks for, its
vectors are gathered and multiplied pair by pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.products import as_sides, exact_products, multiplied, placed, rows_within

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from facebench.metrics.products import Singles

    Ints = npt.NDArray[np.int64]

_PRODUCT_BYTES = 384 << 20
_GATHER_PAIRS = 1 << 19
# A gathered pair costs about as much as this many cells of a blocked product.
_THIN = 64


def score_pairs(
    vectors: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, *, device: str = "cpu"
) -> npt.NDArray[np.float32]:
    """Returns the dot product of each listed pair: the cosine similarity where the vectors have unit length.

    Every score is within float32 rounding (about 1e-7 for unit vectors) of the row-wise product. Pairs that name the
    same two rows, in either order, get the same score, bit for bit: a tie stays a tie.

    Memory beyond input and result: at most 384 MiB for a block of the product (277 MB for IJB-C), the vectors that take
    part once more, 32 MiB, and 40 bytes a pair where the two sides share vectors.

    Args:
        vectors: One vector a row, shape ``(T, D)``.
        first: Row of the first vector of each pair, integers of shape ``(P,)``.
        second: Row of the second vector of each pair, integers of shape ``(P,)``.
        device: Where to multiply, in torch's words (``"cpu"``, ``"cuda"``, ``"cuda:1"``).

    Raises:
        MetricError: If vectors are not finite, rows are not integers within range, the two lists differ in length or
            are empty, or the device cannot be used.
    """
    checked, _ = as_sides(vectors, vectors, ("vectors", "vectors"))
    left, right = _as_rows(first, len(checked), "first"), _as_rows(second, len(checked), "second")
    if left.shape != right.shape:
        raise MetricError(f"pairs need two rows each; found {left.size} first and {right.size} second rows")
    left, right = _turned(left, right, len(checked))
    rows, row_of = _occurring(left, len(checked))
    columns, column_of = _occurring(right, len(checked))
    scores = np.empty(left.size, dtype=np.float32)
    with exact_products():
        if rows.size * columns.size > _THIN * left.size:
            _score_by_pair(checked, left, right, device, scores)
        else:
            factors = placed(checked[rows], device), placed(checked[columns], device)
            _score_by_block(factors, (row_of, left), (column_of, right), scores)
    return scores


def _score_by_block(
    factors: tuple[torch.Tensor, torch.Tensor], first: tuple[Ints, Ints], second: tuple[Ints, Ints], scores: Singles
) -> None:
    """Multiplies blocks of distinct first vectors with all distinct second ones and picks the listed scores.

    Args:
        factors: The distinct vectors of both sides.
        first: For each vector of all, its place among the first ones; and the vector that each pair names first.
        second: Likewise for the second side.
        scores: Receives the score of each pair.
    """
    import torch

    rows, columns = factors
    cell_of, left = first[0] * len(columns), first[1]
    column_of, right = second
    height = rows_within(_PRODUCT_BYTES, len(columns))
    block = torch.empty((min(height, len(rows)), len(columns)), device=rows.device)
    for top in range(0, len(rows), height):
        cells = multiplied(rows[top : top + height], columns, block[: len(rows) - top]).view(-1)
        for start in range(0, left.size, _GATHER_PAIRS):
            part = slice(start, start + _GATHER_PAIRS)
            at = cell_of[left[part]]
            at += column_of[right[part]]
            if len(rows) <= height:
                _take(cells, at, scores[part])
                continue
            at -= top * len(columns)
            here = np.flatnonzero((at >= 0) & (at < len(cells)))
            found = np.empty(here.size, dtype=np.float32)
            _take(cells, at[here], found)
            scores[start + here] = found


def _take(cells: torch.Tensor, places: Ints, out: Singles) -> None:
    """Copies the cells at some places; on the processor NumPy does it in less than half of torch's time."""
    import torch

    if cells.device.type == "cpu":
        np.take(cells.numpy(), places, out=out, mode="clip")  # clipping nothing, but the other mode makes a copy
    else:
        out[:] = cells[torch.from_numpy(places).to(cells.device)].cpu().numpy()


def _score_by_pair(vectors: Singles, left: Ints, right: Ints, device: str, scores: Singles) -> None:
    """Gathers the two vectors of each pair and multiplies them row by row."""
    import torch

    table = placed(vectors, device)
    step = max(1, (8 << 20) // (4 * vectors.shape[1]))
    for start in range(0, left.size, step):
        part = slice(start, start + step)
        one = table[torch.from_numpy(left[part]).to(table.device)]
        other = table[torch.from_numpy(right[part]).to(table.device)]
        scores[part] = torch.linalg.vecdot(one, other).cpu().numpy()


def _turned(left: Ints, right: Ints, count: int) -> tuple[Ints, Ints]:
    """Names the lower row first in pairs that could occur in both orders; where the sides are disjoint, in none."""
    both = np.zeros(count, dtype=np.bool_)
    both[left] = True
    on_right = np.zeros(count, dtype=np.bool_)
    on_right[right] = True
    both &= on_right
    if not both.any():
        return left, right
    turn = both[left] & both[right] & (left > right)
    return np.where(turn, right, left), np.where(turn, left, right)


def _occurring(rows: Ints, count: int) -> tuple[Ints, Ints]:
    """The distinct rows that occur, and for each row of all its place among them."""
    present = np.zeros(count, dtype=np.bool_)
    present[rows] = True
    return np.flatnonzero(present), np.cumsum(present) - 1


def _as_rows(values: npt.ArrayLike, count: int, what: str) -> Ints:
    """Checks row numbers."""
    rows = np.asarray(values)
    if rows.ndim != 1 or not rows.size or rows.dtype.kind not in "iu":
        raise MetricError(f"{what} rows must be a list of integers; found {rows.dtype} of shape {rows.shape}")
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= count:
        raise MetricError(
            f"{what} rows must lie between 0 and {count - 1}; found {low if low < 0 else high}; look template ids up "
            "with numpy.searchsorted on the pooled ids"
        )
    return rows.astype(np.int64, copy=False)
