"""The numbers of an identification: from the places of the mates to named metrics with interval and rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Metric, Series
from facebench.measures import interval_of
from facebench.metrics import cluster_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import Interval

_CURVE_RANKS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """What became of every probe.

    Attributes:
        ids: Who was searched, int64 (P,).
        place: 0-based place of the best mate among the whole gallery, int64 (P,).
        reference: Average precision by the official trapezoid rule, float64 (P,).
        usual: Average precision as it is usually defined, float64 (P,).
        gallery: Pictures in the gallery.
        mirror: The fusion of mirrors.
        score: What the gallery was ordered by.
    """

    ids: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    reference: npt.NDArray[np.float64]
    usual: npt.NDArray[np.float64]
    gallery: int
    mirror: str
    score: str = "cosine"


def measure(searches: Searches, *, ranks: Sequence[int], samples: int, seed: int) -> tuple[Metric, ...]:
    """Rank-k rates and mean average precision by both rules.

    Args:
        searches: What became of every probe.
        ranks: Values of k.
        samples: Bootstrap replicates; 0 leaves the intervals out.
        seed: Of the bootstrap.
    """
    values = np.stack([*(searches.place < rank for rank in ranks), searches.reference, searches.usual], axis=1)
    named = [*((f"rank-{rank}", "reference") for rank in ranks), ("map", "reference"), ("map", "usual")]
    intervals = _intervals(searches.ids, values.astype(np.float64), samples=samples, seed=seed)
    mirror, score = searches.mirror, searches.score
    return tuple(
        Metric(name=name, value=float(value), rule=rule, interval=interval, score=score, mirror=mirror, detail=detail)
        for (name, rule), value, interval, detail in zip(
            named, values.mean(axis=0), intervals, _details(searches, ranks), strict=True
        )
    )


def _details(searches: Searches, ranks: Sequence[int]) -> list[dict[str, int | float | str]]:
    """Counts behind each metric."""
    probes = len(searches.place)
    hits = [int(np.count_nonzero(searches.place < rank)) for rank in ranks]
    of_ranks: list[dict[str, int | float | str]] = [{"hits": found, "probes": probes} for found in hits]
    return [*of_ranks, {"probes": probes}, {"probes": probes}]


def _intervals(
    ids: npt.NDArray[np.int64], values: npt.NDArray[np.float64], *, samples: int, seed: int
) -> list[Interval | None]:
    """Intervals of the mean of each column of ``values``, (P, M), people drawn; the gallery stays as it is."""
    if not samples or len(np.unique(ids)) < 2:
        return [None] * values.shape[1]
    found = cluster_bootstrap(values, ids, generator=np.random.default_rng(seed), samples=samples)
    return [interval_of(estimate) for estimate in found]


def cmc(searches: Searches) -> Curve:
    """Share of probes whose best mate is among the first k, against k."""
    ranks = np.arange(1, min(_CURVE_RANKS, searches.gallery) + 1)
    found = np.searchsorted(np.sort(searches.place), ranks, side="left") / len(searches.place)
    series = Series(name="CMC", x=tuple(ranks.astype(np.float64).tolist()), y=tuple(found.tolist()))
    return Curve(
        name="cmc",
        title="CMC",
        kind="step",
        x_label="rank k",
        y_label="share of probes with a mate among the first k",
        x_scale="log",
        series=(series,),
    )
