"""Intervals of plain rates whose trials come in families: several probes of one person succeed and fail together.

Taking such trials as independent, as Wilson's interval does, makes intervals too narrow by a factor that nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_level, as_matrix
from facebench.metrics.resampling import multiplicities, percentile_intervals, require_replicates

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.intervals import IntervalEstimate

METHOD = "bootstrap over people, percentile"
_BLOCK_BYTES = 16 << 20


def cluster_bootstrap(
    values: npt.ArrayLike,
    people: npt.ArrayLike,
    *,
    generator: np.random.Generator,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[IntervalEstimate, ...]:
    """Returns percentile intervals of the mean of each column, people drawn with replacement.

    A person who is drawn brings all their trials along. Memory beyond the input: 16 MiB.

    Args:
        values: Outcome of each trial, hits as 0 and 1, or any number, shape ``(P, M)``.
        people: Whose trial each is, integers or strings, shape ``(P,)``.
        generator: Source of randomness; the same seed gives the same intervals on any machine.
        samples: Replicates to draw.
        level: Confidence level, strictly between 0 and 1.

    Raises:
        MetricError: If values are not finite, the two differ in length, or there are fewer than two people.
    """
    trials = as_matrix(values, "outcomes")
    names, number = np.unique(np.asarray(people), return_inverse=True)
    require_replicates(samples)
    if number.shape != (len(trials),):
        raise MetricError(f"each trial belongs to one person; found {number.size} people for {len(trials)} trials")
    if names.size < 2:
        raise MetricError(f"a bootstrap over people needs at least 2 of them; found {names.size}")
    confidence = as_level(level)
    # A replicate needs only what each person adds to the sums and to the number of trials.
    sums = np.zeros((names.size, trials.shape[1] + 1))
    np.add.at(sums, number, np.column_stack([trials, np.ones(len(trials))]))
    block = max(1, _BLOCK_BYTES // (24 * names.size))
    totals = np.concatenate(
        [
            multiplicities(generator, min(block, samples - start), names.size) @ sums
            for start in range(0, samples, block)
        ]
    )
    return tuple(percentile_intervals((totals[:, :-1] / totals[:, -1:]).T, confidence, METHOD))
