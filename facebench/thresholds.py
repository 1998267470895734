"""From scores to a threshold that somebody will use: what it lets through, what it refuses, and how sure that is.

A published table asks for the true accept rate at a false accept rate; who deploys a system asks for the number to
write into its configuration. The two differ in care: the threshold here never lets more impostors through than asked
for on these scores, it is refused where the impostors are too few to know, and both of its error rates come with an
interval. A threshold fits the data that it was chosen on; on other people, cameras or ages its rates are others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics import operating_points, wilson
from facebench.metrics.tar import most_allowed
from facebench.results import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench.scorefiles import PairScores

    Doubles = npt.NDArray[np.float64]

_LEVEL = 0.95
_BLOCK_BYTES = 16 << 20
# Doddington's rule: with 30 errors the rate lies within 30 % of the truth at 90 % confidence, were trials independent.
_ENOUGH = 30


@dataclass(frozen=True, slots=True)
class Rate:
    """An error rate.

    Attributes:
        value: ``errors / trials``.
        errors: Comparisons decided wrongly.
        trials: Comparisons of that kind.
        interval: Where the true rate lies.
    """

    value: float
    errors: int
    trials: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision rule: accept at ``score >= value``.

    Attributes:
        target: The false match rate that was asked for.
        value: The threshold.
        fmr: False match rate: impostors accepted.
        fnmr: False non-match rate: genuine comparisons refused.
        warnings: What to know before using it.
    """

    target: float
    value: float
    fmr: Rate
    fnmr: Rate
    warnings: tuple[str, ...] = ()


def choose(pairs: PairScores, *, targets: Sequence[float], samples: int = 1000, seed: int = 0) -> tuple[Threshold, ...]:
    """The lowest threshold whose false match rate does not exceed each target on these scores.

    Intervals are of the rates at that very threshold. Where subjects are known, people are drawn with replacement (the
    vertex bootstrap of ``facebench.metrics.bootstrap_intervals``): a person drawn w times gives weight w to their
    genuine comparisons and an impostor comparison the product of its two people's weights. Where replicates cannot
    differ, as without any error, Wilson's interval stands in, with the people as its trials: comparisons of one person
    fail together. Where subjects are not known, comparisons are its trials, and a warning says so.

    Args:
        pairs: The comparisons.
        targets: False match rates, each in (0, 1).
        samples: Bootstrap replicates; 0 takes Wilson's interval throughout.
        seed: Of the bootstrap.

    Raises:
        MetricError: If a class is missing, labels contradict subjects, or a target is no rate or below what the
            impostors resolve.
    """
    for target in targets:
        if not 0 < target < 1:
            raise MetricError(f"a false match rate lies between 0 and 1; found {target:g}")
    genuine, impostor = pairs.genuine, pairs.impostor
    points = operating_points(genuine, impostor, targets=targets, rule="strict")
    people = None if pairs.subjects is None else _People.of(pairs)
    involved = (None, None) if people is None else people.involved
    chosen = []
    for point in points:
        if not point.resolved:
            needed = int(np.ceil(1 / point.target))
            raise MetricError(
                f"{point.impostors:,} impostor comparisons cannot tell FMR {point.target:g}: it takes at least "
                f"{needed:,}, and {_ENOUGH * needed:,} to know it well; ask for 1/{point.impostors} or more"
            )
        accepted, refused = pairs.score >= point.threshold, pairs.score < point.threshold
        draw = people.replicates(accepted, samples=samples, seed=seed) if people is not None and samples else None
        fmr = _rate(accepted[~pairs.same], None if draw is None else draw[0], involved[0])
        fnmr = _rate(refused[pairs.same], None if draw is None else draw[1], involved[1])
        chosen.append(Threshold(point.target, point.threshold, fmr, fnmr, _warnings(pairs, point.target, fmr)))
    return tuple(chosen)


def _rate(wrong: npt.NDArray[np.bool_], replicates: Doubles | None, people: int | None) -> Rate:
    """A rate with its interval; ``people`` is how many stand behind the comparisons, None if unknown."""
    errors, trials = int(np.count_nonzero(wrong)), len(wrong)
    usable = np.empty(0) if replicates is None else replicates[np.isfinite(replicates)]
    if replicates is not None and 2 * len(usable) >= len(replicates):
        low, high = np.quantile(usable, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        # Without width the replicates say nothing; but for rounding, they are all equal.
        if errors not in (0, trials) and high - low > 1e-12:
            method = "subject bootstrap, percentile"
            interval = Interval(low=float(low), high=float(high), level=_LEVEL, method=method, samples=len(usable))
            return Rate(errors / trials, errors, trials, interval)
    independent = trials if people is None else min(people, trials)
    found = wilson(round(errors / trials * independent), independent, level=_LEVEL)
    taken = "comparisons taken as independent"
    if people is not None:
        # Where hardly anybody is compared twice there are more people than comparisons.
        taken = f"each of {people:,} people taken as one trial" if people < trials else f"{taken}, of {people:,} people"
    interval = Interval(
        low=found.low, high=found.high, level=_LEVEL, method=f"{found.method}, {taken}", samples=independent
    )
    return Rate(errors / trials, errors, trials, interval)


def _warnings(pairs: PairScores, target: float, fmr: Rate) -> tuple[str, ...]:
    said = []
    allowed = most_allowed(target, fmr.trials)
    if allowed < _ENOUGH:
        said.append(
            f"{fmr.trials:,} impostor comparisons allow {allowed} errors at FMR {target:g}; below "
            f"{_ENOUGH} the rate is known roughly, see its interval"
        )
    if pairs.subjects is None:
        said.append("the scores do not say who is compared: intervals take comparisons as independent, too narrow")
    return tuple(said)


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Who is compared, numbered, with the comparisons of two people added up.

    Attributes:
        genuine: Person of each genuine comparison, (G,).
        first: One person of each impostor comparison, (I,).
        second: The other one, (I,).
        same: (N,).
        count: People.
    """

    genuine: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    same: npt.NDArray[np.bool_]
    count: int

    @classmethod
    def of(cls, pairs: PairScores) -> _People:
        if pairs.subjects is None:
            raise TypeError("subjects are needed")
        names, numbers = np.unique(np.concatenate(pairs.subjects), return_inverse=True)
        first, second = numbers[: len(pairs)], numbers[len(pairs) :]
        wrong = np.flatnonzero((first == second) != pairs.same)
        if len(wrong):
            raise MetricError(
                f"labels and subjects contradict each other in {len(wrong)} comparisons, first in comparison "
                f"{wrong[0] + 1}: same is {bool(pairs.same[wrong[0]])} for {names[first[wrong[0]]]} and "
                f"{names[second[wrong[0]]]}"
            )
        return cls(first[pairs.same], first[~pairs.same], second[~pairs.same], pairs.same, len(names))

    @property
    def involved(self) -> tuple[int, int]:
        """People in impostor comparisons, and in genuine ones."""
        return len(np.unique(np.concatenate([self.first, self.second]))), len(np.unique(self.genuine))

    def replicates(self, accepted: npt.NDArray[np.bool_], *, samples: int, seed: int) -> tuple[Doubles, Doubles]:
        """FMR and FNMR of each replicate, NaN where one lost all comparisons of a kind."""
        from scipy import sparse

        shape = (self.count, self.count)
        # Comparisons of the same two people are summed up, so a replicate costs pairs of people, not comparisons.
        trials = sparse.csr_array((np.ones(len(self.first)), (self.first, self.second)), shape=shape)
        errors = sparse.csr_array((accepted[~self.same].astype(np.float64), (self.first, self.second)), shape=shape)
        mates = np.bincount(self.genuine, minlength=self.count).astype(np.float64)
        refused = np.bincount(self.genuine[~accepted[self.same]], minlength=self.count).astype(np.float64)
        generator = np.random.default_rng(seed)
        block = max(1, _BLOCK_BYTES // (32 * self.count))
        fmr, fnmr = [], []
        for start in range(0, samples, block):
            size = min(block, samples - start)
            picks = generator.integers(0, self.count, size=(size, self.count)) + self.count * np.arange(size)[:, None]
            drawn = np.bincount(picks.ravel(), minlength=size * self.count).reshape(size, self.count)
            weights = drawn.astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                wrong, every = ((np.asarray(matrix @ weights.T).T * weights).sum(axis=1) for matrix in (errors, trials))
                fmr.append(wrong / every)
                fnmr.append((weights @ refused) / (weights @ mates))
        return np.concatenate(fmr), np.concatenate(fnmr)
