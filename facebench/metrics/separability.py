"""Separability: how many of the identities in a data set are apart from one another.

Each identity is one vector, and two of them are too close when their cosine similarity is above a threshold; at the
threshold they are not. Three counts of separated identities are in use, and differ:

==================  =================================================  ============  =================================
count               an identity counts when it is not too close to     depends on    who
==================  =================================================  ============  =================================
strict              any other                                          the set       the description of Vec2Face
first occurrence    any earlier one                                    the order     the code of Vec2Face, and equations
                                                                                     11 and 12 of DCFace
greedy              any earlier one that counts                        the order     the description of DCFace, samplers
==================  =================================================  ============  =================================

The first is never more than the second, nor that than the third. Vec2Face draws the second over growing prefixes of the
set, at 0.4; DCFace's uniqueness is its share at 0.3. (Wu et al., Vec2Face, ICLR 2025; Kim et al., DCFace, CVPR 2023.)
:func:`neighbours` finds, in one pass over all pairs, what gives all three for every prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.cosines import Side, as_thresholds, directions, screens
from facebench.metrics.products import exact_products
from facebench.metrics.sweep import Keep, Sweep
from facebench.metrics.tiles import Tiles, side_on
from facebench.ranks import told, world

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.cosines import Screen
    from facebench.metrics.products import Singles
    from facebench.metrics.tiles import Ints

_PANEL = 512  # columns of the second moment that exist at a time
_ROWS = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """What the counts of N identities in their order are made of; scores are cosine similarities.

    Attributes:
        thresholds: Those the pass was made with, shape ``(T,)``, float32.
        previous: The highest score with an earlier identity, shape ``(N,)``, float32; -inf for the first.
        nearest: The highest score with any other, shape ``(N,)``, float32; -inf if there is none.
        first_later: The first later identity whose score is above each threshold, shape ``(T, N)``; N if there is none.
        packed: Whether the greedy walk accepts each, shape ``(T, N)``.
        above: How many of the N (N - 1) / 2 pairs are above each threshold, shape ``(T,)``.
        mean: Of the scores of all pairs; NaN if there are none.
        std: Their standard deviation; NaN if there are none.
    """

    thresholds: Singles
    previous: Singles
    nearest: Singles
    first_later: Ints
    packed: npt.NDArray[np.bool_]
    above: Ints
    mean: float
    std: float

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.nearest) * (len(self.nearest) - 1) // 2

    def strict(self, tau: float, prefix: int | None = None) -> int:
        """How many identities are not too close to any other; does not always grow with the prefix.

        Args:
            tau: The threshold; for a part of the set, one of those of the pass.
            prefix: Count within that many first identities; all when None.

        Raises:
            MetricError: If the threshold is not known, or there is no such prefix.
        """
        if prefix is None or prefix == len(self.nearest):
            return int(np.count_nonzero(self.nearest <= _threshold(tau)))
        return int(self.strict_curve(tau, [prefix])[0])

    def first_occurrence(self, tau: float, prefix: int | None = None) -> int:
        """How many identities are not too close to any earlier one: the count of the published code.

        Args:
            tau: Any threshold.
            prefix: Count within that many first identities; all when None.

        Raises:
            MetricError: If there is no such prefix.
        """
        return int(self.first_occurrence_curve(tau, self._whole(prefix))[0])

    def greedy(self, tau: float, prefix: int | None = None) -> int:
        """How many identities are not too close to any earlier one that counts itself.

        Args:
            tau: One of the thresholds of the pass.
            prefix: Count within that many first identities; all when None.

        Raises:
            MetricError: If the threshold is not known, or there is no such prefix.
        """
        return int(self.greedy_curve(tau, self._whole(prefix))[0])

    def strict_curve(self, tau: float, prefixes: npt.ArrayLike) -> Ints:
        """As :meth:`strict`, of many prefixes at once, shape ``(P,)``.

        Identity i counts in the prefix of n from n = i + 1 on, if it is not too close to an earlier one, and until n is
        its first later one that it is too close to.
        """
        number = self._number(tau, "the strict count of a part of the set")
        sizes = self._sizes(prefixes)
        enters = np.flatnonzero(self.previous <= _threshold(tau))
        steps = np.zeros(len(self.nearest) + 2, dtype=np.int64)
        steps[enters + 1] += 1
        np.subtract.at(steps, self.first_later[number, enters] + 1, 1)
        return np.cumsum(steps)[sizes]

    def first_occurrence_curve(self, tau: float, prefixes: npt.ArrayLike) -> Ints:
        """As :meth:`first_occurrence`, of many prefixes at once, shape ``(P,)``."""
        return _running(self.previous <= _threshold(tau))[self._sizes(prefixes)]

    def greedy_curve(self, tau: float, prefixes: npt.ArrayLike) -> Ints:
        """As :meth:`greedy`, of many prefixes at once, shape ``(P,)``."""
        return _running(self.packed[self._number(tau, "the greedy count")])[self._sizes(prefixes)]

    def _whole(self, prefix: int | None) -> list[int]:
        return [len(self.nearest) if prefix is None else prefix]

    def _sizes(self, prefixes: npt.ArrayLike) -> Ints:
        """Checked sizes of prefixes."""
        sizes = np.asarray(prefixes)
        whole, count = sizes.dtype.kind in "iu" or not sizes.size, len(self.nearest)
        if sizes.ndim != 1 or not whole or ((sizes < 0) | (sizes > count)).any():
            raise MetricError(f"a prefix is a whole number from 0 to the {count} identities; found {prefixes!r}")
        return sizes.astype(np.int64)

    def _number(self, tau: float, what: str) -> int:
        """Which threshold of the pass it is."""
        found = np.flatnonzero(self.thresholds == _threshold(tau))
        if not found.size:
            known = ", ".join(f"{value:g}" for value in self.thresholds) or "none"
            raise MetricError(f"{what} needs a threshold that the pass was made with; found {tau}; there are: {known}")
        return int(found[0])


@dataclass(frozen=True, slots=True, eq=False)
class Closest:
    """For each probe, its nearest gallery vector.

    Attributes:
        scores: Cosine similarity with it, shape ``(P,)``, float32.
        indices: Which it is, the first of equally near ones, shape ``(P,)``.
        thresholds: Shape ``(T,)``, float32.
        above: How many probes have one above each threshold, shape ``(T,)``.
    """

    scores: Singles
    indices: Ints
    thresholds: Singles
    above: Ints


def neighbours(
    vectors: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    *,
    device: str = "cpu",
    screen: Screen = "auto",
    keep: Keep | None = None,
) -> Neighbours:
    """Returns what all counts of separated identities are made of, from one pass over all pairs.

    Scores are exact as :mod:`facebench.metrics.cosines` has them, so nothing depends on the device, the screen, or how
    the work was cut. Memory beyond the input is a copy of it, half of one where products are screened, and a block: 7
    MiB on the processor, 64 MiB on a device; some twenty times that where most pairs are above a threshold.
    Several processes that have joined (:mod:`facebench.ranks`) share the work and all get the result.

    Args:
        vectors: One for each identity, in the order that first occurrence and greedy go by, of any length but 0, shape
            ``(N, D)``; may be memory-mapped. Vec2Face takes the plain mean of an identity's features.
        thresholds: Those for which the greedy count, the strict count of prefixes and the number of pairs are wanted,
            shape ``(T,)``; rounded to float32, in which scores are compared. There may be none.
        device: Where to multiply, in torch's words.
        screen: Whether bfloat16 products may go ahead: ``"auto"`` where there are units for them, ``"bfloat16"`` or
            ``"never"``.
        keep: Keeps the state of a long pass, from which the next call with the same vectors and thresholds goes on.

    Raises:
        MetricError: If vectors are not finite, one has length 0, thresholds are no numbers, or the device cannot be
            used.
        UnknownName: If there is no such screen.
    """
    levels, screened = as_thresholds(thresholds), screens(screen, device)
    found = directions(vectors)
    with exact_products():
        sweep = Sweep(found, levels, device=device, screened=screened)
        sweep.run(keep)
    mean, std = told(_moments(found) if world().first else (0.0, 0.0))
    nearest = np.maximum(sweep.previous, sweep.later)
    return Neighbours(levels, sweep.previous, nearest, sweep.first_later, sweep.packed, sweep.above, mean, std)


def nearest_between(
    probes: npt.ArrayLike,
    gallery: npt.ArrayLike,
    *,
    thresholds: npt.ArrayLike = (),
    device: str = "cpu",
    screen: Screen = "auto",
) -> Closest:
    """Returns the nearest gallery vector of each probe, by cosine similarity, as leakage is looked for.

    Memory beyond the input is as :func:`neighbours` has it.

    Args:
        probes: Of any length but 0, shape ``(P, D)``.
        gallery: Likewise, shape ``(G, D)``; may be memory-mapped.
        thresholds: Count the probes whose nearest one is above each, shape ``(T,)``.
        device: Where to multiply, in torch's words.
        screen: As in :func:`neighbours`.

    Raises:
        MetricError: If vectors are not finite, one has length 0, the dimensions differ, thresholds are no numbers, or
            the device cannot be used.
        UnknownName: If there is no such screen.
    """
    levels, screened = as_thresholds(thresholds), screens(screen, device)
    wanted, offered = directions(probes, "probes"), directions(gallery, "gallery")
    if wanted.shape[1] != offered.shape[1]:
        raise MetricError(
            f"probes and gallery must have one dimension; found {wanted.shape[1]} and {offered.shape[1]}; embed both "
            "with one model"
        )
    size = side_on(device)
    scores, indices = np.full(len(wanted), -np.inf, dtype=np.float32), np.zeros(len(wanted), dtype=np.int64)
    with exact_products():
        first, second = (Side.of(side, device, screened=screened) for side in (wanted, offered))
        tiles = Tiles(first, second, np.empty(0, dtype=np.float32), side=size)
        for columns in _blocks(len(offered), size):
            for rows in _blocks(len(wanted), size):
                pairs = tiles.pairs(rows, columns, row_floors=scores[rows])
                # The best of each row first, and the earlier of equal ones; what is not better than before stays out.
                order = np.lexsort((pairs.second, -pairs.scores, pairs.first))
                row, column, score = pairs.first[order], pairs.second[order], pairs.scores[order]
                better = np.append(True, row[1:] != row[:-1])[: row.size] & (score > scores[row])
                scores[row[better]], indices[row[better]] = score[better], column[better]
    above = np.count_nonzero(scores > levels[:, None], axis=1)
    return Closest(scores, indices, levels, above)


def _moments(found: Singles) -> tuple[float, float]:
    """Mean and standard deviation of the scores of all pairs, without any pair.

    With directions u: the sum of all scores is ``|sum u|^2`` and the sum of their squares ``|U^T U|^2``, each less what
    vectors have with themselves. In float64.
    """
    count = len(found)
    if count < 2:
        return float("nan"), float("nan")
    own = np.zeros(2)
    total = np.zeros(found.shape[1])
    for rows in _blocks(count, _ROWS):
        block = found[rows].astype(np.float64)
        total += block.sum(axis=0)
        lengths = np.vecdot(block, block)
        own += lengths.sum(), np.square(lengths).sum()
    pairs = count * (count - 1)
    mean = (total @ total - own[0]) / pairs
    square = (_second_moment(found) - own[1]) / pairs
    return float(mean), float(np.sqrt(max(square - mean**2, 0.0)))


def _second_moment(found: Singles) -> float:
    """The sum of the squares of all members of ``U^T U``, a panel at a time."""
    total = 0.0
    panels = list(_blocks(found.shape[1], _PANEL))
    for number, left in enumerate(panels):
        for right in panels[number:]:
            part: npt.NDArray[Any] = np.zeros((left.stop - left.start, right.stop - right.start))
            for rows in _blocks(len(found), _ROWS):
                first = found[rows, left].astype(np.float64)
                second = first if left == right else found[rows, right].astype(np.float64)
                part += first.T @ second
            total += float(np.square(part).sum()) * (1 if left == right else 2)
    return total


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _threshold(tau: float) -> np.float32:
    """A threshold as it is compared with scores."""
    found: np.float32 = as_thresholds([tau])[0]
    return found


def _running(flags: npt.NDArray[np.bool_]) -> Ints:
    """How many of the first n are set, for n from 0 on."""
    return np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
