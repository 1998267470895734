"""Blocks of exact scores, at the speed of a float32 product or, where there are units for it, a bfloat16 one.

Of such a product it is known how far it can be from the scores that :mod:`facebench.metrics.cosines` defines. Who
counts pairs above a threshold or looks for the highest asks for little: most pairs are far below. So a block is sifted
by its product, and whatever that leaves open, and only that, is scored exactly.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facebench.metrics.products import multiplied

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import torch

    from facebench.metrics.cosines import Side
    from facebench.metrics.products import Singles

    Ints = npt.NDArray[np.int64]
    # A block of scores, or what was taken of it: of NumPy on the processor, of torch on a device.
    Values = Any
    # Of pairs: row and column in the block, score to within an error, and whether that leaves something open.
    Sifted = tuple[Ints, Ints, Singles, npt.NDArray[np.bool_]]

T = TypeVar("T")

# Rows and columns of a block: 7 MiB, what a cache holds, and 64, what fills an accelerator. No power of two on the
# processor, with which the rows of a block would compete for the same places in the cache.
_SIDE = {"cpu": 1344, "other": 4096}
_MANY_THREADS = 4
_SMALL = 1 << 17  # fewer scores than this are not worth a second thread
_PAIR_BYTES = 1 << 20  # of vectors whose pairs are scored exactly at a time, each side; on a device, more
_STRIP = 1 << 20  # scores of a block that are sifted at a time; on a device, more
_DEVICE_FACTOR = 16
# With more open pairs than one in so many, a block is rather multiplied again more precisely than looked at one by one.
_FEW = 64
_LONGEST = 1 << 20  # dimensions up to which the bounds of rounding are of any use


def side_on(device: str) -> int:
    """How many rows and columns a block should have on a device."""
    return _SIDE["cpu" if device == "cpu" else "other"]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of a block, by their rows and then by their columns.

    Attributes:
        first: Row of each in the first side, shape ``(K,)``.
        second: Row of each in the second side, shape ``(K,)``.
        scores: Shape ``(K,)``, float32. Comparing them with a threshold asked for, or taking the highest of a row or a
            column that was asked for, has the same outcome as with exact scores; and the highest are exact.
    """

    first: Ints
    second: Ints
    scores: Singles


class Tiles:
    """Scores between two sides, one block at a time, as far as they matter; to be used within ``exact_products``.

    Bounds of rounding, for directions a and b of D dimensions, whose length is below ``1 + 2**-16``:

    * float32: the sum of D products in any order, fused or not, is within ``g |a| |b|`` of the true one, with
      ``g = D u / (1 - D u)`` and ``u = 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1): 3.1e-5
      for 512 dimensions.
    * bfloat16: with ``a' = a + x`` and ``b' = b + y`` for the rounded ones, ``a' b' - a b = x b + a' y``, which is at
      most ``|x| |b| + |a'| |y|``. A member has 8 significant bits and loses at most ``2**-8`` of itself, so ``|x|`` is
      at most that; what it truly is, about half, is measured once for each side. The sum is made in float32; units of
      accelerators cut off where they should round, so four times ``u`` is allowed. The processor's product comes back
      as bfloat16: half a unit in its last place is at most ``2**-9`` below 1, and what is above 1 is brought back to 1.
    * The score is itself rounded to float32, by ``2**-24`` at most, and so are the limits that are made of it.
    """

    def __init__(self, first: Side, second: Side, thresholds: Singles, *, side: int) -> None:
        """Multiplies nothing yet.

        Args:
            first: Whose directions are the rows of blocks.
            second: Whose directions are their columns.
            thresholds: Pairs above the lowest of them are wanted, and which side of each they are on, shape ``(T,)``.
            side: Rows and columns of a block, at most.
        """
        import torch

        self._first, self._second, self._thresholds = first, second, thresholds
        self._lowest = float(thresholds.min()) if thresholds.size else np.inf
        dimension = first.single.shape[1]
        steps = ["single"] if first.half is None or second.half is None else ["bfloat16", "single"]
        self._steps = [*(steps if dimension <= _LONGEST else []), "double"]
        self._device = first.single.device
        height, width = min(side, len(first.single)), min(side, len(second.single))
        self._block = torch.empty(height * width, device=self._device)
        self._here = self._device.type == "cpu"
        # NumPy sifts with one thread. More of them are worth it only where there are many, for those that have just
        # multiplied stay awake for a while.
        threads = torch.get_num_threads() if self._here else 1
        self._threads = threads if threads >= _MANY_THREADS else 1
        self._pool = ThreadPoolExecutor(self._threads)

    def pairs(
        self,
        rows: slice,
        columns: slice,
        *,
        row_floors: Singles | None = None,
        column_floors: Singles | None = None,
        triangle: bool = False,
    ) -> Pairs:
        """Returns the pairs of a block that are above the lowest threshold, and those that are highest in their line.

        Args:
            rows: Of the first side.
            columns: Of the second side.
            row_floors: A row's highest pairs are wanted where their score may exceed this, shape of the rows; None
                where no row is asked for.
            column_floors: Likewise for columns.
            triangle: Whether only pairs are meant whose column in the block comes after their row in it.
        """
        floors = (row_floors, column_floors)
        unknown = any(some is not None and np.isneginf(some).any() for some in floors)
        for step in self._steps:
            scores, error = self._product(rows, columns, step)
            if triangle:
                _blank_lower(scores)
            allowed = scores.shape[0] * scores.shape[1] // _FEW if error else np.inf
            first, second, values, open_ = self._sifted(scores, error, floors, tight=unknown)
            if not unknown and np.count_nonzero(open_) > allowed:
                first, second, values, open_ = self._sifted(scores, error, floors, tight=True)
            if np.count_nonzero(open_) <= allowed:
                break
        first += rows.start
        second += columns.start
        if error and open_.any():
            values[open_] = self._exact(first[open_], second[open_])
        return Pairs(first, second, values)

    def _product(self, rows: slice, columns: slice, step: str) -> tuple[Values, float]:
        """All scores of a block to within an error."""
        import torch

        left, right = self._first.single[rows], self._second.single[columns]
        block = self._block[: len(left) * len(right)].view(len(left), len(right))
        dimension = left.shape[1]
        slack = 2.0**-22 + 2.0**-24
        if step == "double":
            if self._here:
                block.numpy()[...] = left.numpy().astype(np.float64) @ right.numpy().astype(np.float64).T
            else:
                block.copy_(torch.mm(left.double(), right.double().T))
            error = 0.0
        elif step == "single":
            multiplied(left, right, block)
            error = 1.001 * _growth(dimension, 2.0**-24) + slack
        else:
            error = self._screened(rows, columns, block) + slack
        return (block.numpy() if self._here else block), error

    def _screened(self, rows: slice, columns: slice, block: torch.Tensor) -> float:
        """Fills a block with the bfloat16 product, and returns how far it can be off."""
        import torch

        first, second = self._first, self._second
        if first.half is None or second.half is None:
            raise AssertionError("no side was rounded")
        left, right = first.half[rows], second.half[columns].T
        if self._here:
            block.copy_(torch.mm(left, right)).clamp_(-1, 1)
        else:
            block.copy_(torch.mm(left, right, out_dtype=torch.float32))
        rounding = first.lost + second.lost + first.lost * second.lost
        return 1.02 * (rounding + _growth(left.shape[1], 2.0**-22)) + (2.0**-9 if self._here else 0.0)

    def _sifted(
        self, scores: Values, error: float, floors: tuple[Singles | None, Singles | None], *, tight: bool
    ) -> Sifted:
        """The pairs that may matter, by the floors of rows and of columns; ``tight`` looks for the highest of each too.

        Where some blocks have passed, floors alone let few pairs pass, and the block is read once instead of thrice.
        """
        limits = [
            _limits(some, error, _peaks(scores, 1 - axis) if tight and some is not None else None, scores.shape[axis])
            for axis, some in enumerate(floors)
        ]
        level = self._lowest - error
        low = min(level, *(float(some.min()) for some in limits))
        of_rows, of_columns = (some if self._here else _sent(some, self._device) for some in limits)
        starts, height = self._strips(scores)
        parts = self._each(
            lambda start: _sift(scores[start : start + height], start, low, (of_rows, of_columns), level), starts
        )
        first, second, values, open_ = (np.concatenate([part[member] for part in parts]) for member in range(4))
        for threshold in self._thresholds:
            open_ |= np.abs(values - threshold) <= error
        return first, second, values, open_

    def _strips(self, scores: Values) -> tuple[range, int]:
        """Where runs of rows begin and how long they are, so that each thread has some and what is sifted is small."""
        height, width = scores.shape
        rows = max(1, (_STRIP if self._here else _STRIP * _DEVICE_FACTOR) // width)
        if self._threads > 1 and height * width > _SMALL:
            rows = min(rows, -(-height // self._threads))
        return range(0, height, rows), rows

    def _each(self, work: Callable[[int], T], starts: range) -> list[T]:
        """What comes of each piece of work, in order."""
        return list(self._pool.map(work, starts) if self._threads > 1 and len(starts) > 1 else map(work, starts))

    def _exact(self, first: Ints, second: Ints) -> Singles:
        """The scores of chosen pairs."""
        import torch

        left, right = self._first.single, self._second.single
        budget = _PAIR_BYTES if self._here else _PAIR_BYTES * _DEVICE_FACTOR
        step = max(1, budget // (4 * left.shape[1]))

        def some(start: int) -> Singles:
            i, j = first[start : start + step], second[start : start + step]
            if self._here:
                rows = left.numpy().take(i, axis=0), right.numpy().take(j, axis=0)
                whole: npt.NDArray[Any] = np.einsum("nd,nd->n", *rows, dtype=np.float64)
                return whole.astype(np.float32)
            at, to = (torch.from_numpy(side).to(self._device) for side in (i, j))
            found: Singles = (left[at].double() * right[to].double()).sum(dim=1).float().cpu().numpy()
            return found

        return np.concatenate(self._each(some, range(0, len(first), step)))


def _growth(terms: int, unit: float) -> float:
    """How much rounding can make of a sum of products, as a share of the sum of their sizes."""
    return terms * unit / (1 - terms * unit)


def _limits(floors: Singles | None, error: float, peaks: Singles | None, count: int) -> Singles:
    """From where on a score may be the highest of its line, of ``count``, and above its floor; infinite for nowhere."""
    if floors is None:
        return np.full(count, np.inf, dtype=np.float32)
    limits: Singles = np.nextafter(floors - error, np.float32(np.inf))
    if peaks is None:
        return limits
    limits[:] = np.where(peaks >= limits, np.maximum(peaks - 2 * error, limits), np.inf)
    return limits


def _sent(values: Singles, device: torch.device) -> Values:
    """A line of numbers on a device."""
    import torch

    return torch.from_numpy(values).to(device)


def _blank_lower(scores: Values) -> None:
    """Overwrites pairs whose column does not come after their row by -inf."""
    if isinstance(scores, np.ndarray):
        scores[np.tri(*scores.shape, dtype=np.bool_)] = -np.inf
    else:
        scores.masked_fill_((scores == scores).tril_(), -np.inf)


def _peaks(scores: Values, axis: int) -> Singles:
    """The highest score of each column (axis 0) or row (axis 1)."""
    found: Singles = scores.max(axis=axis) if isinstance(scores, np.ndarray) else scores.amax(dim=axis).cpu().numpy()
    return found


def _sift(part: Values, start: int, low: float, limits: tuple[Values, Values], level: float) -> Sifted:
    """What a run of rows, the first of which is ``start``, holds above the limits of its rows, its columns, or a level.

    One comparison with the lowest of all of these leaves few pairs, and only those are compared with their own.
    """
    flat = part.reshape(-1)
    places = np.flatnonzero(flat >= low) if isinstance(part, np.ndarray) else (flat >= low).nonzero().view(-1)
    values = flat[places]
    first, second = places // part.shape[1] + start, places % part.shape[1]
    peaks = (values >= limits[0][first]) | (values >= limits[1][second])
    kept = peaks | (values > level)
    found: Any = tuple(one[kept] for one in (first, second, values, peaks))
    return found if isinstance(part, np.ndarray) else tuple(one.cpu().numpy() for one in found)
