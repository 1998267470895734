"""The two figures of a verification set, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.measures import histogram_figure, roc_figure
from facebench.metrics import roc_curve

if TYPE_CHECKING:
    from facebench import Curve
    from facebench_verification.numbers import Comparison


def roc(comparison: Comparison) -> Curve:
    """TAR against FAR."""
    return roc_figure(roc_curve(comparison.genuine, comparison.impostor))


def histogram(comparison: Comparison, threshold: float) -> Curve:
    """Genuine and impostor scores, with the mean threshold of the folds."""
    groups = {"impostor": comparison.impostor, "genuine": comparison.genuine}
    return histogram_figure(groups, marks={"threshold": threshold})
