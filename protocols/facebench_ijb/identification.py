"""The 1:N part: probes searched in each gallery, with mates in one and none in the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.measures import interval_of, spelt
from facebench.metrics import (
    RANK_RULES,
    cluster_bootstrap,
    mean_tpir_at_fpir,
    pooled_pair_tar,
    rank_rate,
    search,
)
from facebench_ijb.curves import cmc, open_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from facebench import Curve, Interval
    from facebench.metrics import Search
    from facebench_ijb.lists import Side

RANKS = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Identified:
    """What the 1:N part found.

    Attributes:
        metrics: Ranks, TPIR at each FPIR by both rules, then the figures of the joined galleries.
        curves: CMC and TPIR against FPIR.
        scores: Of each search, probe by probe and gallery by gallery: arrays of equal length.
        warnings: What could not be found, and why.
    """

    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...]
    scores: Mapping[str, npt.NDArray[np.generic]]
    warnings: tuple[str, ...]


def identify(
    vectors: npt.NDArray[np.float32],
    galleries: Sequence[Side],
    probes: Side,
    *,
    fpir: Sequence[float],
    mirror: str,
    samples: int = 0,
    seed: int = 0,
) -> Identified:
    """Searches all probes in each gallery.

    Args:
        vectors: Unit vectors of templates, (T, D).
        galleries: One template of each enrolled subject.
        probes: Templates to search.
        fpir: False positive identification rates.
        mirror: How mirrors were fused, to be told with each metric.
        samples: Bootstrap replicates behind the intervals of ranks; 0 leaves them out.
        seed: Of the bootstrap.

    Raises:
        MetricError: When no probe has a mate.
    """
    queries = vectors[probes.templates]
    searches = {
        gallery.name: search(queries, vectors[gallery.templates], probes.subjects, gallery.subjects)
        for gallery in galleries
    }
    metrics = []
    for rule in ("reference", "strict"):
        spread = _rank_intervals(list(searches.values()), probes.subjects, rule, samples=samples, seed=seed)
        metrics += [_rank(searches, k, rule, mirror, spread[k]) for k in RANKS]
    targets = sorted(dict.fromkeys(fpir))
    said = []
    if all(found.mated.any() and not found.mated.all() for found in searches.values()):
        metrics += [_tpir(searches, rate, rule, mirror) for rule in ("reference", "strict") for rate in targets]
    else:
        said.append("open-set metrics are left out: a gallery lacks mated or non-mated probes")
    if len(galleries) > 1:
        spread_of = partial(_rank_intervals, subjects=probes.subjects, rule="reference", samples=samples, seed=seed)
        metrics += _joined(queries, vectors, galleries, probes, targets, mirror, spread_of)
    curves = tuple(curve for curve in (cmc(searches), open_set(searches)) if curve.series)
    return Identified(tuple(metrics), curves, _scores(searches, probes), tuple(said))


def _rank_intervals(
    searches: Sequence[Search], subjects: npt.NDArray[np.int64], rule: str, *, samples: int, seed: int
) -> dict[int, Interval | None]:
    """The interval of each rank, people drawn: several probes of one person are found, or missed, together."""
    mated = np.concatenate([one.mated for one in searches])
    place = np.concatenate([RANK_RULES[rule](one) for one in searches])[mated]
    people = np.tile(subjects, len(searches))[mated]
    if not samples or len(np.unique(people)) < 2:
        return dict.fromkeys(RANKS)
    hits = np.stack([place < k for k in RANKS], axis=1).astype(np.float64)
    found = cluster_bootstrap(hits, people, generator=np.random.default_rng(seed), samples=samples)
    return {k: interval_of(estimate) for k, estimate in zip(RANKS, found, strict=True)}


def _rank(searches: Mapping[str, Search], k: int, rule: str, mirror: str, interval: Interval | None) -> Metric:
    """Hits of all galleries over all mated searches."""
    found = rank_rate(list(searches.values()), k, rule=rule)
    detail: dict[str, int | float | str] = {"hits": found.hits, "mated searches": found.mated}
    for name, one in searches.items():
        if one.mated.any():
            here = rank_rate(one, k, rule=rule)
            detail |= {name: here.rate, f"{name} mated searches": here.mated, f"{name} entries": one.entries}
    return Metric(
        name=f"rank-{k}",
        value=found.rate,
        rule=rule,
        mirror=mirror,
        interval=interval,
        detail=detail,
    )


def _tpir(searches: Mapping[str, Search], target: float, rule: str, mirror: str) -> Metric:
    """The mean of the galleries, with each gallery's point."""
    name = f"tpir@fpir={spelt(target)}"
    found = mean_tpir_at_fpir(list(searches.values()), target, rule=rule)
    if not found.resolved:
        fewest = min(point.non_mated for point in found.galleries)
        reason = f"FPIR {spelt(target)} is below what {fewest:,} non-mated probes of a gallery resolve"
        return Metric(name=name, value=None, rule=rule, mirror=mirror, reason=reason)
    detail: dict[str, int | float | str] = {}
    for gallery, point in zip(searches, found.galleries, strict=True):
        detail |= {
            gallery: point.tpir,
            f"{gallery} fpir": point.fpir,
            f"{gallery} threshold (cosine)": point.threshold,
            f"{gallery} mated": point.mated,
            f"{gallery} non-mated": point.non_mated,
            f"{gallery} false alarms": point.false_alarms,
        }
    return Metric(name=name, value=found.tpir, rule=rule, mirror=mirror, detail=detail)


def _joined(
    queries: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    galleries: Sequence[Side],
    probes: Side,
    targets: Sequence[float],
    mirror: str,
    spread_of: Callable[[Sequence[Search]], Mapping[int, Interval | None]],
) -> list[Metric]:
    """What ``ijb_1n.py`` prints: ranks in the joined galleries, and its pooled pairs under a name of their own."""
    templates = np.concatenate([gallery.templates for gallery in galleries])
    subjects = np.concatenate([gallery.subjects for gallery in galleries])
    entries = vectors[templates]
    found = search(queries, entries, probes.subjects, subjects)
    spread = spread_of([found])
    metrics = []
    for k in RANKS:
        ranked = rank_rate(found, k)
        metrics.append(
            Metric(
                name=f"rank-{k}",
                value=ranked.rate,
                rule="joined galleries",
                mirror=mirror,
                interval=spread[k],
                detail={"hits": ranked.hits, "mated searches": ranked.mated, "entries": found.entries},
            )
        )
    if not found.mated.all():
        return metrics
    for point in pooled_pair_tar(queries, entries, probes.subjects, subjects, pairs_per_probe=targets):
        metrics.append(
            Metric(
                name=f"pooled-pair-tar@pairs-per-probe={spelt(point.pairs_per_probe)}",
                value=point.tar,
                rule="ijb_1n",
                mirror=mirror,
                detail={
                    "threshold (cosine)": point.threshold,
                    "allowed pairs": point.allowed,
                    "pairs": point.pairs,
                    "accepted": point.accepted,
                    "probes": point.probes,
                },
            )
        )
    return metrics


def _scores(searches: Mapping[str, Search], probes: Side) -> dict[str, npt.NDArray[np.generic]]:
    """The outcome of each search; a probe without a mate has no mate score and position -1."""
    found = list(searches.values())
    mated = np.concatenate([one.mated for one in found])
    mate = np.concatenate([one.mate_scores for one in found])
    place = np.concatenate([one.above + one.level_later + 1 for one in found])
    return {
        "gallery": np.repeat(np.array(list(searches), dtype=np.str_), len(probes.templates)),
        "probe_subject": np.tile(probes.subjects, len(found)),
        "mate_score": np.where(mated, mate, np.float32("nan")),
        "rival_score": np.concatenate([one.rival_scores for one in found]),
        "rank": np.where(mated, place, -1),
    }
