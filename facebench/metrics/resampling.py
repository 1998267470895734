"""Drawing people, or pairs, with replacement: what every bootstrap of this package shares.

A replicate is a set of weights: how often each thing was drawn. Nothing is copied or sorted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.intervals import IntervalEstimate

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Draw = Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]

PAIRS = "pair bootstrap, percentile (identities unknown)"
SUBJECTS = "subject bootstrap, percentile"
TEMPLATES = "template bootstrap, percentile (identities unknown)"


def require_replicates(samples: int) -> None:
    """Refuses a bootstrap without replicates.

    Raises:
        MetricError: If ``samples`` is below 1.
    """
    if samples < 1:
        raise MetricError(f"a bootstrap needs at least one replicate; found {samples}")


def usable_replicates(values: Doubles) -> Doubles:
    """Returns the replicates, columns of ``values``, that are finite in every statistic.

    Raises:
        MetricError: If fewer than half of them are.
    """
    usable = values[:, np.isfinite(values).all(axis=0)]
    samples = values.shape[1]
    if 2 * usable.shape[1] < samples:
        raise MetricError(
            f"too few people for a bootstrap: {samples - usable.shape[1]} of {samples} replicates lost all genuine or "
            "all impostor pairs; use more identities"
        )
    return usable


def percentile_intervals(values: Doubles, level: float, method: str) -> list[IntervalEstimate]:
    """Returns the percentile interval of each row of ``values``, shape ``(statistics, replicates)``."""
    ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return [IntervalEstimate(float(low), float(high), level, method, values.shape[1]) for low, high in ends.T]


def weights_of(
    subjects: tuple[npt.ArrayLike, npt.ArrayLike] | None,
    same: npt.NDArray[np.bool_],
    genuine: Ints,
    impostors: Ints,
) -> tuple[Draw, int]:
    """Returns what draws the weights of genuine and impostor pairs, and how many things it draws among.

    Args:
        subjects: Who is on each side of each pair; None draws pairs, each class among itself.
        same: Whether each pair shows one person.
        genuine: Rows of the genuine pairs, in the order their weights are wanted in.
        impostors: Rows of the impostor pairs, likewise.

    Raises:
        MetricError: If subjects do not fit the pairs or contradict ``same``.
    """
    if subjects is None:
        return _pair_weights(genuine.size, impostors.size), same.size
    first, second, people = numbered(subjects, same)
    return _subject_weights(first[genuine], first[impostors], second[impostors], people), people


def numbered(subjects: tuple[npt.ArrayLike, npt.ArrayLike], same: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, int]:
    """Numbers the people of both sides from 0 and says how many there are."""
    sides = [np.asarray(side) for side in subjects]
    for side in sides:
        if side.shape != same.shape:
            raise MetricError(f"one subject a pair and side is needed; found shape {side.shape} for {same.size} pairs")
    names, numbers = np.unique(np.concatenate(sides), return_inverse=True)
    first, second = numbers[: same.size], numbers[same.size :]
    wrong = np.flatnonzero((first == second) != same)
    if wrong.size:
        at = int(wrong[0])
        raise MetricError(
            f"labels and subjects contradict each other in {wrong.size} pairs; found label {bool(same[at])} for "
            f"{names[first[at]]!s} and {names[second[at]]!s} at index {at}"
        )
    return first, second, names.size


def multiplicities(generator: np.random.Generator, replicates: int, count: int) -> Doubles:
    """How often each of ``count`` things is drawn in ``count`` draws, shape ``(R, count)``: multinomial weights."""
    drawn = generator.integers(0, count, size=(replicates, count))
    drawn += count * np.arange(replicates)[:, None]
    return np.bincount(drawn.ravel(), minlength=replicates * count).reshape(replicates, count).astype(np.float64)


def _subject_weights(
    genuine: Ints, first: Ints, second: Ints, people: int
) -> Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]:
    """Draws people; returns the weights of genuine and impostor pairs."""

    def draw(generator: np.random.Generator, replicates: int) -> tuple[Doubles, Doubles]:
        weights = multiplicities(generator, replicates, people)
        impostor = np.take(weights, first, axis=1)
        impostor *= np.take(weights, second, axis=1)
        return np.take(weights, genuine, axis=1), impostor

    return draw


def _pair_weights(genuine: int, impostors: int) -> Callable[[np.random.Generator, int], tuple[Doubles, Doubles]]:
    """Draws pairs, each class among itself; returns the weights of genuine and impostor pairs."""

    def draw(generator: np.random.Generator, replicates: int) -> tuple[Doubles, Doubles]:
        return multiplicities(generator, replicates, genuine), multiplicities(generator, replicates, impostors)

    return draw
