"""Packing: vectors that come in a stream, of which each is accepted if it is not too close to an accepted one.

It is how identity vectors are sampled for generators (Wu et al., Vec2Face, ICLR 2025, draw from a Gaussian and drop
what comes too close), and the greedy count of :mod:`facebench.metrics.separability` is how many it would accept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.cosines import Side, as_thresholds, directions
from facebench.metrics.products import exact_products
from facebench.metrics.sweep import walked
from facebench.metrics.tiles import Tiles

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from facebench.metrics.products import Singles

# Candidates at a time, and accepted vectors at a time; see the size of blocks in facebench.metrics.tiles.
_HEIGHT = 1344
_WIDTH = {"cpu": 1344, "other": 12288}
_LEAST = 1024  # vectors there is room for at first


class GreedyFilter:
    """Accepts vectors one after another, each if its cosine similarity with none accepted before is above a threshold.

    Scores are exact as :mod:`facebench.metrics.cosines` has them, so the outcome depends on the vectors and their order
    alone: neither on how they are cut into blocks nor on the device, and a filter begun with what another has accepted
    goes on as that one would. Each candidate is compared with all accepted ones, ``A D`` multiplications; memory is
    that of the accepted vectors, three times that while it grows, and a block.
    """

    def __init__(
        self, threshold: float, *, size: int, device: str = "cpu", accepted: npt.ArrayLike | None = None
    ) -> None:
        """Begins with nothing accepted, or with what was.

        Args:
            threshold: The highest similarity that is allowed; rounded to float32, in which scores are compared.
            size: Dimensions of a vector.
            device: Where to multiply, in torch's words.
            accepted: What was accepted before, as it came in, not scaled, shape ``(A, size)``; not compared with one
                another. None or an empty array for nothing.

        Raises:
            MetricError: If the threshold is no finite number, vectors are not finite or of another size, one has length
                0, or the device cannot be used.
        """
        self._thresholds = as_thresholds([threshold])
        if size < 1:
            raise MetricError(f"vectors have at least one dimension; found {size}")
        self._size, self._device = size, device
        self._count = 0
        with exact_products():
            self._kept = self._room(_LEAST)
            if accepted is not None and len(np.asarray(accepted)):
                self._keep(Side.of(self._directions(accepted, "accepted vectors"), device, screened=False).single)

    @property
    def accepted(self) -> int:
        """How many vectors have been accepted, those it began with included."""
        return self._count

    def admit(self, candidates: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Returns which candidates are accepted, in their order, and remembers those; shape ``(B,)``.

        Args:
            candidates: Of any length but 0, shape ``(B, size)``.

        Raises:
            MetricError: If candidates are not finite or of another size, or one has length 0; then none is accepted.
        """
        found = self._directions(candidates, "candidates")
        with exact_products():
            parts = [found[start : start + _HEIGHT] for start in range(0, len(found), _HEIGHT)]
            return np.concatenate([self._admitted(part) for part in parts])

    def _admitted(self, part: Singles) -> npt.NDArray[np.bool_]:
        """As :meth:`admit`, of so few directions that their scores with one another fit into a block."""
        side = Side.of(part, self._device, screened=False)
        rows = slice(0, len(part))
        blocked = np.zeros(len(part), dtype=np.bool_)
        width = _WIDTH["cpu" if self._device == "cpu" else "other"]
        if self._count:
            before = Tiles(side, Side(self._kept[: self._count]), self._thresholds, side=max(_HEIGHT, width))
            for start in range(0, self._count, width):
                pairs = before.pairs(rows, slice(start, min(start + width, self._count)))
                blocked[pairs.first[pairs.scores > self._thresholds[0]]] = True
        within = Tiles(side, side, self._thresholds, side=_HEIGHT)
        accepted = walked(blocked, within.pairs(rows, rows, triangle=True), self._thresholds[0], 0)
        self._keep(side.single[np.flatnonzero(accepted)])
        return accepted

    def _directions(self, vectors: npt.ArrayLike, what: str) -> Singles:
        """Vectors at unit length."""
        found = directions(vectors, what)
        if found.shape[1] != self._size:
            raise MetricError(f"{what} must have {self._size} dimensions; found {found.shape[1]}")
        return found

    def _keep(self, some: torch.Tensor) -> None:
        """Adds directions to the accepted ones, with room for twice as many when it is used up."""
        total = self._count + len(some)
        if total > len(self._kept):
            room = self._room(max(total, 2 * len(self._kept)))
            room[: self._count] = self._kept[: self._count]
            self._kept = room
        self._kept[self._count : total] = some
        self._count = total

    def _room(self, count: int) -> torch.Tensor:
        """Memory for that many directions on the device.

        Raises:
            MetricError: If the device cannot be used.
        """
        empty = np.empty((0, self._size), dtype=np.float32)
        single = Side.of(empty, self._device, screened=False).single
        return single.new_empty((count, self._size))
