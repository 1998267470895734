"""How well single pairs of faces tell one person from two: error rates and distances of the two score sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric, MetricError
from facebench.measures import auc_metric, dprime_metric, eer_metric, interval_of, spelt, tar_metric
from facebench.metrics import bootstrap_intervals, operating_points, roc_curve, template_bootstrap
from facebench.metrics.facepairs import fisher_ratio

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench import Interval
    from facebench.metrics import OperatingPoint
    from facebench_separability.sides import PairScores

FNMR_AT = (1e-2, 1e-3)
TAR_AT = (1e-4,)
_FEW = 500_000  # pairs, all of which a replicate can weigh


def pair_metrics(scores: PairScores, *, samples: int, seed: int) -> list[Metric]:
    """Means, EER, AUC, d', Fisher's ratio, FNMR and TAR at false match rates; absent where a kind of pair is missing.

    Args:
        scores: Of both kinds of pairs.
        samples: Bootstrap replicates; 0 leaves intervals out.
        seed: Of the replicates.
    """
    means = [_mean("mean-genuine", scores.genuine), _mean("mean-impostor", scores.impostor)]
    if not scores.genuine.size:
        return means + _absent("no identity has two faces, so there is no genuine pair")
    points = operating_points(scores.genuine, scores.impostor, targets=[*FNMR_AT, *TAR_AT], rule="strict")
    spread = _intervals(scores, [point for point in points if point.resolved], samples=samples, seed=seed)
    curve = roc_curve(scores.genuine, scores.impostor)
    return [
        *means,
        eer_metric(curve, interval=spread.get("eer")),
        auc_metric(scores.genuine, scores.impostor, interval=spread.get("auc")),
        dprime_metric(scores.genuine, scores.impostor),
        _fisher(scores),
        *(_fnmr(point, spread.get(spelt(point.target))) for point in points[: len(FNMR_AT)]),
        *(tar_metric(point, interval=spread.get(spelt(point.target))) for point in points[len(FNMR_AT) :]),
    ]


def _mean(name: str, scores: npt.NDArray[np.float32]) -> Metric:
    if not scores.size:
        return Metric(name=name, value=None, unit="cosine", higher_is_better=None, reason="there is no such pair")
    return Metric(
        name=name,
        value=float(scores.mean(dtype=np.float64)),
        unit="cosine",
        higher_is_better=None,
        detail={"pairs": scores.size, "standard deviation": float(scores.std(dtype=np.float64))},
    )


def _absent(reason: str) -> list[Metric]:
    """What stands in place of the numbers that need both kinds of pairs."""
    return [
        Metric(name="eer", value=None, higher_is_better=False, rule="interpolation", reason=reason),
        Metric(name="auc", value=None, reason=reason),
        Metric(name="dprime", value=None, unit="sd", reason=reason),
        Metric(name="fdr", value=None, unit="1", reason=reason),
        *(
            Metric(name=f"fnmr@fmr={spelt(at)}", value=None, higher_is_better=False, rule="strict", reason=reason)
            for at in FNMR_AT
        ),
        *(Metric(name=f"tar@far={spelt(at)}", value=None, rule="strict", reason=reason) for at in TAR_AT),
    ]


def _fisher(scores: PairScores) -> Metric:
    try:
        return Metric(name="fdr", value=fisher_ratio(scores.genuine, scores.impostor), unit="1")
    except MetricError as error:
        return Metric(name="fdr", value=None, unit="1", reason=str(error))


def _fnmr(point: OperatingPoint, interval: Interval | None) -> Metric:
    """``fnmr@fmr=...``: what is missed where at most such a share of impostors is accepted."""
    found = tar_metric(point)
    update = {"name": f"fnmr@fmr={spelt(point.target)}", "higher_is_better": False}
    if found.value is None:
        return found.model_copy(update=update)
    turned = interval and interval.model_copy(update={"low": 1 - interval.high, "high": 1 - interval.low})
    return found.model_copy(update={**update, "value": 1 - found.value, "interval": turned})


def _intervals(scores: PairScores, points: list[OperatingPoint], *, samples: int, seed: int) -> dict[str, Interval]:
    """Of TAR at each target and, where pairs are few enough to weigh all of them, EER and AUC; people are drawn.

    Where the pairs show no error, or too few people are left in most replicates, there are none.
    """
    if not samples or scores.genuine.min() > scores.impostor.max():
        return {}
    kinds = scores.genuine_pairs, scores.impostor_pairs
    first, second = (np.concatenate([getattr(one, side) for one in kinds]) for side in ("first_id", "second_id"))
    values = np.concatenate([scores.genuine, scores.impostor])
    same = np.repeat([True, False], [scores.genuine.size, scores.impostor.size])
    random, targets = np.random.default_rng(seed), [point.target for point in points]
    named = {}
    try:
        if len(values) <= _FEW:
            found = bootstrap_intervals(
                values, same, subjects=(first, second), generator=random, targets=targets, samples=samples
            )
            named, tars = {"eer": found.eer, "auc": found.auc}, found.tar_strict
        else:
            people = np.arange(int(max(first.max(), second.max())) + 1)
            tars = template_bootstrap(
                values, same, first, second, subjects=people, generator=random, targets=targets, samples=samples
            ).tar_strict
    except MetricError:
        return {}
    named |= {spelt(target): one for target, one in zip(targets, tars, strict=True)}
    made = {name: interval_of(one) for name, one in named.items()}
    return {name: one for name, one in made.items() if one is not None}
