"""Histograms of few values: as many bins as they can fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

MOST_BINS = 60


def bins_for(count: int) -> int:
    """How many bins a histogram of so many values has: 20 for 100, never more than 60."""
    return min(MOST_BINS, max(5, round(2 * float(np.sqrt(count)))))


def histogram(
    groups: Mapping[str, Numbers],
    *,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    marks: Mapping[str, float] | None = None,
) -> Curve:
    """Shares of values in common bins of equal width, one histogram a group.

    Args:
        groups: Values by name, (M,) each, none empty.
        name: Of the figure.
        title: Of the figure.
        x_label: What the values are.
        y_label: What the shares are of.
        marks: Positions to be marked, by name.
    """
    every = np.concatenate(list(groups.values()))
    low, high = float(every.min()), float(every.max())
    room = 1e-3 * (high - low) or max(abs(low), 1.0) * 1e-6
    edges = np.linspace(low - room, high + room, bins_for(max(map(len, groups.values()))) + 1)
    series = []
    for group, values in groups.items():
        counts, _ = np.histogram(values, bins=edges)
        share = counts / len(values)
        series.append(Series(name=group, x=tuple(edges[:-1].tolist()), y=tuple(share.tolist())))
    return Curve(
        name=name,
        title=title,
        kind="histogram",
        x_label=x_label,
        y_label=y_label,
        series=tuple(series),
        marks=dict(marks or {}),
    )
