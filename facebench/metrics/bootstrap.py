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

from facebench.errors import MetricError
from facebench.metrics.checks import as_labels, as_level, as_rate, as_scores, require_both
from facebench.metrics.intervals import IntervalEstimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from facebench.metrics.checks import Floats

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
    if samples < 1:
        raise MetricError(f"a bootstrap needs at least one replicate; found {samples}")
    confidence, rates = as_level(level), [as_rate(target) for target in targets]
    genuine_rows, impostor_rows = _falling(checked, flags), _falling(checked, ~flags)
    ladder = _Ladder.of(checked[genuine_rows], checked[impostor_rows])
    if subjects is None:
        draw, cost = _pair_weights(genuine_rows.size, impostor_rows.size), checked.size
    else:
        first, second, people = _numbered(subjects, flags)
        draw = _subject_weights(first[genuine_rows], first[impostor_rows], second[impostor_rows], people)
        cost = people
    block = max(1, _BLOCK_BYTES // (40 * checked.size + 16 * cost))
    parts = [
        _statistics(ladder, *draw(generator, min(block, samples - start)), rates) for start in range(0, samples, block)
    ]
    values = np.concatenate(parts, axis=1)
    usable = values[:, np.isfinite(values).all(axis=0)]
    if 2 * usable.shape[1] < samples:
        raise MetricError(
            f"too few people for a bootstrap: {samples - usable.shape[1]} of {samples} replicates lost all genuine or "
            "all impostor pairs; use more identities"
        )
    method = "pair bootstrap, percentile (identities unknown)" if subjects is None else "subject bootstrap, percentile"
    ends = np.quantile(usable, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    estimates = [IntervalEstimate(float(low), float(high), confidence, method, usable.shape[1]) for low, high in ends.T]
    tars = estimates[2:]
    return BootstrapIntervals(estimates[0], estimates[1], tuple(tars[0::2]), tuple(tars[1::2]), tuple(rates))


@dataclass(frozen=True, slots=True, eq=False)
class _Ladder:
    """Where the scores stand relative to each other, found once for all replicates.

    With the genuine and the impostor scores each sorted from high to low:

    Attributes:
        above: For each impostor, the genuine scores above it, shape ``(I,)``.
        level: For each impostor, the genuine scores at or above it, shape ``(I,)``.
        steps: For each distinct impostor score, the impostors at or above it, shape ``(S,)``.
        gained: Genuine scores above each distinct impostor score, then all of them, shape ``(S + 1,)``.
        genuine: For each ROC point, the genuine scores accepted, shape ``(P,)``.
        impostors: For each ROC point, the impostor scores accepted, shape ``(P,)``.
    """

    above: Ints
    level: Ints
    steps: Ints
    gained: Ints
    genuine: Ints
    impostors: Ints

    @classmethod
    def of(cls, genuine: Floats, impostor: Floats) -> _Ladder:
        """Compares two sets of scores, both falling."""
        above = np.searchsorted(-genuine, -impostor, side="left")
        level = np.searchsorted(-genuine, -impostor, side="right")
        steps = np.flatnonzero(np.append(impostor[1:] != impostor[:-1], True)) + 1
        everyone = np.unique(np.concatenate([-genuine, -impostor]))
        return cls(
            above=above,
            level=level,
            steps=steps,
            gained=np.append(above[steps - 1], genuine.size),
            genuine=np.append(0, np.searchsorted(-genuine, everyone, side="right")),
            impostors=np.append(0, np.searchsorted(-impostor, everyone, side="right")),
        )


def _statistics(ladder: _Ladder, genuine: Doubles, impostor: Doubles, targets: Sequence[float]) -> Doubles:
    """AUC, EER and, for each target, TAR by the nearest and by the strict rule, shape ``(2 + 2 T, R)``.

    Args:
        ladder: The order of the scores.
        genuine: Weight of each genuine pair in each replicate, shape ``(R, G)``, scores falling.
        impostor: Weight of each impostor pair, shape ``(R, I)``, scores falling.
        targets: T false accept rates.
    """
    true, false = _running(genuine), _running(impostor)
    rows = np.arange(len(true))
    with np.errstate(invalid="ignore", divide="ignore"):
        won = np.einsum("ri,ri->r", impostor, np.take(true, ladder.above, axis=1))
        if not np.array_equal(ladder.above, ladder.level):
            won = (won + np.einsum("ri,ri->r", impostor, np.take(true, ladder.level, axis=1))) / 2
        results = [won / (true[:, -1] * false[:, -1])]
        true /= true[:, -1:]
        false /= false[:, -1:]
    results.append(_weighted_eer(ladder, true, false))
    for target in targets:
        taken = _steps_within(ladder, false, target)
        nearest = _nearest_step(ladder, false, taken, target)
        results += [true[rows, ladder.gained[nearest]], true[rows, ladder.gained[taken]]]
    return np.stack(results)


def _weighted_eer(ladder: _Ladder, true: Doubles, false: Doubles) -> Doubles:
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


def _nearest_step(ladder: _Ladder, false: Doubles, taken: Ints, target: float) -> Ints:
    """How many distinct impostor scores to accept for the FAR nearest the target, the larger of two equally near."""
    rows = np.arange(len(false))
    ends = np.append(0, ladder.steps)
    low = false[rows, ends[taken]]
    high = false[rows, ends[np.minimum(taken + 1, ladder.steps.size)]]
    # Scores of weight 0 beyond the next step do not change its FAR, but the genuine scores among them count.
    further = _steps_within(ladder, false, high)
    return np.where(np.abs(high - target) <= np.abs(low - target), further, taken)


def _steps_within(ladder: _Ladder, false: Doubles, bound: float | Doubles) -> Ints:
    """How many distinct impostor scores can be accepted with a FAR of at most ``bound``, in each replicate."""
    rows = np.arange(len(false))
    return _leading(ladder.steps.size, rows.size, lambda step: false[rows, ladder.steps[step]] <= bound)


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


def _running(weights: Doubles) -> Doubles:
    """Running sums along each row, with a leading 0, shape ``(R, N + 1)``."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _falling(scores: Floats, which: npt.NDArray[np.bool_]) -> Ints:
    """Rows of ``which``, highest score first."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _numbered(subjects: tuple[npt.ArrayLike, npt.ArrayLike], same: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, int]:
    """Numbers the people of both sides from 0 and says how many there are."""
    sides = [np.asarray(side) for side in subjects]
    for side in sides:
        if side.shape != same.shape:
            raise MetricError(f"one subject a pair and side is needed; found shape {side.shape} for {same.size} pairs")
    names, numbers = np.unique(np.concatenate(sides), return_inverse=True)
    first, second = numbers[: same.size], numbers[same.size :]
    wrong = np.flatnonzero((first == second) != same)
    if wrong.size:
        at = int(wrong[0])
        raise MetricError(
            f"labels and subjects contradict each other in {wrong.size} pairs; found label {bool(same[at])} for "
            f"{names[first[at]]!s} and {names[second[at]]!s} at index {at}"
        )
    return first, second, names.size


def _multiplicities(generator: np.random.Generator, replicates: int, count: int) -> Doubles:
    """How often each of ``count`` things is drawn in ``count`` draws, shape ``(R, count)``: multinomial weights."""
    drawn = generator.integers(0, count, size=(replicates, count))
    drawn += count * np.arange(replicates)[:, None]
    return np.bincount(drawn.ravel(), minlength=replicates * count).reshape(replicates, count).astype(np.float64)


def _subject_weights(
    genuine: Ints, first: Ints, second: Ints, people: int
) -> Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]:
    """Draws people; returns the weights of genuine and impostor pairs."""

    def draw(generator: np.random.Generator, replicates: int) -> tuple[Doubles, Doubles]:
        weights = _multiplicities(generator, replicates, people)
        impostor = np.take(weights, first, axis=1)
        impostor *= np.take(weights, second, axis=1)
        return np.take(weights, genuine, axis=1), impostor

    return draw


def _pair_weights(genuine: int, impostors: int) -> Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]:
    """Draws pairs, each class among itself; returns the weights of genuine and impostor pairs."""

    def draw(generator: np.random.Generator, replicates: int) -> tuple[Doubles, Doubles]:
        return _multiplicities(generator, replicates, genuine), _multiplicities(generator, replicates, impostors)

    return draw
