"""From what was measured of a set to named metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.measures import interval_of
from facebench.metrics import cluster_bootstrap
from facebench_separability.pairs import pair_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from facebench_separability.sides import Side
    from facebench_separability.thresholds import Threshold

    Doubles = npt.NDArray[np.float64]
    Detail = dict[str, int | float | str]

COUNTS = ("first-occurrence", "strict", "greedy")
_QUANTILES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99, "99.9 %": 0.999}


def separable(side: Side, threshold: Threshold, rule: str, *, prefix: int | None = None) -> int:
    """How many identities are separate at a threshold that was found, of all or of the first so many."""
    count: Callable[..., int] = {
        "first-occurrence": side.near.first_occurrence,
        "strict": side.near.strict,
        "greedy": side.near.greedy,
    }[rule]
    return int(count(threshold.value, prefix))


def side_metrics(
    side: Side, thresholds: Sequence[Threshold], *, suffix: str, judged: Side, samples: int, seed: int
) -> list[Metric]:
    """All metrics of one set, always the same ones in the same order.

    Args:
        side: What was measured of it.
        thresholds: The headline's first.
        suffix: Of the names; metrics with one are a yardstick and have no better or worse.
        judged: The judged set, to be cut to this one's size where it is larger.
        samples: Bootstrap replicates.
        seed: Of the replicates.
    """
    found = [_separable(side, one, rule, judged) for one in thresholds for rule in COUNTS]
    found += [_nearest(side), *_between(side)]
    found += [_above(side, place, one) for place, one in enumerate(thresholds)]
    found += [*_within(side, thresholds, samples=samples, seed=seed)]
    found += [_unique(side, one) for one in thresholds if one.fixed]
    found += pair_metrics(side.scores, samples=samples, seed=seed)
    if suffix:
        found = [one.model_copy(update={"name": f"{one.name}{suffix}", "higher_is_better": None}) for one in found]
    return found


def _separable(side: Side, threshold: Threshold, rule: str, judged: Side) -> Metric:
    name = f"identities-separable@{threshold.name}"
    if threshold.value is None:
        return Metric(name=name, value=None, rule=rule, reason=threshold.reason)
    count = separable(side, threshold, rule)
    detail: Detail = {
        "separable": count,
        "identities": side.count,
        "threshold (cosine)": threshold.value,
        "impostor pairs above it": threshold.above,
    }
    if side.count < judged.count:
        cut = separable(judged, threshold, rule, prefix=side.count)
        detail["as many of the judged identities"] = cut / side.count
    return Metric(name=name, value=count / side.count, rule=rule, detail=detail)


def _unique(side: Side, threshold: Threshold) -> Metric:
    count = separable(side, threshold, "first-occurrence")
    detail: Detail = {"unique": count, "identities": side.count}
    return Metric(
        name=f"uniqueness@{threshold.name}", value=count / side.count, rule="dcface-similarity", detail=detail
    )


def _nearest(side: Side) -> Metric:
    nearest = np.asarray(side.near.nearest, dtype=np.float64)
    return Metric(
        name="nearest-similarity",
        value=float(nearest.mean()),
        unit="cosine",
        higher_is_better=False,
        detail=quantiles(nearest) | {"largest": float(nearest.max())},
    )


def quantiles(values: npt.NDArray[np.floating]) -> Detail:
    """Median and upper percentiles by name."""
    return {name: float(np.quantile(values, at)) for name, at in _QUANTILES.items()}


def _between(side: Side) -> list[Metric]:
    """All pairs of identities."""
    mean, std = float(side.near.mean), float(side.near.std)
    pairs: Detail = {"pairs": side.count * (side.count - 1) // 2}
    found = [
        Metric(name="similarity-between", value=mean, unit="cosine", higher_is_better=False, detail=pairs),
        Metric(name="similarity-between-std", value=std, unit="cosine", higher_is_better=None, detail=pairs),
    ]
    if std > 0:
        found.append(Metric(name="effective-dimension", value=std**-2, unit="dimensions", rule="1/std^2"))
    else:
        reason = "all pairs of identities are equally similar"
        found.append(Metric(name="effective-dimension", value=None, unit="dimensions", rule="1/std^2", reason=reason))
    return found


def _above(side: Side, place: int, threshold: Threshold) -> Metric:
    name = f"pairs-above@{threshold.name}"
    if threshold.value is None:
        return Metric(name=name, value=None, higher_is_better=False, reason=threshold.reason)
    pairs = side.count * (side.count - 1) // 2
    count = int(side.near.above[place])
    detail: Detail = {"above": count, "pairs": pairs}
    return Metric(name=name, value=count / pairs, higher_is_better=False, detail=detail)


def _within(side: Side, thresholds: Sequence[Threshold], *, samples: int, seed: int) -> list[Metric]:
    """Closeness within identities, each identity counting the same."""
    within = side.within
    found = [
        _mean("intra-similarity", "reference", within.pairwise, samples=samples, seed=seed),
        _mean("similarity-to-centre", "reference", within.to_centre, samples=samples, seed=seed),
        _mean("similarity-to-centre", "leave-one-out", within.left_out, samples=samples, seed=seed),
    ]
    for place, one in enumerate(thresholds):
        name, rule = f"consistency@{one.name}", "dcface-similarity"
        if one.value is None:
            found.append(Metric(name=name, value=None, rule=rule, reason=one.reason))
        else:
            shares = within.consistent[place]
            found.append(_mean(name, rule, shares, unit="fraction", better=True, samples=samples, seed=seed))
    return found


def _mean(
    name: str,
    rule: str,
    values: Doubles,
    *,
    samples: int,
    seed: int,
    unit: str = "cosine",
    better: bool | None = None,
) -> Metric:
    """The mean over the identities that have a value."""
    usable = values[~np.isnan(values)]
    if not usable.size:
        reason = "no identity has two faces"
        return Metric(name=name, value=None, unit=unit, higher_is_better=better, rule=rule, reason=reason)
    interval = None
    if samples and usable.size > 1:
        random = np.random.default_rng(seed)
        people = np.arange(usable.size)
        interval = interval_of(cluster_bootstrap(usable[:, None], people, generator=random, samples=samples)[0])
    low, middle = (float(np.quantile(usable, at)) for at in (0.05, 0.5))
    return Metric(
        name=name,
        value=float(usable.mean()),
        unit=unit,
        higher_is_better=better,
        rule=rule,
        interval=interval,
        detail={"identities": usable.size, "5 %": low, "median": middle},
    )
