"""What scores, labels and rates must look like, checked once so that no metric meets a NaN or a missing class.

A NaN score compares false with everything: it would silently count as a rejection and improve the false accept rate.
Every public function of :mod:`facebench.metrics` passes its input through here and can then assume clean arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facebench.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
"""A float32 or float64 array; float32 scores stay float32, which halves the memory of a large protocol."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSets:
    """Scores parted by truth; unpacks, so that ``auc(*split(scores, labels))`` reads well.

    Attributes:
        genuine: Scores of comparisons of one person, shape ``(G,)``, float32 or float64, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``, float32 or float64.
    """

    genuine: Floats
    impostor: Floats

    def __iter__(self) -> Iterator[Floats]:
        """Yields the genuine, then the impostor scores."""
        yield self.genuine
        yield self.impostor


def as_scores(values: npt.ArrayLike, what: str = "scores") -> Floats:
    """Returns ``values`` as a one-dimensional array of finite floats.

    Args:
        values: Numbers, shape ``(N,)``; float32 and float64 arrays are not copied, other numbers become float64.
        what: The name that an error message gives them.

    Raises:
        MetricError: If the array is empty, not one-dimensional, not of real numbers, or holds NaN or infinity.
    """
    array = _as_floats(values, what)
    if array.ndim != 1:
        raise MetricError(f"{what} must be one-dimensional; found shape {array.shape}; pass one number per comparison")
    if not array.size:
        raise MetricError(f"{what} are empty; pass at least one")
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise MetricError(
            f"{what} must be finite; found {bad.size} of {array.size} that are NaN or infinite, the first at index "
            f"{bad[0]}; look for failed embeddings, or leave those comparisons out and say so"
        )
    return array


def as_matrix(values: npt.ArrayLike, what: str = "vectors") -> Floats:
    """Returns ``values`` as a two-dimensional array of finite floats, one vector a row.

    Args:
        values: Vectors, shape ``(N, D)``; float32 and float64 arrays are not copied, other numbers become float64.
        what: The name that an error message gives them.

    Raises:
        MetricError: If the array is empty, not two-dimensional, not of real numbers, or a row holds NaN or infinity.
    """
    array = _as_floats(values, what)
    if array.ndim != 2 or not array.size:
        raise MetricError(f"{what} must have the shape (rows, dimensions), neither of them 0; found {array.shape}")
    # A row sum is NaN or infinite if a member is; it spares a boolean array as large as the vectors. It may also
    # overflow by itself, so the rows that it accuses are looked at one by one.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(~np.isfinite(array.sum(axis=1)))
    if not suspects.size:
        return array
    bad = suspects[~np.isfinite(array[suspects]).all(axis=1)]
    if bad.size:
        raise MetricError(
            f"{what} must be finite; found NaN or infinity in {bad.size} of {len(array)} rows, the first "
            f"is row {bad[0]}; look for failed embeddings"
        )
    return array


def as_labels(labels: npt.ArrayLike, count: int, *, what: str = "labels") -> npt.NDArray[np.bool_]:
    """Returns ``labels`` as booleans, true for a comparison of one person.

    Args:
        labels: Booleans, or numbers that are all 0 or 1, shape ``(count,)``.
        count: How many there must be.
        what: The name that an error message gives them.

    Raises:
        MetricError: If the length differs, or a value is neither 0 nor 1.
    """
    array = np.asarray(labels)
    if array.shape != (count,):
        raise MetricError(f"{what} must match the {count} scores one to one; found shape {array.shape}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise MetricError(f"{what} must be booleans or 0 and 1; found {array.dtype}")
    odd = np.flatnonzero((array != 0) & (array != 1))
    if odd.size:
        raise MetricError(f"{what} must be booleans or 0 and 1; found {array[odd[0]].item()!r} at index {odd[0]}")
    return array.astype(np.bool_)


def split(scores: npt.ArrayLike, labels: npt.ArrayLike) -> ScoreSets:
    """Parts scores by truth.

    Args:
        scores: Shape ``(N,)``, higher is more alike.
        labels: True or 1 for a comparison of one person, shape ``(N,)``.

    Raises:
        MetricError: If scores or labels are not as described, or one of the two classes is missing.
    """
    checked = as_scores(scores)
    same = as_labels(labels, checked.size)
    require_both(int(np.count_nonzero(same)), int(np.count_nonzero(~same)))
    return ScoreSets(checked[same], checked[~same])


def as_sets(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> ScoreSets:
    """Checks both sets of scores of a two-class metric.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``.
        impostor: Scores of comparisons of two people, shape ``(I,)``.

    Raises:
        MetricError: If either is not as described, or empty.
    """
    require_both(np.size(genuine), np.size(impostor))
    return ScoreSets(as_scores(genuine, "genuine scores"), as_scores(impostor, "impostor scores"))


def require_both(genuine: int, impostor: int) -> None:
    """Refuses data with one class only.

    Raises:
        MetricError: If either count is 0.
    """
    if not genuine or not impostor:
        raise MetricError(
            f"both genuine and impostor comparisons are needed; found {genuine} genuine and {impostor} impostor"
        )


def as_rate(value: float, what: str = "target") -> float:
    """Returns ``value`` as a float in [0, 1].

    Raises:
        MetricError: If it is not a number between 0 and 1.
    """
    rate = float(value)
    if not 0.0 <= rate <= 1.0:
        raise MetricError(f"{what} must lie between 0 and 1; found {value!r}; rates are fractions, not percent")
    return rate


def as_level(value: float) -> float:
    """Returns a confidence level as a float strictly between 0 and 1.

    Raises:
        MetricError: If it is not.
    """
    level = float(value)
    if not 0.0 < level < 1.0:
        raise MetricError(f"level must lie strictly between 0 and 1; found {value!r}; 0.95 means 95 percent")
    return level


def _as_floats(values: npt.ArrayLike, what: str) -> Floats:
    """Returns an array of float32 or float64, whatever real number type came in."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise MetricError(f"{what} must be real numbers; found {array.dtype}")
    if array.dtype in (np.float32, np.float64):
        return array
    # Narrower and integer types fit into float64 exactly enough; half floats would lose ranks in sums.
    return array.astype(np.float64)
