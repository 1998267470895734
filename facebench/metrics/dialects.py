"""Three other rules for "accuracy over ten folds", so that tables made by other code can be matched, not compared.

On the same 6,000 pairs they give figures up to 0.2 points away from InsightFace's, and spreads that mean other things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import UnknownName
from facebench.metrics.checks import as_labels, as_matrix
from facebench.metrics.folds import fold_numbers
from facebench.metrics.vectors import unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.checks import Floats

    Bools = npt.NDArray[np.bool_]

DIALECTS = ("facex-zoo", "magface", "xqlfw")


@dataclass(frozen=True, slots=True)
class DialectAccuracy:
    """Accuracy over folds by somebody else's rule.

    Attributes:
        mean: Mean of the folds.
        std: Population standard deviation over folds (ddof 0), which MagFace prints.
        standard_error: Standard deviation (ddof 1) over the root of the number of folds, which FaceX-Zoo prints.
        folds: Accuracy of each fold.
        thresholds: Of each fold: angle / pi (magface), dot product (facex-zoo) or cosine distance (xqlfw).
        rule: One of ``DIALECTS``.
    """

    mean: float
    std: float
    standard_error: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    rule: str


def dialect_accuracy(
    first: npt.ArrayLike, second: npt.ArrayLike, same: npt.ArrayLike, *, rule: str, folds: int | npt.ArrayLike = 10
) -> DialectAccuracy:
    """Returns the accuracy over folds as other projects compute it.

    * ``magface`` (MagFace ``eval_1v1.py``, after SphereFace): angle / pi between vectors from which the mean of the
      other folds' vectors was subtracted; thresholds 0 to 4 in steps of 0.01, of which the first hundred matter; most
      right decisions; accept below.
    * ``facex-zoo`` (``lfw_evaluator.py``): dot product in float32; 1,000 steps from the lowest to the highest score of
      the other folds, the first of the largest TPR - FPR; a score equal to the threshold is wrong on both sides.
    * ``xqlfw`` (``evaluate.py``): cosine distance; thresholds 0 to 2 in steps of 0.001; most right decisions; accept
      below.

    Args:
        first: One vector a pair, (N, D); scaled to unit length here.
        second: The other one, (N, D).
        same: Whether both show one person, (N,).
        rule: One of ``DIALECTS``.
        folds: Runs of consecutive pairs, or the fold of each pair, (N,).

    Raises:
        MetricError: If vectors, flags or folds are not as described.
        UnknownName: If there is no such rule.
    """
    if rule not in DIALECTS:
        raise UnknownName("accuracy dialect", rule, DIALECTS)
    left, right = unit(as_matrix(first)), unit(as_matrix(second))
    flags = as_labels(same, len(left), what="same flags")
    fold, count = fold_numbers(folds, flags.size)
    found = [_fold(rule, left, right, flags, fold != k) for k in range(count)]
    accuracies = np.array([accuracy for accuracy, _ in found])
    return DialectAccuracy(
        mean=float(accuracies.mean()),
        std=float(accuracies.std()),
        standard_error=float(accuracies.std(ddof=1) / np.sqrt(count)),
        folds=tuple(accuracies.tolist()),
        thresholds=tuple(threshold for _, threshold in found),
        rule=rule,
    )


def _fold(rule: str, left: Floats, right: Floats, same: Bools, train: Bools) -> tuple[float, float]:
    """Accuracy on the pairs that are not ``train`` and the threshold that ``train`` chose."""
    if rule == "facex-zoo":
        return _by_youden(np.sum(left.astype(np.float32) * right.astype(np.float32), axis=1), same, train)
    if rule == "xqlfw":
        return _by_most_right(1.0 - np.sum(left * right, axis=1), np.arange(0, 2, 0.001), same, train)
    centre = np.concatenate([left[train], right[train]]).mean(axis=0)
    cosine = np.sum(unit(left - centre) * unit(right - centre), axis=1)
    return _by_most_right(np.arccos(np.clip(cosine, -1.0, 1.0)) / np.pi, np.arange(0, 4, 0.01), same, train)


def _by_most_right(distances: Floats, grid: npt.NDArray[np.float64], same: Bools, train: Bools) -> tuple[float, float]:
    accepted = np.searchsorted(np.sort(distances[train & same]), grid, side="left")
    wrong = np.searchsorted(np.sort(distances[train & ~same]), grid, side="left")
    threshold = float(grid[np.argmax(accepted - wrong)])
    return float(np.mean((distances[~train] < threshold) == same[~train])), threshold


def _by_youden(scores: Floats, same: Bools, train: Bools) -> tuple[float, float]:
    low, high = scores[train].min(), scores[train].max()
    grid = low + np.arange(1000) * (high - low) / 1000
    genuine, impostor = np.sort(scores[train & same]), np.sort(scores[train & ~same])
    tpr = 1.0 - np.searchsorted(genuine, grid, side="right") / max(genuine.size, 1)
    fpr = 1.0 - np.searchsorted(impostor, grid, side="right") / max(impostor.size, 1)
    threshold = float(grid[np.argmax(tpr - fpr)])
    test = ~train
    right = np.count_nonzero(scores[test & same] > threshold) + np.count_nonzero(scores[test & ~same] < threshold)
    return float(right / np.count_nonzero(test)), threshold
