"""Is one method better than another, or was it luck? Tests on results from the *same* comparisons.

Two methods that saw the same pairs fail on the same hard ones, so the interval of their difference is far narrower than
two separate intervals suggest. :func:`paired_bootstrap` draws people once for both; :func:`mcnemar` looks only at
decisions in which the methods part; :func:`holm` pays for looking at several differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from facebench.errors import MetricError
from facebench.metrics.bootstrap import Ladder, falling, statistics
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
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench.metrics.checks import Floats
    from facebench.metrics.intervals import IntervalEstimate

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more the first method has of a statistic than the second.

    Attributes:
        value: First minus second, on the comparisons as they are.
        interval: Percentile interval of the difference.
        p_value: Two-sided: twice the smaller share of replicates on one side of 0, each share with one more replicate
            on either count, so that it is never 0; in (0, 1]. Correct several by :func:`holm`.
    """

    value: float
    interval: IntervalEstimate
    p_value: float


@dataclass(frozen=True, slots=True)
class PairedDifferences:
    """Differences of several statistics from the same replicates; see :class:`BootstrapIntervals` for their rules.

    Attributes:
        auc: Of the area under the ROC curve; above 0 the first method is better.
        eer: Of the equal error rate; above 0 the first method is *worse*.
        tar_reference: Of the true accept rate at each target, at the nearest FAR on all ROC points.
        tar_strict: Of the true accept rate at each target by the rule ``strict``.
        accuracy: Of the share of right decisions; None if none were given.
        targets: The targets, in the order of the two tuples above.
    """

    auc: Difference
    eer: Difference
    tar_reference: tuple[Difference, ...]
    tar_strict: tuple[Difference, ...]
    accuracy: Difference | None
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two methods' decisions on the same comparisons.

    Attributes:
        only_first: Comparisons that the first method alone got right.
        only_second: Comparisons that the second method alone got right.
        p_value: Two-sided exact binomial p value; 1 where the methods never part.
        mid_p: Two-sided mid-p value, less timid and hardly ever too bold (Fagerland, Lydersen and Laake, 2013).
    """

    only_first: int
    only_second: int
    p_value: float
    mid_p: float


def paired_bootstrap(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    same: npt.ArrayLike,
    subjects: tuple[npt.ArrayLike, npt.ArrayLike] | None,
    generator: np.random.Generator,
    targets: Sequence[float] = (),
    correct: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    samples: int = 1000,
    level: float = 0.95,
) -> PairedDifferences:
    """Returns bootstrap intervals of the differences between two methods.

    Each replicate weighs the comparisons once, as :func:`bootstrap_intervals` does, for both methods. Memory beyond the
    input: 16 MiB, or one replicate (about 100 bytes a pair) where that is more.

    Args:
        first: Scores of the first method, shape ``(N,)``, higher is more alike.
        second: Scores of the second method on the same comparisons in the same order, shape ``(N,)``; the scales need
            not agree.
        same: True or 1 where a pair shows one person, shape ``(N,)``.
        subjects: Who is on the first and second side of each pair; None if unknown, see :func:`bootstrap_intervals`.
        generator: Source of randomness; the same seed gives the same intervals on any machine.
        targets: False accept rates, each in [0, 1].
        correct: Whether each method decided each comparison rightly, two arrays of shape ``(N,)``, for instance at the
            thresholds of its folds.
        samples: Replicates to draw.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If scores, flags or rates are not as described, a class is missing, flags contradict subjects, or
            fewer than half of the replicates keep both classes.
    """
    one, other = as_scores(first, "first scores"), as_scores(second, "second scores")
    if one.size != other.size:
        raise MetricError(
            f"both methods must score the same comparisons; found {one.size} and {other.size} scores; keep those that "
            "both have"
        )
    flags = as_labels(same, one.size)
    require_both(int(np.count_nonzero(flags)), int(np.count_nonzero(~flags)))
    require_replicates(samples)
    confidence, rates = as_level(level), [as_rate(target) for target in targets]
    duel = _Duel.of(one, other, flags, None if correct is None else _gains(*correct, one.size))
    draw, cost = weights_of(subjects, flags, *duel.rows)
    block = max(1, _BLOCK_BYTES // (100 * one.size + 16 * cost))
    parts = [
        duel.differences(*draw(generator, min(block, samples - start)), rates) for start in range(0, samples, block)
    ]
    usable = usable_replicates(np.concatenate(parts, axis=1))
    whole = duel.differences(np.ones((1, duel.rows[0].size)), np.ones((1, duel.rows[1].size)), rates)[:, 0]
    intervals = percentile_intervals(usable, confidence, PAIRS if subjects is None else SUBJECTS)
    found = [
        Difference(float(value), interval, _two_sided(row))
        for value, interval, row in zip(whole, intervals, usable, strict=True)
    ]
    tars = found[2 : 2 + 2 * len(rates)]
    accuracy = None if correct is None else found[-1]
    return PairedDifferences(found[0], found[1], tuple(tars[0::2]), tuple(tars[1::2]), accuracy, tuple(rates))


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> McNemar:
    """Returns McNemar's exact test: of n comparisons that only one method got right, are half the first method's?

    It takes comparisons as independent; pairs that share people are not, and :func:`paired_bootstrap` allows for that.

    Args:
        first: Whether the first method decided each comparison rightly, shape ``(N,)``.
        second: Likewise for the second method, same order.

    Raises:
        MetricError: If the two differ in length, are empty, or are not booleans.
    """
    if not np.size(first):
        raise MetricError("McNemar's test needs decisions; found none")
    right, other = (as_labels(side, np.size(first), what="decisions") for side in (first, second))
    wins, losses = int(np.count_nonzero(right & ~other)), int(np.count_nonzero(other & ~right))
    parting, few = wins + losses, min(wins, losses)
    if not parting:
        return McNemar(0, 0, 1.0, 1.0)
    tail = float(special.bdtr(few, parting, 0.5))
    point = _binomial_point(few, parting)
    mid = 1 - point / 2 if wins == losses else 2 * tail - point
    return McNemar(wins, losses, min(1.0, 2 * tail), mid)


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns p values corrected for their number by Holm's step-down rule, in their order, shape ``(M,)``.

    With p_(1) <= ... <= p_(M), the k-th becomes ``max over j <= k of min(1, (M - j + 1) p_(j))`` (Holm, 1979).
    Rejecting those at most alpha keeps the chance of any false rejection at alpha, however the tests depend on each
    other.

    Args:
        p_values: Shape ``(M,)``, each in [0, 1].

    Raises:
        MetricError: If there is none, or one lies outside [0, 1].
    """
    given = as_scores(p_values, "p values").astype(np.float64)
    if given.min() < 0 or given.max() > 1:
        raise MetricError(f"p values lie between 0 and 1; found {given.min():.6g} to {given.max():.6g}")
    order = np.argsort(given, kind="stable")
    steps = np.minimum(1, given[order] * np.arange(given.size, 0, -1))
    corrected = np.empty(given.size)
    corrected[order] = np.maximum.accumulate(steps)
    return corrected


@dataclass(frozen=True, slots=True, eq=False)
class _Duel:
    """Two orders of the same comparisons.

    Attributes:
        ladders: The order of the scores of each method.
        rows: Rows of the genuine and of the impostor pairs, scores of the first method falling.
        places: Where the second method's order finds its genuine and impostor pairs in ``rows``.
        gains: For the genuine and impostor pairs of ``rows``, 1 if only the first method is right, -1 if only the
            second is, else 0; None without decisions.
    """

    ladders: tuple[Ladder, Ladder]
    rows: tuple[Ints, Ints]
    places: tuple[Ints, Ints]
    gains: tuple[Doubles, Doubles] | None

    @classmethod
    def of(cls, first: Floats, second: Floats, same: Flags, gains: Doubles | None) -> _Duel:
        """Orders checked scores."""
        rows, others = (falling(first, same), falling(first, ~same)), (falling(second, same), falling(second, ~same))
        place = np.empty(first.size, dtype=np.int64)
        for side in rows:
            place[side] = np.arange(side.size)
        return cls(
            ladders=(Ladder.of(first[rows[0]], first[rows[1]]), Ladder.of(second[others[0]], second[others[1]])),
            rows=rows,
            places=(place[others[0]], place[others[1]]),
            gains=None if gains is None else (gains[rows[0]], gains[rows[1]]),
        )

    def differences(self, genuine: Doubles, impostor: Doubles, targets: Sequence[float]) -> Doubles:
        """First minus second in every statistic, shape ``(2 + 2 T, R)``, one row more with decisions."""
        mine = statistics(self.ladders[0], genuine, impostor, targets)
        there = np.take(genuine, self.places[0], axis=1), np.take(impostor, self.places[1], axis=1)
        result = mine - statistics(self.ladders[1], *there, targets)
        if self.gains is None:
            return result
        weight = genuine.sum(axis=1) + impostor.sum(axis=1)
        won = genuine @ self.gains[0] + impostor @ self.gains[1]
        share = np.divide(won, weight, out=np.full(weight.size, np.nan), where=weight > 0)
        return np.concatenate([result, share[None]])


def _gains(first: npt.ArrayLike, second: npt.ArrayLike, count: int) -> Doubles:
    """1 where only the first method is right, -1 where only the second is, else 0."""
    right, other = (as_labels(side, count, what="decisions") for side in (first, second))
    return right.astype(np.float64) - other


def _two_sided(differences: Doubles) -> float:
    """Twice the smaller tail of the replicates beyond 0."""
    fewer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, float(2 * (fewer + 1) / (differences.size + 1)))


def _binomial_point(successes: int, trials: int) -> float:
    """Probability of exactly so many successes in fair trials, by logarithms, for the factors overflow."""
    log = special.gammaln(trials + 1) - special.gammaln(successes + 1) - special.gammaln(trials - successes + 1)
    return float(np.exp(log - trials * np.log(2)))
