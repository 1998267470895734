"""Bootstrap intervals for verification statistics that respect who is compared with whom.

Pairs that share a person rise and fall together, so resampling pairs as if they were independent gives intervals that
are too narrow. Here *people* are drawn with replacement: a person drawn w times gives weight w to their genuine pairs,
and an impostor pair gets the product of its two people's multiplicities (the subsets bootstrap of Bolle, Ratha and
Pankanti, 2004, in its vertex form; compared with other intervals by Fogliato, Patil and Perona, arXiv 2306.01198).

Scores are sorted once. A replicate is then a gather of weights, two running sums and a few binary searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.metrics.checks import as_labels, as_level, as_rate, as_scores, require_both
from facebench.metrics.resampling import (
    PAIRS,
    SUBJECTS,
    percentile_intervals,
    require_replicates,
    usable_replicates,
    weights_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from facebench.metrics.checks import Floats
    from facebench.metrics.intervals import IntervalEstimate

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_BLOCK_BYTES = 16 << 20  # of working arrays; at least one replicate is held: about 40 bytes a pair and 16 a person


@dataclass(frozen=True, slots=True)
class BootstrapIntervals:
    """Percentile intervals of several statistics from the same replicates.

    Attributes:
        auc: Of the area under the ROC curve.
        eer: Of the equal error rate by the rule ``interpolation``.
        tar_reference: Of the true accept rate at each target, at the nearest FAR on all ROC points (dropping collinear
            ones, as the rule ``reference`` does for the value itself, has no meaning for weighted points).
        tar_strict: Of the true accept rate at each target by the rule ``strict``.
        targets: The targets, in the order of the two above.
    """

    auc: IntervalEstimate
    eer: IntervalEstimate
    tar_reference: tuple[IntervalEstimate, ...]
    tar_strict: tuple[IntervalEstimate, ...]
    targets: tuple[float, ...]


def bootstrap_intervals(
    scores: npt.ArrayLike,
    same: npt.ArrayLike,
    *,
    subjects: tuple[npt.ArrayLike, npt.ArrayLike] | None,
    generator: np.random.Generator,
    targets: Sequence[float] = (),
    samples: int = 1000,
    level: float = 0.95,
) -> BootstrapIntervals:
    """Returns bootstrap intervals of AUC, EER and TAR at several FARs.

    Replicates that lost all genuine or all impostor pairs are left out, and ``samples`` of the intervals says how many
    remained. Memory beyond the input: 16 MiB, or one replicate (about 40 bytes a pair) where that is more.

    Args:
        scores: Shape ``(N,)``, higher is more alike.
        same: True or 1 where a pair shows one person, shape ``(N,)``.
        subjects: Who is on the first and on the second side of each pair, two arrays of shape ``(N,)`` of integers or
            strings. None if unknown: then genuine and impostor pairs are resampled, each among themselves, and
            ``method`` says so; such intervals tend to be too narrow.
        generator: Source of randomness; the same seed gives the same intervals on any machine.
        targets: False accept rates, each in [0, 1].
        samples: Replicates to draw.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If scores, flags or rates are not as described, a class is missing, flags contradict subjects, or
            fewer than half of the replicates keep both classes.
    """
    checked = as_scores(scores)
    flags = as_labels(same, checked.size)
    require_both(int(np.count_nonzero(flags)), int(np.count_nonzero(~flags)))
    require_replicates(samples)
    confidence, rates = as_level(level), [as_rate(target) for target in targets]
    genuine_rows, impostor_rows = falling(checked, flags), falling(checked, ~flags)
    ladder = Ladder.of(checked[genuine_rows], checked[impostor_rows])
    draw, cost = weights_of(subjects, flags, genuine_rows, impostor_rows)
    block = max(1, _BLOCK_BYTES // (40 * checked.size + 16 * cost))
    parts = [
        statistics(ladder, *draw(generator, min(block, samples - start)), rates) for start in range(0, samples, block)
    ]
    usable = usable_replicates(np.concatenate(parts, axis=1))
    estimates = percentile_intervals(usable, confidence, PAIRS if subjects is None else SUBJECTS)
    tars = estimates[2:]
    return BootstrapIntervals(estimates[0], estimates[1], tuple(tars[0::2]), tuple(tars[1::2]), tuple(rates))


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Where the scores stand relative to each other, found once for all replicates.

    With the genuine and the impostor scores each sorted from high to low:

    Attributes:
        above: For each impostor, the genuine scores above it, shape ``(I,)``.
        level: For each impostor, the genuine scores at or above it, shape ``(I,)``.
        ends: 0, then for each distinct impostor score the impostors at or above it, shape ``(S + 1,)``.
        gained: Genuine scores above each distinct impostor score, then all of them, shape ``(S + 1,)``.
        genuine: For each ROC point, the genuine scores accepted, shape ``(P,)``.
        impostors: For each ROC point, the impostor scores accepted, shape ``(P,)``.
    """

    above: Ints
    level: Ints
    ends: Ints
    gained: Ints
    genuine: Ints
    impostors: Ints

    @property
    def steps(self) -> int:
        """S, how many distinct impostor scores there are."""
        return self.ends.size - 1

    @classmethod
    def of(cls, genuine: Floats, impostor: Floats) -> Ladder:
        """Compares two sets of scores, both falling."""
        above = np.searchsorted(-genuine, -impostor, side="left")
        level = np.searchsorted(-genuine, -impostor, side="right")
        steps = np.flatnonzero(np.append(impostor[1:] != impostor[:-1], True)) + 1
        everyone = np.unique(np.concatenate([-genuine, -impostor]))
        return cls(
            above=above,
            level=level,
            ends=np.append(0, steps),
            gained=np.append(above[steps - 1], genuine.size),
            genuine=np.append(0, np.searchsorted(-genuine, everyone, side="right")),
            impostors=np.append(0, np.searchsorted(-impostor, everyone, side="right")),
        )


def statistics(ladder: Ladder, genuine: Doubles, impostor: Doubles, targets: Sequence[float]) -> Doubles:
    """AUC, EER and, for each target, TAR by the nearest and by the strict rule, shape ``(2 + 2 T, R)``.

    Args:
        ladder: The order of the scores.
        genuine: Weight of each genuine pair in each replicate, shape ``(R, G)``, scores falling.
        impostor: Weight of each impostor pair, shape ``(R, I)``, scores falling.
        targets: T false accept rates.
    """
    true, false = running(genuine), running(impostor)
    with np.errstate(invalid="ignore", divide="ignore"):
        won = np.einsum("ri,ri->r", impostor, np.take(true, ladder.above, axis=1))
        if not np.array_equal(ladder.above, ladder.level):
            won = (won + np.einsum("ri,ri->r", impostor, np.take(true, ladder.level, axis=1))) / 2
        results = [won / (true[:, -1] * false[:, -1])]
        true /= true[:, -1:]
        false /= false[:, -1:]
    results.append(_weighted_eer(ladder, true, false))
    return np.stack(results + weighted_tars(ladder, true, false, targets))


def weighted_tars(ladder: Ladder, true: Doubles, false: Doubles, targets: Sequence[float]) -> list[Doubles]:
    """TAR by the nearest and by the strict rule, alternating, for each target; each of shape ``(R,)``.

    Args:
        ladder: The order of the scores.
        true: Share of the genuine weight up to each genuine score, from 0, shape ``(R, G + 1)``.
        false: Share of the impostor weight up to each impostor score, from 0, shape ``(R, I + 1)``.
        targets: False accept rates.
    """
    rows = np.arange(len(true))
    results = []
    for target in targets:
        taken = _steps_within(ladder, false, target)
        nearest = _nearest_step(ladder, false, taken, target)
        results += [true[rows, ladder.gained[nearest]], true[rows, ladder.gained[taken]]]
    return results


def reaches(ladder: Ladder, false: Doubles, target: float) -> bool:
    """Whether a ladder that holds only the highest impostors is long enough for a target, in every replicate."""
    taken = _steps_within(ladder, false, target)
    return bool((_next_step(ladder, false, taken) < ladder.steps).all())


def _weighted_eer(ladder: Ladder, true: Doubles, false: Doubles) -> Doubles:
    """The root of 1 - x = TAR(x), TAR linear between the ROC points of each replicate."""
    rows = np.arange(len(true))

    def lead(point: Ints) -> Doubles:
        return 1.0 - true[rows, ladder.genuine[point]] - false[rows, ladder.impostors[point]]

    last = ladder.genuine.size - 1
    after = np.clip(_leading(last, rows.size, lambda point: lead(point) > 0), 1, last)
    before = after - 1
    high, low = lead(before), lead(after)
    start, end = false[rows, ladder.impostors[before]], false[rows, ladder.impostors[after]]
    return np.asarray(start + (end - start) * high / (high - low))


def _nearest_step(ladder: Ladder, false: Doubles, taken: Ints, target: float) -> Ints:
    """How many distinct impostor scores to accept for the FAR nearest the target, the larger of two equally near."""
    rows = np.arange(len(false))
    low = false[rows, ladder.ends[taken]]
    further = _next_step(ladder, false, taken)
    high = false[rows, ladder.ends[further]]
    return np.where(np.abs(high - target) <= np.abs(low - target), further, taken)


def _next_step(ladder: Ladder, false: Doubles, taken: Ints) -> Ints:
    """How many distinct impostor scores can be accepted at the next larger FAR.

    Scores of weight 0 beyond the next step do not change its FAR, but the genuine scores among them count.
    """
    high = false[np.arange(len(false)), ladder.ends[np.minimum(taken + 1, ladder.steps)]]
    return _steps_within(ladder, false, high)


def _steps_within(ladder: Ladder, false: Doubles, bound: float | Doubles) -> Ints:
    """How many distinct impostor scores can be accepted with a FAR of at most ``bound``, in each replicate."""
    rows = np.arange(len(false))
    return _leading(ladder.steps, rows.size, lambda step: false[rows, ladder.ends[step + 1]] <= bound)


def _leading(count: int, replicates: int, holds: Callable[[Ints], npt.NDArray[np.bool_]]) -> Ints:
    """How many of the places 0 .. count - 1 satisfy ``holds`` in each replicate, given that they are the first ones.

    One binary search for all replicates at once; ``holds`` gets one place for each replicate.
    """
    low = np.zeros(replicates, dtype=np.int64)
    high = np.full(replicates, count, dtype=np.int64)
    for _ in range(count.bit_length()):
        middle = np.minimum((low + high) // 2, count - 1)
        # A search that has ended stays where it is: its place does not hold, or all places do.
        yes = holds(middle)
        low, high = np.where(yes, middle + 1, low), np.where(yes, high, middle)
    return low


def running(weights: Doubles) -> Doubles:
    """Running sums along each row, with a leading 0, shape ``(R, N + 1)``."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def falling(scores: Floats, which: npt.NDArray[np.bool_]) -> Ints:
    """Rows of ``which``, highest score first."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(-scores[rows], kind="stable")]
