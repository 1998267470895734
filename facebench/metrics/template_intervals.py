"""Bootstrap intervals for a TAR table over millions of pairs of templates, such as IJB-C's.

The draw is that of :mod:`facebench.metrics.bootstrap`: people (or templates, where people are unknown) are drawn with
replacement, and an impostor pair weighs the product of its two sides' multiplicities. With 15.6 million impostors,
though, no replicate can touch them all. Only their order near the top decides a TAR at FAR 0.1 and less, and how much
all of them weigh together is a quadratic form in the multiplicities:

    sum over impostor pairs (a, b) of w_a w_b  =  w' C w,    C = how many impostor pairs each two people have.

So each replicate weighs the highest impostors one by one, the rest through C, and the result is exact: if a replicate
should need more of the top than was kept, more is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.bootstrap import Ladder, falling, reaches, running, weighted_tars
from facebench.metrics.checks import as_labels, as_level, as_rate, as_scores, require_both
from facebench.metrics.resampling import (
    SUBJECTS,
    TEMPLATES,
    multiplicities,
    percentile_intervals,
    require_replicates,
    usable_replicates,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from scipy import sparse

    from facebench.metrics.checks import Floats
    from facebench.metrics.intervals import IntervalEstimate

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_REPLICATES = 64  # weighed in one product with the pair counts
_MARGIN = 4096
_CHUNK = 1 << 14  # of weights: three such arrays stay in the cache
_SPARE = 1.25  # how much more of the top is kept than the largest target takes in the data itself


@dataclass(frozen=True, slots=True)
class TarIntervals:
    """Percentile intervals of the true accept rate at several targets, from the same replicates.

    Attributes:
        tar_reference: At the nearest FAR on all ROC points (dropping collinear ones, as the rule ``reference`` does for
            the value itself, has no meaning for weighted points).
        tar_strict: By the rule ``strict``.
        targets: The false accept rates, in the order of both.
    """

    tar_reference: tuple[IntervalEstimate, ...]
    tar_strict: tuple[IntervalEstimate, ...]
    targets: tuple[float, ...]


def template_bootstrap(
    scores: npt.ArrayLike,
    same: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    subjects: npt.ArrayLike | None,
    generator: np.random.Generator,
    targets: Sequence[float],
    samples: int = 1000,
    level: float = 0.95,
) -> TarIntervals:
    """Returns bootstrap intervals of TAR at several FARs for a long list of template pairs.

    Time grows with the largest target: with FAR 0.1 about an eighth of the impostors are weighed in each replicate.
    Memory beyond the input, at IJB-C size (15.7 million pairs) and FAR 0.1: about 0.7 GiB.

    Args:
        scores: Shape ``(P,)``, higher is more alike.
        same: True or 1 where both templates show one person, shape ``(P,)``.
        first: Number of the first template of each pair, integers from 0, shape ``(P,)``.
        second: Number of the second one, likewise.
        subjects: Subject of each template, integers or strings of shape ``(T,)``; :func:`linked_subjects` finds them
            where only the pairs are known. None draws templates instead, as if each were another person's, which gives
            intervals that are too narrow; ``method`` says so.
        generator: Source of randomness; the same seed gives the same intervals on any machine.
        targets: False accept rates, each in [0, 1], at least one.
        samples: Replicates to draw.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If scores, flags, rows or rates are not as described, a class is missing, flags contradict
            subjects, or fewer than half of the replicates keep both classes.
    """
    checked = as_scores(scores)
    flags = as_labels(same, checked.size)
    require_both(int(np.count_nonzero(flags)), int(np.count_nonzero(~flags)))
    require_replicates(samples)
    confidence, rates = as_level(level), [as_rate(target) for target in targets]
    if not rates:
        raise MetricError("a bootstrap of TAR needs at least one target; found none")
    sides, count = _units(first, second, subjects, flags)
    pairs = _Pairs.of(checked, flags, sides, count)
    kept = min(int(np.ceil(_SPARE * max(rates) * pairs.impostors.size)) + _MARGIN, pairs.impostors.size)
    top, parts = pairs.top(kept), []
    for start in range(0, samples, _REPLICATES):
        weights = multiplicities(generator, min(_REPLICATES, samples - start), count)
        totals = np.einsum("ru,ur->r", weights, pairs.counts @ weights.T)
        for row, total in zip(weights, totals, strict=True):
            while (tars := _tars(pairs, top, row, total, rates)) is None:
                kept = min(2 * kept, pairs.impostors.size)
                top = pairs.top(kept)
            parts.append(tars)
    usable = usable_replicates(np.stack(parts, axis=1))
    estimates = percentile_intervals(usable, confidence, TEMPLATES if subjects is None else SUBJECTS)
    return TarIntervals(tuple(estimates[0::2]), tuple(estimates[1::2]), tuple(rates))


def linked_subjects(
    first: npt.ArrayLike, second: npt.ArrayLike, same: npt.ArrayLike, *, templates: int
) -> npt.NDArray[np.int64]:
    """Returns a subject number for each template, from who is said to be the same as whom, shape ``(templates,)``.

    Templates that a chain of genuine pairs joins get one number. A template without a genuine pair gets its own, and
    templates of one person that no genuine pair joins get several, for nothing tells otherwise.

    Args:
        first: Number of the first template of each pair, integers from 0, shape ``(P,)``.
        second: Number of the second one, likewise.
        same: True or 1 where both templates show one person, shape ``(P,)``.
        templates: How many templates there are.

    Raises:
        MetricError: If rows or flags are not as described.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    left, right = _as_rows(first, "first"), _as_rows(second, "second")
    flags = as_labels(same, left.size, what="same flags")
    if right.size != left.size or max(left.max(), right.max()) >= templates:
        raise MetricError(
            f"pairs must name two of the {templates} templates each; found {left.size} first and {right.size} second "
            f"rows up to {max(left.max(), right.max())}"
        )
    links = sparse.coo_array(
        (np.ones(np.count_nonzero(flags), dtype=np.int8), (left[flags], right[flags])), shape=(templates, templates)
    )
    numbers: npt.NDArray[np.int32] = csgraph.connected_components(links, directed=False)[1]
    return numbers.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Top:
    """The highest impostors with all genuine pairs.

    Attributes:
        ladder: The order of their scores.
        first: What is drawn on the first side of each impostor, scores falling, shape ``(K,)``.
        second: On the second side.
        whole: Whether these are all impostors.
        sums: Room for the shares of one replicate, overwritten by each, shape ``(K + 1,)``.
    """

    ladder: Ladder
    first: Ints
    second: Ints
    whole: bool
    sums: Doubles

    def shares(self, weights: Doubles, total: float) -> Doubles:
        """Share of the impostor weight up to each impostor, from 0, shape ``(1, K + 1)``; valid until the next call."""
        sums, carried = self.sums, 0.0
        for start in range(0, self.first.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            weighed = weights[self.first[part]]
            weighed *= weights[self.second[part]]
            np.cumsum(weighed, out=weighed)
            weighed += carried
            carried = weighed[-1]
            np.divide(weighed, total, out=sums[start + 1 : start + 1 + weighed.size])
        return sums[None]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """The pairs, parted by truth.

    Attributes:
        genuine: Genuine scores, falling, shape ``(G,)``.
        genuine_first: What is drawn on the first side of each of them.
        genuine_second: On the second side.
        impostors: Impostor scores as they came, shape ``(I,)``.
        first: What is drawn on the first side of each of them.
        second: On the second side.
        counts: How many impostor pairs each two units have, shape ``(U, U)``.
    """

    genuine: Floats
    genuine_first: Ints
    genuine_second: Ints
    impostors: Floats
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    counts: sparse.csr_array

    @classmethod
    def of(
        cls,
        scores: Floats,
        same: npt.NDArray[np.bool_],
        sides: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
        count: int,
    ) -> _Pairs:
        """Parts checked pairs."""
        from scipy import sparse

        rows = falling(scores, same)
        first, second = (side[~same] for side in sides)
        ones = np.ones(first.size, dtype=np.float32)
        counts = sparse.coo_array((ones, (first, second)), shape=(count, count)).tocsr()
        genuine_first, genuine_second = (side[rows].astype(np.int64) for side in sides)
        return cls(scores[rows], genuine_first, genuine_second, scores[~same], first, second, counts)

    def top(self, kept: int) -> _Top:
        """At least ``kept`` of the highest impostors, equal scores together."""
        size = self.impostors.size
        cut = np.partition(self.impostors, size - kept)[size - kept]
        rows = falling(self.impostors, self.impostors >= cut)
        ladder = Ladder.of(self.genuine, self.impostors[rows])
        first, second = (side[rows].astype(np.int64) for side in (self.first, self.second))
        return _Top(ladder, first, second, rows.size == size, np.zeros(rows.size + 1))


def _tars(pairs: _Pairs, top: _Top, weights: Doubles, total: float, targets: Sequence[float]) -> Doubles | None:
    """TAR by both rules for each target in one replicate, NaN if it lost a class; None if the top is too short."""
    genuine = weights[pairs.genuine_first]
    apart = pairs.genuine_first != pairs.genuine_second
    genuine[apart] *= weights[pairs.genuine_second[apart]]
    true = running(genuine[None])
    if not total or not true[0, -1]:
        return np.full(2 * len(targets), np.nan)
    true /= true[:, -1:]
    false = top.shares(weights, total)
    if not top.whole and not reaches(top.ladder, false, max(targets)):
        return None
    return np.concatenate(weighted_tars(top.ladder, true, false, targets))


def _units(
    first: npt.ArrayLike, second: npt.ArrayLike, subjects: npt.ArrayLike | None, same: npt.NDArray[np.bool_]
) -> tuple[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], int]:
    """What is drawn on both sides of each pair, numbered from 0, and how many of them there are."""
    left, right = _as_rows(first, "first"), _as_rows(second, "second")
    for rows in (left, right):
        if rows.shape != same.shape:
            raise MetricError(f"one template a pair and side is needed; found {rows.size} for {same.size} pairs")
    last = int(max(left.max(), right.max()))
    present = np.zeros(last + 1, dtype=np.bool_)  # whoever is in no pair is not drawn
    present[left] = present[right] = True
    names: npt.NDArray[np.generic]
    if subjects is None:
        names, number = np.flatnonzero(present), np.cumsum(present) - 1
    else:
        given = np.asarray(subjects)
        if given.ndim != 1 or given.size <= last or given.dtype.kind not in "iuUS":
            raise MetricError(
                f"one subject, an integer or a string, is needed for each template; found {given.dtype} of shape "
                f"{given.shape} for templates up to {last}"
            )
        names = np.unique(given[: last + 1][present])
        number = np.searchsorted(names, given[: last + 1])
    number = number.astype(np.int32)
    one, other = number[left], number[right]
    together = one == other
    wrong = np.flatnonzero(together != same) if subjects is not None else np.flatnonzero(together & ~same)
    if wrong.size:
        at = int(wrong[0])
        raise MetricError(
            f"labels and {'templates' if subjects is None else 'subjects'} contradict each other in {wrong.size} pairs"
            f"; found label {bool(same[at])} for {names[one[at]]!s} and {names[other[at]]!s} at index {at}"
        )
    return (one, other), names.size


def _as_rows(values: npt.ArrayLike, what: str) -> npt.NDArray[np.integer]:
    """Checks template numbers."""
    rows = np.asarray(values)
    if rows.ndim != 1 or not rows.size or rows.dtype.kind not in "iu" or rows.min() < 0:
        raise MetricError(
            f"{what} templates must be a list of integers from 0; found {rows.dtype} of shape {rows.shape}; look ids "
            "up with numpy.searchsorted on the pooled ids"
        )
    return rows
