"""From the plain records of ``facebench.metrics`` to the named metrics and figures of a result.

Protocols share these, so that one number has one name, one spelling and one shape everywhere. Whatever else a metric
should say (``mirror``, ``score``) is passed through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import MetricError
from facebench.metrics import auc, crossing, dprime
from facebench.results import Curve, Interval, Metric, Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench.metrics import IntervalEstimate, OperatingPoint, Roc

CURVE_POINTS = 400
HISTOGRAM_BINS = 60


def spelt(rate: float) -> str:
    """A rate as metric names spell it: 0.001 is ``1e-3``."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def interval_of(estimate: IntervalEstimate | None) -> Interval | None:
    """An interval as a result keeps it; None where no replicate or fold differed from another.

    Resampling cannot see errors that the sample does not hold: without a single one it would promise certainty.
    """
    if estimate is None or estimate.low == estimate.high:
        return None
    return Interval(
        low=estimate.low, high=estimate.high, level=estimate.level, method=estimate.method, samples=estimate.samples
    )


def tar_metric(point: OperatingPoint, *, interval: Interval | None = None, unit: str = "cosine", **more: Any) -> Metric:
    """``tar@far=...`` with what lies behind it, or its absence where impostors are too few.

    Args:
        point: The operating point.
        interval: Its uncertainty.
        unit: What the threshold is measured in.
        **more: Further fields of the metric.
    """
    name = f"tar@far={spelt(point.target)}"
    if not point.resolved:
        reason = f"FAR {spelt(point.target)} is below what {point.impostors:,} impostor pairs resolve"
        return Metric(name=name, value=None, rule=point.rule, reason=reason, **more)
    detail: dict[str, int | float | str] = {
        "far": point.far,
        f"threshold ({unit})": point.threshold,
        "accepted genuine": point.accepted_genuine,
        "genuine": point.genuine,
        "accepted impostors": point.accepted_impostors,
        "impostors": point.impostors,
    }
    return Metric(name=name, value=point.tar, rule=point.rule, interval=interval, detail=detail, **more)


def auc_metric(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, interval: Interval | None = None, **more: Any
) -> Metric:
    """``auc`` over all points of the ROC."""
    return Metric(name="auc", value=auc(genuine, impostor), interval=interval, **more)


def eer_metric(curve: Roc, *, interval: Interval | None = None, unit: str = "cosine", **more: Any) -> Metric:
    """``eer`` by linear interpolation, with both rates at the nearest threshold."""
    found = crossing(curve)
    detail: dict[str, int | float | str] = {
        "far": found.far,
        "frr": found.frr,
        f"threshold ({unit})": found.threshold,
    }
    return Metric(
        name="eer",
        value=found.value,
        rule=found.rule,
        higher_is_better=False,
        interval=interval,
        detail=detail,
        **more,
    )


def dprime_metric(genuine: npt.ArrayLike, impostor: npt.ArrayLike, **more: Any) -> Metric:
    """``dprime``, or why there is none: scores that do not vary have no spread to measure it in."""
    try:
        return Metric(name="dprime", value=dprime(genuine, impostor), unit="sd", **more)
    except MetricError as error:
        return Metric(name="dprime", value=None, unit="sd", reason=str(error), **more)


def thinned(curve: Roc, whole: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A curve as stored: FAR, evenly spread on a logarithmic axis from half an impostor on, and the share accepted.

    Args:
        curve: With all its points.
        whole: What the accepted genuine comparisons are a share of.
    """
    wanted = np.geomspace(0.5, curve.impostors, CURVE_POINTS)
    # Of all points at or below a rate the last one, which accepts most.
    points = np.unique(np.searchsorted(curve.false_accepts, wanted, side="right") - 1)
    far = np.maximum(curve.false_accepts[points], 0.5) / curve.impostors
    return far, curve.true_accepts[points] / whole


def series_of(name: str, x: npt.NDArray[np.floating[Any]], y: npt.NDArray[np.floating[Any]]) -> Series:
    """Two arrays as a result stores them."""
    return Series(name=name, x=tuple(x.tolist()), y=tuple(y.tolist()))


def roc_figure(curve: Roc) -> Curve:
    """TAR against FAR on a logarithmic axis that starts at half an impostor."""
    return Curve(
        name="roc",
        title="ROC",
        kind="step",
        x_label="false accept rate",
        y_label="true accept rate",
        x_scale="log",
        series=(series_of("ROC", *thinned(curve, curve.genuine)),),
    )


def det_figure(curve: Roc) -> Curve:
    """False reject rate against FAR, both logarithmic."""
    far, tar = thinned(curve, curve.genuine)
    return Curve(
        name="det",
        title="DET",
        kind="step",
        x_label="false accept rate",
        y_label="false reject rate",
        x_scale="log",
        y_scale="log",
        series=(series_of("DET", far, 1.0 - tar),),
    )


def histogram_figure(
    groups: Mapping[str, npt.NDArray[np.floating[Any]]],
    *,
    marks: Mapping[str, float] | None = None,
    x_label: str = "cosine similarity",
) -> Curve:
    """Shares of scores in bins of equal width, one histogram a group.

    Args:
        groups: Scores by name, each (N,), as ``{"impostor": ..., "genuine": ...}``.
        marks: Thresholds by name.
        x_label: What the scores are.
    """
    filled: Sequence[npt.NDArray[np.floating[Any]]] = [values for values in groups.values() if len(values)]
    low = min((float(values.min()) for values in filled), default=0.0)
    high = max((float(values.max()) for values in filled), default=1.0)
    edges = np.linspace(low, max(high, low + 1e-6) + 1e-9, HISTOGRAM_BINS + 1)
    series = []
    for name, values in groups.items():
        counts, _ = np.histogram(values, bins=edges)
        share = counts / max(len(values), 1)
        series.append(series_of(name, edges[:-1], share))
    return Curve(
        name="scores",
        title="Scores",
        kind="histogram",
        x_label=x_label,
        y_label="share of pairs in each bin",
        series=tuple(series),
        marks=dict(marks or {}),
    )
