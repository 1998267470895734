"""The figure of a fitted mixture, as the paper's figure 4: what was fitted, to which entropies, of which faces."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from facebench.figures import COLORS, DPI, HEIGHT, INK, PALE, WIDTH, write_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facebench_topofr.loss import Fitted

_EASY, _HARD, _RIGHT, _WRONG = COLORS[0], COLORS[1], COLORS[2], COLORS[3]
_POINTS, _BINS = 400, 24


def draw_mixture(fitted: Fitted, stem: Path, *, title: str) -> list[Path]:
    """Draws the two densities over a histogram, and below them a mark for every face.

    Args:
        fitted: Of one batch.
        stem: Where to write, without suffix.
        title: Above the figure.

    Returns:
        ``<stem>.png`` and ``<stem>.svg``. Drawn again, they have the same bytes.
    """
    return write_figure(partial(_figure, fitted, title), stem)


def _figure(fitted: Fitted, title: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    _draw_densities(upper, fitted)
    _draw_faces(lower, fitted)
    upper.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure


def _draw_densities(axes: Axes, fitted: Fitted) -> None:
    widest = float(fitted.entropies.max()) or 1.0
    places = np.linspace(0, widest * 1.02, _POINTS)
    easy, hard = fitted.mixture.densities(places)
    counts, edges = np.histogram(fitted.entropies, _BINS, (0, widest * 1.02), density=True)
    axes.grid(which="major", color="#DADADA", linewidth=0.7)
    axes.stairs(counts, edges, fill=True, color=PALE, alpha=0.3, label="faces")
    share = fitted.mixture.share
    axes.plot(places, easy, color=_EASY, linewidth=1.7, label=f"easy: half-normal, {share:.0%}")
    axes.plot(places, hard, color=_HARD, linewidth=1.7, linestyle=(0, (5, 2)), label=f"hard: uniform, {1 - share:.0%}")
    # A narrow half-normal would leave nothing of the rest to see.
    axes.set_ylim(0, 1.1 * max(float(counts.max()), float(hard.max()), min(float(easy.max()), 3 * float(counts.max()))))
    axes.set_ylabel("density, 1 / nats")
    axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8.5)


def _draw_faces(axes: Axes, fitted: Fitted) -> None:
    """Two rows of marks: faces nearest to their own class, and the others."""
    right = fitted.right.cpu().numpy()
    rows = [fitted.entropies[right], fitted.entropies[~right]]
    axes.eventplot(rows, lineoffsets=[1, 0], linelengths=0.7, linewidths=0.9, colors=[_RIGHT, _WRONG])
    axes.set_yticks([1, 0], [f"right ({len(rows[0])})", f"wrong ({len(rows[1])})"], color=INK)
    axes.set_ylim(-0.6, 1.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("entropy of the prediction, nats")
