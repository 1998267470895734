"""Verification by cross-validated folds: the accuracy, VAL@FAR and ROC of LFW, CFP-FP, AgeDB-30, CALFW and CPLFW.

A threshold chosen on the other folds is applied to each fold in turn. Input is the squared Euclidean distance of unit
vectors (:func:`facebench.metrics.vectors.pair_distances`), for that is what the reference compares; folds are runs of
consecutive pairs in file order, their sizes as scikit-learn's unshuffled ``KFold`` makes them, or are given.

Every count at every threshold comes from one binning of the distances and a running sum, never from a loop over
thresholds: with the counts of each fold, those of the other nine are the total minus them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_labels, as_rate, as_scores

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

FoldRule = Literal["reference", "strict"]
"""How a fold's threshold is chosen; see :func:`fold_accuracy`."""

# A last-digit excess over 4 is rounding; more is a vector that is not of unit length.
_LARGEST = 4 + 1e-6


@dataclass(frozen=True, slots=True)
class FoldAccuracy:
    """Accuracy over folds.

    Attributes:
        mean: Mean of the fold accuracies, in [0, 1].
        std: Their population standard deviation (ddof 0), the "+-" of InsightFace's tables.
        standard_error: Standard deviation (ddof 1) over the root of the number of folds, the "+-" of LFW and FaceX-Zoo;
            a third of ``std`` for ten folds. Tables that do not say which of the two they print cannot be compared.
        folds: Accuracy of each fold.
        thresholds: Squared distance that each fold's decision was made at, chosen on the other folds.
        best_threshold: Mean of ``thresholds``.
        rule: ``"reference"`` or ``"strict"``.
    """

    mean: float
    std: float
    standard_error: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    best_threshold: float
    rule: str


@dataclass(frozen=True, slots=True)
class ValAtFar:
    """Validation rate at a target false accept rate, over folds.

    Attributes:
        val: Mean over folds of the share of same pairs accepted, in [0, 1].
        val_std: Population standard deviation (ddof 0) of it.
        far: Mean over folds of the share of different pairs accepted; close to the target, not equal to it.
        folds: Validation rate of each fold.
        thresholds: Squared distance of each fold's decision; 0 where the other folds cannot reach the target.
        target: The false accept rate aimed at.
    """

    val: float
    val_std: float
    far: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    target: float


@dataclass(frozen=True, slots=True, eq=False)
class FoldRoc:
    """The mean of the folds' ROC curves on a grid of T squared distances.

    Attributes:
        thresholds: The grid, shape ``(T,)``, rising; accept at ``distance < threshold``.
        far: Mean over folds of the share of different pairs accepted, shape ``(T,)``.
        tar: Mean over folds of the share of same pairs accepted, shape ``(T,)``.
    """

    thresholds: npt.NDArray[np.float64]
    far: npt.NDArray[np.float64]
    tar: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """Trapezoid area under the curve; near :func:`facebench.metrics.roc.auc` of all pairs, not equal to it."""
        return float(np.trapezoid(self.tar, self.far))


def fold_accuracy(
    distances: npt.ArrayLike,
    same: npt.ArrayLike,
    *,
    folds: int | npt.ArrayLike = 10,
    rule: FoldRule = "reference",
) -> FoldAccuracy:
    """Returns the accuracy of each fold at the threshold that is best on the other folds.

    Rule ``"reference"`` is that of InsightFace's arcface_torch ``eval/verification.py``, shared by CVLface, AdaFace,
    face.evoLVe and TopoFR: thresholds ``arange(0, 4, 0.01)``, accept at ``distance < t``, the first (smallest) t of the
    highest accuracy.

    Rule ``"strict"`` has no grid: candidates are the distances of the training folds, accept at ``distance <= t`` (at
    cosine >= 1 - t / 2), and of all candidates with the highest training accuracy the largest distance, the lowest
    cosine, is taken. It depends on the order of the scores alone, not on their scale.

    Args:
        distances: Squared Euclidean distances of unit vectors, shape ``(N,)``, 0 to 4.
        same: True or 1 where both images show one person, shape ``(N,)``.
        folds: How many runs of consecutive pairs to form, or the fold of each pair, integers of shape ``(N,)``.
        rule: How the threshold is chosen.

    Raises:
        MetricError: If distances, flags or folds are not as described.
        UnknownName: If there is no such rule.
    """
    if rule not in ("reference", "strict"):
        raise UnknownName("fold threshold rule", rule, ("reference", "strict"))
    pairs = _Pairs.of(distances, same, folds)
    thresholds, right = _grid_decisions(pairs) if rule == "reference" else _score_decisions(pairs)
    accuracies = right / (pairs.genuine + pairs.impostors)
    return FoldAccuracy(
        mean=float(accuracies.mean()),
        std=float(accuracies.std()),
        standard_error=float(accuracies.std(ddof=1) / np.sqrt(pairs.count)),
        folds=tuple(accuracies.tolist()),
        thresholds=tuple(thresholds.tolist()),
        best_threshold=float(thresholds.mean()),
        rule=rule,
    )


def val_at_far(
    distances: npt.ArrayLike, same: npt.ArrayLike, *, target: float, folds: int | npt.ArrayLike = 10
) -> ValAtFar:
    """Returns the validation rate at a target false accept rate, by InsightFace's ``calculate_val``.

    Thresholds are ``arange(0, 4, 0.001)``, accept at ``distance < t``. On the other folds FAR(t) is a step function; if
    it never reaches the target the threshold is 0 (nothing is accepted). Otherwise, with i the last grid index whose
    FAR is at most the target, ``t = t_i + (target - FAR_i) (t_{i+1} - t_i) / (FAR_{i+1} - FAR_i)``; ``t_i`` if it is
    the last of the grid. That is what scipy's ``interp1d(kind="slinear")`` did up to 1.8; since 1.9 it refuses the
    repeated values and the reference fails.

    Args:
        distances: Squared Euclidean distances of unit vectors, shape ``(N,)``, 0 to 4.
        same: True or 1 where both images show one person, shape ``(N,)``.
        target: False accept rate to aim at, in [0, 1].
        folds: How many runs of consecutive pairs to form, or the fold of each pair, integers of shape ``(N,)``.

    Raises:
        MetricError: If distances, flags or folds are not as described, or a fold lacks same or different pairs.
    """
    aim = as_rate(target)
    pairs = _Pairs.of(distances, same, folds)
    pairs.require_both_everywhere()
    grid = np.arange(0, 4, 0.001)
    accepted = pairs.accepted(pairs.different, grid)
    training = (accepted.sum(axis=0) - accepted) / (pairs.impostors.sum() - pairs.impostors)[:, None]
    last = np.count_nonzero(training <= aim, axis=1) - 1
    after = np.minimum(last + 1, grid.size - 1)
    rows = np.arange(pairs.count)
    low, high = training[rows, last], training[rows, after]
    step = np.divide((aim - low) * (grid[after] - grid[last]), high - low, out=np.zeros(pairs.count), where=high > low)
    thresholds = np.where(training[:, -1] >= aim, grid[last] + step, 0.0)
    accept = pairs.distances < thresholds[pairs.fold]
    values = pairs.tally(accept & pairs.same) / pairs.genuine
    rates = pairs.tally(accept & pairs.different) / pairs.impostors
    return ValAtFar(
        val=float(values.mean()),
        val_std=float(values.std()),
        far=float(rates.mean()),
        folds=tuple(values.tolist()),
        thresholds=tuple(thresholds.tolist()),
        target=aim,
    )


def mean_fold_roc(distances: npt.ArrayLike, same: npt.ArrayLike, *, folds: int | npt.ArrayLike = 10) -> FoldRoc:
    """Returns the mean of the folds' ROC curves on the grid ``arange(0, 4, 0.01)``, as InsightFace draws it.

    A fold without same pairs counts as accepting none of them, one without different pairs likewise, as the reference
    has it.

    Args:
        distances: Squared Euclidean distances of unit vectors, shape ``(N,)``, 0 to 4.
        same: True or 1 where both images show one person, shape ``(N,)``.
        folds: How many runs of consecutive pairs to form, or the fold of each pair, integers of shape ``(N,)``.

    Raises:
        MetricError: If distances, flags or folds are not as described.
    """
    pairs = _Pairs.of(distances, same, folds)
    grid = np.arange(0, 4, 0.01)
    tar = pairs.accepted(pairs.same, grid) / np.maximum(pairs.genuine, 1)[:, None]
    far = pairs.accepted(pairs.different, grid) / np.maximum(pairs.impostors, 1)[:, None]
    return FoldRoc(thresholds=grid, far=far.mean(axis=0), tar=tar.mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Checked pairs and their folds, numbered from 0."""

    distances: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    different: npt.NDArray[np.bool_]
    fold: Ints
    genuine: Ints
    impostors: Ints

    @classmethod
    def of(cls, distances: npt.ArrayLike, same: npt.ArrayLike, folds: int | npt.ArrayLike) -> _Pairs:
        """Checks the input of a fold function."""
        checked = as_scores(distances, "squared distances").astype(np.float64, copy=False)
        flags = as_labels(same, checked.size, what="same flags")
        outside = np.flatnonzero((checked < 0) | (checked > _LARGEST))
        if outside.size:
            raise MetricError(
                f"squared distances of unit vectors lie between 0 and 4; found {checked[outside[0]]:.6g} at index "
                f"{outside[0]}; scale the vectors to unit length, and pass distances, not similarities"
            )
        fold, count = fold_numbers(folds, checked.size)
        genuine = np.bincount(fold[flags], minlength=count)
        return cls(checked, flags, ~flags, fold, genuine, np.bincount(fold, minlength=count) - genuine)

    @property
    def count(self) -> int:
        """How many folds there are."""
        return self.genuine.size

    def tally(self, chosen: npt.NDArray[np.bool_]) -> Ints:
        """How many of the chosen pairs each fold has, shape ``(K,)``."""
        return np.bincount(self.fold[chosen], minlength=self.count)

    def accepted(self, which: npt.NDArray[np.bool_], grid: npt.NDArray[np.float64]) -> Ints:
        """How many pairs of ``which`` have ``distance < t``, by fold and grid threshold, shape ``(K, T)``."""
        width = grid.size + 1
        # The first grid value above a distance is the first threshold that accepts it.
        place = np.searchsorted(grid, self.distances[which], side="right")
        bins = np.bincount(self.fold[which] * width + place, minlength=self.count * width)
        return np.cumsum(bins.reshape(self.count, width)[:, :-1], axis=1)

    def require_both_everywhere(self) -> None:
        """Refuses a fold without same or without different pairs."""
        lacking = np.flatnonzero((self.genuine == 0) | (self.impostors == 0))
        if lacking.size:
            k = int(lacking[0])
            raise MetricError(
                f"VAL@FAR needs same and different pairs in every fold; found {self.genuine[k]} same and "
                f"{self.impostors[k]} different pairs in fold {k + 1}; use fewer folds, or check the order of the pairs"
            )


def fold_numbers(folds: int | npt.ArrayLike, size: int) -> tuple[Ints, int]:
    """The fold of each pair, numbered from 0, and how many folds there are."""
    if isinstance(folds, (int, np.integer)):
        if not 2 <= folds <= size:
            raise MetricError(f"between 2 folds and one for each of the {size} pairs are possible; found {folds}")
        # As scikit-learn's KFold: the first `size % folds` folds get one pair more.
        sizes = np.full(folds, size // folds)
        sizes[: size % folds] += 1
        return np.repeat(np.arange(folds), sizes), int(folds)
    given = np.asarray(folds)
    if given.shape != (size,) or given.dtype.kind not in "iu":
        raise MetricError(f"folds must be a number or one integer for each of the {size} pairs; found {given.shape}")
    names, numbers = np.unique(given, return_inverse=True)
    if names.size < 2:
        raise MetricError("at least 2 folds are needed, one to choose the threshold on; found 1")
    return numbers.astype(np.int64, copy=False), names.size


def _grid_decisions(pairs: _Pairs) -> tuple[npt.NDArray[np.float64], Ints]:
    """Threshold and right decisions of each fold by the reference's grid."""
    grid = np.arange(0, 4, 0.01)
    refused = pairs.impostors[:, None] - pairs.accepted(pairs.different, grid)
    right = pairs.accepted(pairs.same, grid) + refused
    best = np.argmax(right.sum(axis=0) - right, axis=1)  # the first of equals
    return grid[best], right[np.arange(pairs.count), best]


def _score_decisions(pairs: _Pairs) -> tuple[npt.NDArray[np.float64], Ints]:
    """Threshold and right decisions of each fold with training distances as candidates."""
    order = np.argsort(pairs.distances)
    ascending, fold = pairs.distances[order], pairs.fold[order]
    # Accepting one more pair wins a decision if it is a same pair and loses one if not.
    gain = np.where(pairs.same[order], 1, -1)
    thresholds = np.empty(pairs.count)
    for k in range(pairs.count):
        train = fold != k
        distances, gained = ascending[train], np.cumsum(gain[train])
        whole = np.append(distances[1:] != distances[:-1], True)  # equal distances are accepted together
        candidates = np.flatnonzero(whole)
        best = candidates[::-1][np.argmax(gained[candidates[::-1]])]  # the largest of equals
        thresholds[k] = distances[best]
    right = (pairs.distances <= thresholds[pairs.fold]) == pairs.same
    return thresholds, pairs.tally(right)
