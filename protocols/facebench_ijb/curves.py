"""The figures of identification in a Janus benchmark, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve
from facebench.measures import series_of, thinned
from facebench.metrics import roc_curve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebench.metrics import Search

_RANKS = 20


def cmc(searches: Mapping[str, Search]) -> Curve:
    """How often the mate is among the first k, by gallery."""
    series = []
    for name, search in searches.items():
        if not search.mated.any():
            continue
        place = (search.above + search.level_later)[search.mated]
        ranks = np.arange(1, min(_RANKS, search.entries) + 1)
        rates = np.searchsorted(np.sort(place), ranks) / len(place)
        series.append(series_of(name, ranks.astype(np.float64), rates))
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
            series.append(series_of(name, *thinned(curve, int(search.mated.sum()))))
    return Curve(
        name="open-set",
        title="Open-set identification",
        kind="step",
        x_label="false positive identification rate",
        y_label="true positive identification rate",
        x_scale="log",
        series=tuple(series),
    )
