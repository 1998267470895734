"""Intervals of the 1:1 part: people are resampled, since pairs that share one are not independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.measures import interval_of
from facebench.metrics import bootstrap_intervals, template_bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy.typing as npt

    from facebench import Interval
    from facebench.metrics import BootstrapIntervals, TarIntervals
    from facebench_ijb.lists import Ints, Pairs

    Floats = npt.NDArray[np.floating[Any]]

_MOST_PAIRS = 1_000_000


@dataclass(frozen=True, slots=True)
class PairIntervals:
    """Intervals of TAR by rule and place of the target, of AUC and of EER; None where there is none."""

    tars: Mapping[str, tuple[Interval | None, ...]] | None = None
    auc: Interval | None = None
    eer: Interval | None = None

    def tar(self, rule: str, index: int) -> Interval | None:
        """The interval of TAR by a rule, at the target in that place."""
        return self.tars[rule][index] if self.tars else None


def pair_intervals(
    scores: Floats,
    pairs: Pairs,
    *,
    targets: Sequence[float],
    subjects: Ints | None,
    samples: int,
    seed: int,
) -> PairIntervals:
    """Bootstrap intervals.

    Up to a million pairs every replicate weighs all of them. Of longer lists it weighs the highest impostors only,
    which decide TAR at a FAR but neither AUC nor EER; these two then have no interval.

    Args:
        scores: Score of each pair, (P,).
        pairs: The pairs.
        targets: False accept rates.
        subjects: Number of each template's subject, (T,), or None.
        samples: Replicates; 0 for no intervals.
        seed: Of the draws.

    Raises:
        MetricError: When too few people are left in most replicates.
    """
    if not samples:
        return PairIntervals()
    draws = np.random.default_rng(seed)
    if subjects is not None and len(scores) <= _MOST_PAIRS:
        people = subjects[pairs.first], subjects[pairs.second]
        found = bootstrap_intervals(
            scores, pairs.same, subjects=people, generator=draws, targets=targets, samples=samples
        )
        return PairIntervals(_tars(found), auc=interval_of(found.auc), eer=interval_of(found.eer))
    top = template_bootstrap(
        scores,
        pairs.same,
        pairs.first,
        pairs.second,
        subjects=subjects,
        generator=draws,
        targets=targets,
        samples=samples,
    )
    return PairIntervals(_tars(top))


def _tars(found: BootstrapIntervals | TarIntervals) -> dict[str, tuple[Interval | None, ...]]:
    return {
        "reference": tuple(map(interval_of, found.tar_reference)),
        "strict": tuple(map(interval_of, found.tar_strict)),
    }
