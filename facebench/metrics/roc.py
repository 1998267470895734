"""The receiver operating characteristic and the area under it: exact counts first, rates only at the end.

A comparison is accepted at ``score >= threshold``; equal scores are accepted or rejected together, so a curve has one
point for each distinct score and one for the threshold above them all. Counts are integers: rates are a single
division away, and no rule built on the curve has to fear the rounding of a running sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facebench.metrics.checks import as_sets

if TYPE_CHECKING:
    from facebench.metrics.checks import Floats

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """A ROC curve with P points, from the point that rejects everything to the one that accepts everything.

    Attributes:
        thresholds: Descending, shape ``(P,)``, float64; the first is infinity, the others are scores.
        false_accepts: Impostor comparisons at or above each threshold, shape ``(P,)``, int64, rising.
        true_accepts: Genuine comparisons at or above each threshold, shape ``(P,)``, int64, rising.
        impostors: How many impostor comparisons there are.
        genuine: How many genuine comparisons there are.
    """

    thresholds: npt.NDArray[np.float64]
    false_accepts: npt.NDArray[np.int64]
    true_accepts: npt.NDArray[np.int64]
    impostors: int
    genuine: int

    @property
    def far(self) -> npt.NDArray[np.float64]:
        """False accept rate of each point, shape ``(P,)``, in [0, 1]; also called FMR and FPR."""
        return self.false_accepts / self.impostors

    @property
    def tar(self) -> npt.NDArray[np.float64]:
        """True accept rate of each point, shape ``(P,)``, in [0, 1]; 1 - FNMR, also called TPR."""
        return self.true_accepts / self.genuine


def roc_curve(genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, drop_collinear: bool = False) -> Roc:
    """Returns the ROC curve of two sets of scores, as scikit-learn's ``roc_curve`` draws it.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``.
        drop_collinear: Leaves out the inner points at which the second differences of the false and of the true
            counts are both 0. The line stays the same, but a rule that picks a *point* can then pick another one;
            scikit-learn does it by default (``drop_intermediate``), so the published face-recognition tables do too.

    Raises:
        MetricError: If scores are not finite numbers, or a class is missing.
    """
    sets = as_sets(genuine, impostor)
    return curve_of(sets.genuine, sets.impostor, drop_collinear=drop_collinear)


def curve_of(genuine: Floats, impostor: Floats, *, drop_collinear: bool) -> Roc:
    """Draws the curve of checked scores; ``genuine`` may be empty, which a part of a curve needs."""
    ascending = np.concatenate([genuine, impostor])
    ascending.sort()
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    distinct = ascending[first]
    accepted = (ascending.size - first)[::-1]
    per_score = np.bincount(np.searchsorted(distinct, genuine), minlength=distinct.size)
    true = np.cumsum(per_score[::-1])
    false = accepted - true
    thresholds = distinct[::-1]
    if drop_collinear:
        bends = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        keep = np.ones(false.size, dtype=np.bool_)
        keep[1:-1] = bends
        true, false, thresholds = true[keep], false[keep], thresholds[keep]
    return Roc(
        thresholds=np.concatenate([[np.inf], thresholds]).astype(np.float64, copy=False),
        false_accepts=np.concatenate([[0], false]).astype(np.int64, copy=False),
        true_accepts=np.concatenate([[0], true]).astype(np.int64, copy=False),
        impostors=impostor.size,
        genuine=genuine.size,
    )


def auc(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> float:
    """Returns the area under the ROC curve, in [0, 1].

    It is the trapezoid area over all points, which equals the Mann-Whitney statistic: the share of (genuine, impostor)
    couples in which the genuine score is higher, equal ones counting half. Only the smaller set is sorted; the counts
    are integers, so the result is the correctly rounded quotient.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``.

    Raises:
        MetricError: If scores are not finite numbers, or a class is missing.
    """
    sets = as_sets(genuine, impostor)
    few, many = sorted((sets.genuine, sets.impostor), key=np.size)
    few = np.sort(few)
    below = 0  # twice the couples in which the member of `few` is the lower one, ties counting once
    for start in range(0, many.size, _CHUNK):
        chunk = many[start : start + _CHUNK]
        below += int(np.searchsorted(few, chunk, side="left").sum() + np.searchsorted(few, chunk, side="right").sum())
    couples = 2 * few.size * many.size
    genuine_wins = below if many is sets.genuine else couples - below
    return genuine_wins / couples
