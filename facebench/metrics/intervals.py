"""How far a measured rate may be from the true one: intervals in closed form.

:func:`wilson` serves independent trials, :func:`fold_interval` the mean over folds. Verification pairs share people
and are not independent: for statistics over pairs see :mod:`facebench.metrics.bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from facebench.errors import MetricError
from facebench.metrics.checks import as_level, as_scores

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A confidence interval.

    Attributes:
        low: Lower end, in the unit of the metric.
        high: Upper end.
        level: Confidence level, strictly between 0 and 1.
        method: How it was found, in words.
        samples: How many trials, folds or replicates it rests on.
    """

    low: float
    high: float
    level: float
    method: str
    samples: int


def wilson(successes: int, trials: int, *, level: float = 0.95) -> IntervalEstimate:
    """Returns Wilson's score interval for a plain proportion of independent trials.

    With z the normal quantile of (1 + level) / 2, p = s / n: centre ``(p + z^2 / 2n) / (1 + z^2 / n)``, half width
    ``z sqrt(p (1 - p) / n + z^2 / 4 n^2) / (1 + z^2 / n)`` (Wilson, JASA 1927). Unlike the normal interval it stays
    in [0, 1] and has width where all trials succeed.

    Args:
        successes: How many trials succeeded, 0 to ``trials``.
        trials: How many there were, at least 1.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If the counts or the level are impossible.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise MetricError(f"successes must lie between 0 and trials, trials above 0; found {successes} of {trials}")
    z2 = float(special.ndtri((1 + as_level(level)) / 2)) ** 2
    share = successes / trials
    scale = 1 + z2 / trials
    centre = (share + z2 / (2 * trials)) / scale
    half = np.sqrt(z2 * share * (1 - share) / trials + (z2 / (2 * trials)) ** 2) / scale
    low = max(0.0, float(centre - half))
    # Where all succeed the formula gives 1 but for rounding.
    high = 1.0 if successes == trials else min(1.0, float(centre + half))
    return IntervalEstimate(low, high, level, "Wilson score", trials)


def fold_interval(values: npt.ArrayLike, *, level: float = 0.95) -> IntervalEstimate:
    """Returns the Student t interval for a mean over folds: ``mean +- t_{k-1} s / sqrt(k)``, s with ddof 1.

    It treats folds as independent although their thresholds come from overlapping training folds, and is not cut off
    at 0 and 1; it is what LFW's standard error amounts to, made an interval.

    Args:
        values: The metric in each fold, shape ``(K,)``, at least two.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If there are fewer than two folds, a value is not finite, or the level is impossible.
    """
    folds = as_scores(values, "fold values").astype(np.float64, copy=False)
    if folds.size < 2:
        raise MetricError("an interval over folds needs at least 2 of them; found 1")
    quantile = float(special.stdtrit(folds.size - 1, (1 + as_level(level)) / 2))
    half = quantile * float(folds.std(ddof=1)) / np.sqrt(folds.size)
    mean = float(folds.mean())
    return IntervalEstimate(float(mean - half), float(mean + half), level, "Student t over folds", folds.size)
