"""How far apart the genuine and impostor scores lie, in units of their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_sets

if TYPE_CHECKING:
    import numpy.typing as npt


def dprime(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> float:
    """Returns d', the decidability index: ``|mean_g - mean_i| / sqrt((var_g + var_i) / 2)``, 0 or more.

    Variances are those of the population (ddof 0), as in pyeer's ``get_decidability_value`` (Daugman's index). Sums
    run in float64 whatever the scores are.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``.
        impostor: Scores of comparisons of two people, shape ``(I,)``.

    Raises:
        MetricError: If scores are not finite numbers, a class is missing, or neither class has any spread (pyeer
            answers 1 there, which would rank a constant score above many a useful one).
    """
    sets = as_sets(genuine, impostor)
    spread = np.sqrt((sets.genuine.var(dtype=np.float64) + sets.impostor.var(dtype=np.float64)) / 2)
    if not spread:
        raise MetricError(
            "d' needs scores that vary; found a single value in each class; leave the metric out for such scores"
        )
    gap = sets.genuine.mean(dtype=np.float64) - sets.impostor.mean(dtype=np.float64)
    return float(abs(gap) / spread)
