"""The 1:N part: probes searched in each gallery, with mates in one and none in the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.measures import interval_of, spelt
from facebench.metrics import mean_tpir_at_fpir, pooled_pair_tar, rank_rate, search, wilson
from facebench_ijb.curves import cmc, open_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench import Curve
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
) -> Identified:
    """Searches all probes in each gallery.

    Args:
        vectors: Unit vectors of templates, (T, D).
        galleries: One template of each enrolled subject.
        probes: Templates to search.
        fpir: False positive identification rates.
        mirror: How mirrors were fused, to be told with each metric.

    Raises:
        MetricError: When no probe has a mate.
    """
    queries = vectors[probes.templates]
    searches = {
        gallery.name: search(queries, vectors[gallery.templates], probes.subjects, gallery.subjects)
        for gallery in galleries
    }
    metrics = [_rank(searches, k, rule, mirror) for rule in ("reference", "strict") for k in RANKS]
    targets = sorted(dict.fromkeys(fpir))
    said = []
    if all(found.mated.any() and not found.mated.all() for found in searches.values()):
        metrics += [_tpir(searches, rate, rule, mirror) for rule in ("reference", "strict") for rate in targets]
    else:
        said.append("open-set metrics are left out: a gallery lacks mated or non-mated probes")
    if len(galleries) > 1:
        metrics += _joined(queries, vectors, galleries, probes, targets, mirror)
    curves = tuple(curve for curve in (cmc(searches), open_set(searches)) if curve.series)
    return Identified(tuple(metrics), curves, _scores(searches, probes), tuple(said))


def _rank(searches: Mapping[str, Search], k: int, rule: str, mirror: str) -> Metric:
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
        interval=interval_of(wilson(found.hits, found.mated)),
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
) -> list[Metric]:
    """What ``ijb_1n.py`` prints: ranks in the joined galleries, and its pooled pairs under a name of their own."""
    templates = np.concatenate([gallery.templates for gallery in galleries])
    subjects = np.concatenate([gallery.subjects for gallery in galleries])
    entries = vectors[templates]
    found = search(queries, entries, probes.subjects, subjects)
    metrics = []
    for k in RANKS:
        ranked = rank_rate(found, k)
        metrics.append(
            Metric(
                name=f"rank-{k}",
                value=ranked.rate,
                rule="joined galleries",
                mirror=mirror,
                interval=interval_of(wilson(ranked.hits, ranked.mated)),
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
