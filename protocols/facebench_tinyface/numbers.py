"""The numbers of an identification: from the places of the mates to named metrics with interval and rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Interval, Metric, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_CURVE_RANKS = 100
_BLOCK_BYTES = 16 << 20  # of the weights of bootstrap replicates
_LEVEL = 0.95


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
    """

    ids: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    reference: npt.NDArray[np.float64]
    usual: npt.NDArray[np.float64]
    gallery: int
    mirror: str


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
    return tuple(
        Metric(name=name, value=float(value), rule=rule, interval=interval, mirror=searches.mirror, detail=detail)
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
    """Percentile intervals of the mean of each column, people drawn with replacement.

    Probes of one person succeed and fail together, so people are drawn and all their probes come with them. The
    gallery stays as it is.

    Args:
        ids: Who each probe shows, (P,).
        values: (P, M).
        samples: Replicates.
        seed: Of the draw.
    """
    people, number = np.unique(ids, return_inverse=True)
    if not samples or len(people) < 2:
        return [None] * values.shape[1]
    # A replicate needs only what each person adds to the sums and to the number of probes.
    sums = np.zeros((len(people), values.shape[1] + 1))
    np.add.at(sums, number, np.column_stack([values, np.ones(len(values))]))
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // (16 * len(people)))
    drawn = []
    for start in range(0, samples, block):
        count = min(block, samples - start)
        picks = generator.integers(0, len(people), size=(count, len(people))) + len(people) * np.arange(count)[:, None]
        weights = np.bincount(picks.ravel(), minlength=count * len(people)).reshape(count, len(people))
        drawn.append(weights @ sums)
    totals = np.concatenate(drawn)
    ends = np.quantile(totals[:, :-1] / totals[:, -1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return [
        Interval(
            low=float(low), high=float(high), level=_LEVEL, method="bootstrap over probe identities", samples=samples
        )
        for low, high in ends.T
    ]


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
