"""Figures: confidence against the levels of each ladder, its histogram, the correlation of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve
from facebench.measures import histogram_figure, series_of
from facebench_confidence.ladders import LADDERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench_confidence.numbers import Confidences

    Doubles = npt.NDArray[np.float64]

_LABEL = "ln confidence, mean over blocks"
_WORDS = {
    "blur": ("Confidence against blur", "blur, pixels of standard deviation at 112 x 112"),
    "occlusion": ("Confidence against occlusion", "black blocks of 7 x 7"),
}
_GROUPS = {"clean": "clean", "blur": "blurred", "occlusion": "occluded"}


def figures(found: Confidences, matrix: Doubles | None) -> tuple[Curve, ...]:
    """All of them.

    Args:
        found: The confidences.
        matrix: Correlations of the blocks' similarities, (K, K); None where there are none.
    """
    made = [_climb(found, kind) for kind in LADDERS] + [_histogram(found)]
    return (*made, _rows(matrix)) if matrix is not None else tuple(made)


def _climb(found: Confidences, kind: str) -> Curve:
    """Mean over the faces at each level, and one standard deviation above and below."""
    levels, logs = found.ladder(kind)
    mean, spread, x = logs.mean(axis=0), logs.std(axis=0), np.array(levels)
    title, x_label = _WORDS[kind]
    return Curve(
        name=f"confidence-{kind}",
        title=title,
        x_label=x_label,
        y_label=_LABEL,
        series=(
            series_of("mean", x, mean),
            series_of("mean + 1 sd", x, mean + spread),
            series_of("mean - 1 sd", x, mean - spread),
        ),
    )


def _histogram(found: Confidences) -> Curve:
    """Confidences of clean faces, of blurred and of occluded ones, at all levels above the clean picture."""
    kinds = np.array([rung.kind for rung in found.rungs])
    groups = {name: found.logs[:, kinds == kind].ravel() for kind, name in _GROUPS.items()}
    curve = histogram_figure(groups, x_label=_LABEL)
    words = {"name": "confidences", "title": "Confidences", "y_label": "share of pictures in each bin"}
    return curve.model_copy(update=words)


def _rows(matrix: Doubles) -> Curve:
    """The correlation matrix of the blocks; the diagonal, which is 1, is left out."""
    places = np.arange(len(matrix))
    series = [
        series_of(f"block {row + 1}", (places + 1.0)[places != row], matrix[row][places != row]) for row in places
    ]
    return Curve(
        name="block-correlation",
        title="Correlation of similarities within two blocks",
        kind="matrix",
        x_label="block",
        y_label="Pearson correlation over pairs of people",
        series=tuple(series),
    )
