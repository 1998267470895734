"""The figures of a Janus benchmark, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Series
from facebench.metrics import roc_curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench.metrics import Roc, Search

_POINTS = 400  # of a stored curve
_BINS = 60
_RANKS = 20

_Line = tuple["npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]


def _thinned(curve: Roc, whole: int) -> _Line:
    """FAR, evenly spread on a logarithmic axis that starts at half an impostor, and the share of ``whole`` accepted."""
    wanted = np.geomspace(0.5, curve.impostors, _POINTS)
    # Of all points at or below a rate the last one, which accepts most.
    points = np.unique(np.searchsorted(curve.false_accepts, wanted, side="right") - 1)
    far = np.maximum(curve.false_accepts[points], 0.5) / curve.impostors
    return far, curve.true_accepts[points] / whole


def roc(curve: Roc) -> Curve:
    """TAR against FAR."""
    return Curve(
        name="roc",
        title="ROC",
        kind="step",
        x_label="false accept rate",
        y_label="true accept rate",
        x_scale="log",
        series=(_series("ROC", *_thinned(curve, curve.genuine)),),
    )


def det(curve: Roc) -> Curve:
    """False reject rate against FAR, both logarithmic."""
    far, tar = _thinned(curve, curve.genuine)
    return Curve(
        name="det",
        title="DET",
        kind="step",
        x_label="false accept rate",
        y_label="false reject rate",
        x_scale="log",
        y_scale="log",
        series=(_series("DET", far, 1.0 - tar),),
    )


def histogram(genuine: npt.NDArray[np.float32], impostor: npt.NDArray[np.float32], marks: Mapping[str, float]) -> Curve:
    """Densities of both kinds of scores, with thresholds marked."""
    low = min(float(genuine.min()), float(impostor.min()))
    high = max(float(genuine.max()), float(impostor.max())) + 1e-6
    edges = np.linspace(low, high, _BINS + 1)
    series = []
    for name, values in (("impostor", impostor), ("genuine", genuine)):
        counts, _ = np.histogram(values, bins=edges)
        series.append(_series(name, edges[:-1], counts / len(values)))
    return Curve(
        name="scores",
        title="Scores",
        kind="histogram",
        x_label="cosine similarity of templates",
        y_label="share of pairs in each bin",
        series=tuple(series),
        marks=dict(marks),
    )


def cmc(searches: Mapping[str, Search]) -> Curve:
    """How often the mate is among the first k, by gallery."""
    series = []
    for name, search in searches.items():
        if not search.mated.any():
            continue
        place = (search.above + search.level_later)[search.mated]
        ranks = np.arange(1, min(_RANKS, search.entries) + 1)
        rates = np.searchsorted(np.sort(place), ranks) / len(place)
        series.append(_series(name, ranks.astype(np.float64), rates))
    return Curve(
        name="cmc",
        title="Closed-set identification",
        kind="step",
        x_label="rank",
        y_label="share of mated probes found",
        series=tuple(series),
    )


def open_set(searches: Mapping[str, Search]) -> Curve:
    """TPIR, mate first and above the threshold, against FPIR, by gallery."""
    series = []
    for name, search in searches.items():
        first = search.mated & (search.above + search.level == 0)
        alarms = search.rival_scores[~search.mated]
        if first.any() and alarms.size:
            curve = roc_curve(search.mate_scores[first], alarms)
            series.append(_series(name, *_thinned(curve, int(search.mated.sum()))))
    return Curve(
        name="open-set",
        title="Open-set identification",
        kind="step",
        x_label="false positive identification rate",
        y_label="true positive identification rate",
        x_scale="log",
        series=tuple(series),
    )


def _series(name: str, x: npt.NDArray[np.float64], y: Sequence[float] | npt.NDArray[np.float64]) -> Series:
    return Series(name=name, x=tuple(x.tolist()), y=tuple(np.asarray(y, dtype=np.float64).tolist()))
