"""The two figures of a verification set, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Series
from facebench.metrics import roc_curve

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench_verification.numbers import Comparison

_POINTS = 400  # of a stored curve
_BINS = 60


def roc(comparison: Comparison) -> Curve:
    """TAR against FAR; the FAR axis is logarithmic and starts at one impostor."""
    found = roc_curve(comparison.genuine, comparison.impostor, drop_collinear=True)
    shown = found.far > 0
    # The best TAR without any false accept belongs to the left end of a logarithmic axis.
    floor = 1.0 / len(comparison.impostor)
    start = float(found.tar[~shown].max(initial=0.0))
    x = np.concatenate([[floor / 2], found.far[shown]])
    y = np.concatenate([[start], found.tar[shown]])
    keep = _thinned(x)
    series = Series(name="ROC", x=tuple(x[keep].tolist()), y=tuple(y[keep].tolist()))
    return Curve(
        name="roc",
        title="ROC",
        kind="step",
        x_label="false accept rate",
        y_label="true accept rate",
        x_scale="log",
        series=(series,),
    )


def _thinned(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Points spread evenly on a logarithmic axis, the ends always among them."""
    if len(x) <= _POINTS:
        return np.arange(len(x))
    wanted = np.geomspace(x[0], x[-1], _POINTS)
    return np.unique(np.concatenate([[0], np.minimum(np.searchsorted(x, wanted), len(x) - 1), [len(x) - 1]]))


def histogram(comparison: Comparison, threshold: float) -> Curve:
    """Densities of genuine and impostor scores, with the mean threshold of the folds."""
    scores = comparison.scores
    edges = np.linspace(scores.min(), scores.max() + 1e-9, _BINS + 1)
    series = []
    for name, values in (("impostor", comparison.impostor), ("genuine", comparison.genuine)):
        counts, _ = np.histogram(values, bins=edges)
        share = counts / max(len(values), 1)
        series.append(Series(name=name, x=tuple(edges[:-1].tolist()), y=tuple(share.tolist())))
    return Curve(
        name="scores",
        title="Scores",
        kind="histogram",
        x_label="cosine similarity",
        y_label="share of pairs in each bin",
        series=tuple(series),
        marks={"threshold": threshold},
    )
