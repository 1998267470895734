"""Retrieval: a probe may have several mates in a large gallery, and where each of them lands counts (TinyFace).

Scores are ordered as the data set's own MATLAB script orders them, by a stable sort: of equal scores the earlier
gallery column comes first. Nothing is sorted, though: the position of a mate is the number of entries ahead of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.identification import RankRate
from facebench.metrics.mates import Mates
from facebench.metrics.products import as_sides, exact_products, score_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    import torch

    from facebench.metrics.products import Singles

    Ints = npt.NDArray[np.int64]
    # Probes, gallery and device to runs of probes, in order, with their scores against the whole gallery.
    Scorer = Callable[[Singles, Singles, str], Iterator[tuple[slice, torch.Tensor]]]

Precision = Literal["trapezoid", "usual"]
"""How average precision is summed; see :meth:`Retrieval.average_precision`."""

# With more mates than this, one sort of the row is cheaper than a count for each.
_MANY = 48


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """The mean over probes of the average precision.

    Attributes:
        value: In [0, 1].
        mated: How many probes it is the mean of: those with a mate.
        rule: ``"trapezoid"`` or ``"usual"``.
    """

    value: float
    mated: int
    rule: str


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Where the mates of P probes landed among G gallery entries.

    Attributes:
        positions: Position of every mate, 0 being the best of the gallery, rising within a probe; the probes one after
            another, shape ``(M,)``.
        offsets: Where each probe's positions start, then M, shape ``(P + 1,)``.
        entries: G.
    """

    positions: Ints
    offsets: Ints
    entries: int

    @property
    def mates(self) -> Ints:
        """How many mates each probe has, shape ``(P,)``."""
        return np.diff(self.offsets)

    def rank_rate(self, k: int) -> RankRate:
        """Returns how often any mate is among the first k, of the probes that have one.

        Raises:
            MetricError: If k is below 1 or no probe has a mate.
        """
        if k < 1:
            raise MetricError(f"a rank is at least 1; found {k}")
        starts = self._first_positions()
        hits = int(np.count_nonzero(self.positions[starts] < k))
        return RankRate(hits / starts.size, hits, starts.size, k, "stable")

    def average_precision(self, *, rule: Precision = "trapezoid") -> npt.NDArray[np.float64]:
        """Returns the average precision of each probe, shape ``(P,)``, in [0, 1]; NaN for a probe without a mate.

        With mates at positions p_0 < p_1 < ..., n of them: ``"usual"`` is the mean of the precisions
        (j + 1) / (p_j + 1). ``"trapezoid"``, TinyFace's own, averages each of them with the precision just before
        the mate, j / p_j (1 where p_j is 0), and is lower.

        Raises:
            UnknownName: If there is no such rule.
        """
        if rule not in ("trapezoid", "usual"):
            raise UnknownName("average precision rule", rule, ("trapezoid", "usual"))
        found = np.arange(self.positions.size) - np.repeat(self.offsets[:-1], self.mates)
        precision = (found + 1) / (self.positions + 1)
        if rule == "trapezoid":
            before = np.ones(self.positions.size)
            np.divide(found, self.positions, out=before, where=self.positions > 0)
            precision = (precision + before) / 2
        means = np.full(self.mates.size, np.nan)
        mated = self.mates > 0
        if mated.any():
            means[mated] = np.add.reduceat(precision, self.offsets[:-1][mated]) / self.mates[mated]
        return means

    def mean_average_precision(self, *, rule: Precision = "trapezoid") -> MeanAveragePrecision:
        """Returns the mean of :meth:`average_precision` over the probes that have a mate.

        Raises:
            MetricError: If no probe has a mate.
            UnknownName: If there is no such rule.
        """
        mated = self._first_positions().size
        return MeanAveragePrecision(float(np.nanmean(self.average_precision(rule=rule))), mated, rule)

    def _first_positions(self) -> Ints:
        """Where the best position of each mated probe stands."""
        starts = self.offsets[:-1][self.mates > 0]
        if not starts.size:
            raise MetricError("retrieval needs probes with a mate in the gallery; found none; compare the ids")
        return starts


def retrieve(
    probes: npt.ArrayLike,
    probe_ids: npt.ArrayLike,
    gallery: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    *,
    device: str = "cpu",
    scorer: Scorer = score_blocks,
) -> Retrieval:
    """Returns where the mates of every probe land when the gallery is ordered by dot product, best first.

    For unit vectors that is the order of Euclidean distances, which TinyFace's script sorts by. A mate's score is read
    from the very block that its rivals are counted in, so rounding never sets a mate before or behind itself.

    Memory beyond the input: a block of scores of at most 32 MiB, or of 256 probes up to 256 MiB (162 MB for TinyFace's
    157,871 entries); the vectors once more if they are not float32.

    Args:
        probes: One vector a probe, of unit length for cosine similarity, shape ``(P, D)``.
        probe_ids: Subject of each probe, integers or strings, shape ``(P,)``.
        gallery: One vector an entry, distractors included, shape ``(G, D)``.
        gallery_ids: Subject of each entry, of the same kind, shape ``(G,)``; distractors have one that no probe has.
        device: Where to multiply, in torch's words; positions are counted on the processor.
        scorer: What orders the gallery instead of the dot product: a function of probes, gallery and device that yields
            runs of probes with their scores against all entries, as :func:`facebench.metrics.likelihood_blocks` makes
            one. Its memory takes the place of the block's.

    Raises:
        MetricError: If vectors are not finite, shapes do not agree, or the device cannot be used.
    """
    queries, entries = as_sides(probes, gallery, ("probes", "gallery"))
    mates = Mates.of(probe_ids, gallery_ids, len(queries), len(entries))
    offsets = np.append(0, np.cumsum(mates.counts))
    positions = np.empty(offsets[-1], dtype=np.int64)
    with exact_products():
        for rows, block in scorer(queries, entries, device):
            scores: Singles = block.cpu().numpy()
            _, columns = mates.within(rows)
            base = offsets[rows.start]
            for row in range(rows.start, rows.stop):
                low, high = offsets[row], offsets[row + 1]
                if low < high:
                    positions[low:high] = _positions(scores[row - rows.start], columns[low - base : high - base])
    return Retrieval(positions, offsets, len(entries))


def _positions(scores: Singles, mates: Ints) -> Ints:
    """Positions of some columns of a row when it is ordered from high to low, earlier columns first, rising."""
    limits = scores[mates]
    if mates.size > _MANY:
        rising = np.sort(scores)
        above = scores.size - np.searchsorted(rising, limits, side="right")
        reach = scores.size - np.searchsorted(rising, limits, side="left")
    else:
        above = np.array([np.count_nonzero(scores > limit) for limit in limits])
        reach = np.array([np.count_nonzero(scores >= limit) for limit in limits])
    for tied in np.flatnonzero(reach - above > 1):
        above[tied] += np.count_nonzero(scores[: mates[tied]] == limits[tied])
    return np.sort(above)
