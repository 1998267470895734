"""One pass over all pairs of a set of vectors, which leaves behind what every count of separated identities is made of.

Blocks are taken column by column, so that everything about the earlier vectors is known when a vector's turn comes: by
then it is settled which of them a greedy walk has accepted. After any column the pass can be laid aside and taken up
again; it can be shared by several processes; and as scores are exact (:mod:`facebench.metrics.cosines`), neither that
nor the size of blocks changes any of its results.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facebench.metrics.cosines import Side
from facebench.metrics.tiles import Pairs, Tiles, side_on
from facebench.ranks import told, world

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from facebench.metrics.products import Singles
    from facebench.metrics.tiles import Ints

    Flags = npt.NDArray[np.bool_]
    Arrays = Mapping[str, npt.NDArray[Any]]

_PAUSE = 30.0  # seconds between two states that are kept, at least


class Keep(Protocol):
    """Where the state of a long pass is kept; of several processes, only the first asks for it and fills it."""

    def load(self) -> Arrays | None:
        """The arrays that were saved last, or None."""

    def save(self, state: Arrays) -> None:
        """Keeps named arrays in place of those kept before; a reader must never see half of them."""


class Sweep:
    """The pass and its results, of which those about the first :attr:`done` vectors as columns are complete.

    Attributes:
        done: Columns passed.
        previous: Highest score of each vector with an earlier one, shape ``(N,)``, float32; -inf where there is none.
        later: Likewise with a later one.
        first_later: First later vector whose score is above each threshold, shape ``(T, N)``; N where there is none.
        packed: Whether each vector is accepted by a greedy walk, shape ``(T, N)``.
        above: Pairs above each threshold, shape ``(T,)``.
    """

    def __init__(self, found: Singles, thresholds: Singles, *, device: str, screened: bool) -> None:
        """Begins with nothing done.

        Args:
            found: Directions, shape ``(N, D)``.
            thresholds: Shape ``(T,)``, float32.
            device: Where to multiply, in torch's words.
            screened: Whether products go ahead in bfloat16.

        Raises:
            MetricError: If the device cannot be used.
        """
        self._found, self._thresholds, self._device = found, thresholds, device
        self._size = side_on(device)
        side = Side.of(found, device, screened=screened)
        self._tiles = Tiles(side, side, thresholds, side=self._size)
        count = len(found)
        self.done = 0
        self.previous = np.full(count, -np.inf, dtype=np.float32)
        self.later = np.full(count, -np.inf, dtype=np.float32)
        self.first_later = np.full((thresholds.size, count), count, dtype=np.int64)
        self.packed = np.zeros((thresholds.size, count), dtype=np.bool_)
        self.above = np.zeros(thresholds.size, dtype=np.int64)

    def run(self, keep: Keep | None) -> None:
        """Passes over all columns, or those that a kept state of the same work leaves; then all results are complete.

        Args:
            keep: Where the state is kept after a column block, every half a minute at most; None to keep nothing.
        """
        if keep is not None:
            self._resume(keep)
        saved = time.monotonic()
        while self.done < len(self._found):
            self._pass(slice(self.done, min(self.done + self._size, len(self._found))))
            if keep is not None and told(time.monotonic() - saved >= _PAUSE):
                self._save(keep)
                saved = time.monotonic()
        self.later, self.first_later, self.above = self._shared()

    def _pass(self, columns: slice) -> None:
        """Takes one block of columns; several processes share its blocks of rows."""
        here = world()
        blocked = np.zeros((self._thresholds.size, columns.stop - columns.start), dtype=np.bool_)
        starts = range(0, columns.start, self._size)
        for start in starts[here.rank :: here.size]:
            rows = slice(start, min(start + self._size, columns.start))
            self._take(self._pairs(rows, columns), columns, blocked)
        inner = None
        if here.rank == len(starts) % here.size:
            inner = self._pairs(columns, columns)
            self._take(inner, columns, None)
        if here.size > 1:
            together = np.concatenate([self.previous[None, columns], blocked.astype(np.float32)])
            together = _combined(together, "MAX", self._device)
            self.previous[columns], blocked = together[0], together[1:] > 0
        if inner is not None:
            for number, threshold in enumerate(self._thresholds):
                self.packed[number, columns] = walked(blocked[number], inner, threshold, columns.start)
        if here.size > 1:
            accepted = _combined(self.packed[:, columns].astype(np.int32), "MAX", self._device)
            self.packed[:, columns] = accepted > 0
        self.done = columns.stop

    def _pairs(self, rows: slice, columns: slice) -> Pairs:
        """The pairs of a block that can change anything."""
        return self._tiles.pairs(
            rows,
            columns,
            row_floors=np.maximum(self.previous[rows], self.later[rows]),
            column_floors=self.previous[columns],
            triangle=rows == columns,
        )

    def _take(self, pairs: Pairs, columns: slice, blocked: Flags | None) -> None:
        """Adds pairs to the results, and marks columns that come too close to an accepted row."""
        np.maximum.at(self.previous, pairs.second, pairs.scores)
        np.maximum.at(self.later, pairs.first, pairs.scores)
        for number, threshold in enumerate(self._thresholds):
            hits = pairs.scores > threshold
            if not hits.any():
                continue
            first, second = pairs.first[hits], pairs.second[hits]
            self.above[number] += first.size
            heads = np.append(True, first[1:] != first[:-1])
            line = self.first_later[number]
            line[first[heads]] = np.minimum(line[first[heads]], second[heads])
            if blocked is not None:
                blocked[number, second[self.packed[number, first]] - columns.start] = True

    def _shared(self) -> tuple[Singles, Ints, Ints]:
        """Of all processes together: ``later``, ``first_later`` and ``above``."""
        if world().size == 1:
            return self.later, self.first_later, self.above
        return (
            _combined(self.later, "MAX", self._device),
            _combined(self.first_later, "MIN", self._device),
            _combined(self.above, "SUM", self._device),
        )

    def _save(self, keep: Keep) -> None:
        later, first_later, above = self._shared()
        if not world().first:
            return
        done = self.done
        keep.save(
            {
                "work": self._work(),
                "done": np.array(done),
                "previous": self.previous[:done],
                "later": later[:done],
                "first_later": first_later[:, :done],
                "packed": self.packed[:, :done],
                "above": above,
            }
        )

    def _resume(self, keep: Keep) -> None:
        """Takes a kept state over, if it is of these vectors and thresholds."""
        state = keep.load() if world().first else None
        if state is not None and not np.array_equal(state.get("work", ()), self._work()):
            state = None
        state = told(state)
        if state is None:
            return
        self.done = int(state["done"])
        part = slice(self.done)
        self.previous[part], self.later[part] = state["previous"], state["later"]
        self.first_later[:, part], self.packed[:, part] = state["first_later"], state["packed"]
        if world().first:
            self.above[:] = state["above"]

    def _work(self) -> npt.NDArray[np.uint8]:
        """What tells this work from any other."""
        digest = hashlib.blake2b(f"1 {self._found.shape}".encode())  # the number of this form of the state
        digest.update(self._thresholds.tobytes())
        digest.update(self._found.data)
        return np.frombuffer(digest.digest(), dtype=np.uint8)


def walked(blocked: Flags, pairs: Pairs, threshold: np.float32, start: int) -> Flags:
    """Which vectors of a block a greedy walk accepts.

    Args:
        blocked: Those too close to an accepted one before the block, shape ``(B,)``.
        pairs: The pairs within the block that may be too close, by their first, then their second.
        threshold: What a score may not exceed.
        start: Where the block begins.
    """
    hits = pairs.scores > threshold
    first, second = pairs.first[hits] - start, pairs.second[hits] - start
    accepted = ~blocked
    if not first.size:
        return accepted
    owners, begins = np.unique(first, return_index=True)
    # All that could speak against a vector comes before it, so it is settled when its turn comes.
    for owner, some in zip(owners, np.split(second, begins[1:]), strict=True):
        if accepted[owner]:
            accepted[some] = False
    return accepted


def _combined(values: npt.NDArray[Any], how: str, device: str) -> npt.NDArray[Any]:
    """The sum, maximum or minimum of each member over all processes, in all of them."""
    import torch
    from torch import distributed

    talks = device if distributed.get_backend() == "nccl" else "cpu"
    tensor = torch.from_numpy(np.ascontiguousarray(values)).to(talks, copy=True)
    distributed.all_reduce(tensor, getattr(distributed.ReduceOp, how))
    found: npt.NDArray[Any] = tensor.cpu().numpy()
    return found
