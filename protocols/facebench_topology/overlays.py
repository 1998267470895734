"""Batches of several methods over one axis: Figures 2b and 5 of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, Series
from facebench_topology.figures import MOST_BINS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 7  # methods that have a colour of their own
_ROOM = 0.04  # on either side, as a share of the axis
_DECADE = 10.0  # values further apart than this go on a logarithmic axis


def overlay(values: Mapping[str, Sequence[float]], *, name: str, title: str, x_label: str) -> dict[str, Curve]:
    """Histograms over common bins, one for each method.

    Bins are of equal width, or of equal ratio on a logarithmic axis where values lie further apart than a factor of
    ten: a method that was trained on the discrepancy and one that was not differ by factors of thousands.

    Args:
        values: Values of the batches by method; none empty.
        name: Of the figure.
        title: Of the figure.
        x_label: What the values are.

    Returns:
        By method, ready for ``facebench.figures.draw_together``.
    """
    every = np.concatenate([np.asarray(some, dtype=np.float64) for some in values.values()])
    low, high = float(every.min()), float(every.max())
    logarithmic = low > 0 and high > _DECADE * low
    if logarithmic:
        room = (high / low) ** _ROOM
        edges = np.geomspace(low / room, high * room, MOST_BINS + 1)
    else:
        gap = _ROOM * (high - low) or max(abs(high), 1.0) * 1e-6
        edges = np.linspace(low - gap, high + gap, MOST_BINS + 1)
    curves = {}
    for label, some in values.items():
        counts, _ = np.histogram(some, bins=edges)
        filled = np.flatnonzero(counts)
        # The filled bins with an empty one on either side, up at the first edge and down at the last, so that a
        # logarithmic axis can show it and no method's ground line hides another's.
        start, stop = max(filled[0] - 1, 0), min(filled[-1] + 2, MOST_BINS)
        bounds, share = edges[start : stop + 1], counts[start:stop] / len(some)
        x, y = np.append(bounds[0], bounds), np.concatenate([[0.0], share, [0.0]])
        curves[label] = Curve(
            name=name,
            title=title,
            kind="step",
            x_label=x_label,
            y_label="share of batches in each bin",
            x_scale="log" if logarithmic else "linear",
            series=(Series(name="batches", x=tuple(x.tolist()), y=tuple(y.tolist())),),
        )
    return curves
