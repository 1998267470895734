"""Which of several methods is better on the same comparisons, and whether that could be luck.

Methods that saw the same pairs fail on the same hard ones, so their difference is known far better than two separate
intervals suggest: people are drawn once for both. What was not measured on the same comparisons is refused, since a
difference between data sets looks just like one between methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import DataError, FacebenchError
from facebench.measures import spelt
from facebench.metrics import equal_error_rate, fold_accuracy
from facebench.metrics.comparison import holm, mcnemar, paired_bootstrap
from facebench.metrics.resampling import multiplicities, require_replicates
from facebench.results import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench.metrics.comparison import Difference
    from facebench.scorefiles import Kept, PairScores

    Column = npt.NDArray[np.generic]
    Flags = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]
    Doubles = npt.NDArray[np.float64]

_LEVEL = 0.95
_BLOCK_BYTES = 16 << 20
_WITHOUT_PICTURES = ("embeddings", "scores")


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two methods lie apart in one figure.

    Attributes:
        name: The figure, as results spell it.
        rule: Which threshold or decision it rests on.
        value: First minus second.
        higher_is_better: Whether a positive value speaks for the first method.
        interval: Of the difference.
        p_value: Two-sided, of no difference.
        corrected: The same by Holm over all pairs of methods; None for two methods.
    """

    name: str
    rule: str
    value: float
    higher_is_better: bool
    interval: Interval
    p_value: float
    corrected: float | None = None

    @property
    def verdict(self) -> str:
        """``first`` or ``second`` where one is better at the 5 % level, else ``undecided``."""
        if (self.p_value if self.corrected is None else self.corrected) > 1 - _LEVEL or not self.value:
            return "undecided"
        return "first" if (self.value > 0) == self.higher_is_better else "second"


@dataclass(frozen=True, slots=True)
class Decisions:
    """McNemar's exact test of the decisions of two methods; it takes comparisons as independent.

    Attributes:
        what: Which decisions.
        only_first: Comparisons that only the first method got right.
        only_second: Comparisons that only the second one got right.
        p_value: Two-sided, exact.
        corrected: The same by Holm over all pairs of methods; None for two methods.
    """

    what: str
    only_first: int
    only_second: int
    p_value: float
    corrected: float | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two methods.

    Attributes:
        first: Label of the first method.
        second: Label of the second one.
        gaps: Their differences.
        decisions: How often they part.
    """

    first: str
    second: str
    gaps: tuple[Gap, ...]
    decisions: Decisions


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several methods on the same comparisons.

    Attributes:
        data: What they were compared on.
        methods: Their labels, in the order given.
        pairings: Every two of them.
        warnings: What a reader must know.
    """

    data: str
    methods: tuple[str, ...]
    pairings: tuple[Pairing, ...]
    warnings: tuple[str, ...]


def compare(
    methods: Sequence[Kept], *, far: Sequence[float] = (1e-2, 1e-3), samples: int = 1000, seed: int = 0
) -> Comparison:
    """Compares every two of several methods.

    Args:
        methods: At least two, by the scores they left: of pairs, or the places of mates in an identification.
        far: For pairs, false accept rates at which TAR is compared by the rule ``strict``; those that the impostors do
            not resolve are left out with a warning.
        samples: Bootstrap replicates, at least 1.
        seed: Of the bootstrap, the same for every two.

    Who is compared, where any of the methods says so, is known for all. Accuracy is that of the folds that all of them
    kept (of each group by itself, where they kept groups), or else of thresholds where a method's errors are equal.

    Raises:
        FacebenchError: When there are fewer than two methods, or they were not measured on the same comparisons.
        DataError: When a file holds no scores that can be compared.
        MetricError: When a figure cannot be computed, as without replicates.
    """
    require_replicates(samples)
    _check_given(methods)
    warnings = _check_data(methods)
    labels = _labels(methods)
    if all("score" in one.columns for one in methods):
        pairs = [one.pairs() for one in methods]
        _check_pairs(labels, pairs, methods)
        warnings += _pair_warnings(pairs)
        impostors = len(pairs[0].impostor)
        resolved = [rate for rate in far if 1 / impostors <= rate]
        warnings += [
            f"FAR {rate:g} is below what {impostors:,} impostor pairs resolve" for rate in far if rate not in resolved
        ]
        subjects = next((one.subjects for one in pairs if one.subjects is not None), None)
        rule, right = _decisions(pairs, _folds(methods, pairs))

        def duel(one: int, other: int) -> tuple[tuple[Gap, ...], Decisions]:
            decisions = right[one], right[other]
            two = replace(pairs[one], subjects=subjects), pairs[other]
            return _duel_of_pairs(two, rule, decisions, resolved, samples=samples, seed=seed)

    elif all("place" in one.columns for one in methods):
        _check_searches(labels, methods)

        def duel(one: int, other: int) -> tuple[tuple[Gap, ...], Decisions]:
            return _duel_of_searches(methods[one].columns, methods[other].columns, samples=samples, seed=seed)

    else:
        found = "; ".join(f"{one.path}: {', '.join(one.columns)}" for one in methods)
        raise DataError(f"scores of pairs (score, same) or of searches (place) can be compared; found {found}")
    pairings = _corrected(
        [Pairing(labels[one], labels[other], *duel(one, other)) for one, other in combinations(range(len(methods)), 2)]
    )
    titles = {one.result.title for one in methods if one.result is not None}
    return Comparison(", ".join(sorted(titles)) or "scores", tuple(labels), pairings, tuple(warnings))


def _check_given(methods: Sequence[Kept]) -> None:
    """At least two methods, each once."""
    if len(methods) < 2:
        raise FacebenchError(f"a comparison needs at least two methods; found {len(methods)}")
    paths = [one.path for one in methods]
    for path in paths:
        if paths.count(path) > 1:
            raise FacebenchError(f"{path} is given more than once; a method cannot be compared with itself")


def _labels(methods: Sequence[Kept]) -> list[str]:
    """What to call each method; where two would be called alike, the file tells them apart."""
    plain = [one.label for one in methods]
    return [
        label if plain.count(label) == 1 else f"{label} ({one.path})" for label, one in zip(plain, methods, strict=True)
    ]


def _check_data(methods: Sequence[Kept]) -> list[str]:
    """Refuses results on different data; says where that cannot be known."""
    results = [one.result for one in methods if one.result is not None]
    for other in results[1:]:
        first = results[0]
        if (first.title, first.data.version) != (other.title, other.data.version):
            raise FacebenchError(
                f"these are results on different data: {first.title} and {other.title}; compare methods on one data set"
            )
    seen = [one for one in results if one.subject.plugin not in _WITHOUT_PICTURES]
    for other_seen in seen[1:]:
        if other_seen.data.fingerprint != seen[0].data.fingerprint:
            raise FacebenchError(
                f"these are results on different copies of {seen[0].title}: data {seen[0].data.fingerprint[:12]} and "
                f"{other_seen.data.fingerprint[:12]}; run both methods on the same files"
            )
    if len(seen) < len(methods):
        return ["embeddings or scores made elsewhere do not tell which pictures they are from: see that they agree"]
    return []


def _differ(labels: Sequence[str], two: tuple[int, int], what: str, row: int | None = None) -> FacebenchError:
    where = "" if row is None else f", first in comparison {row + 1}"
    return FacebenchError(
        f"{labels[two[0]]} and {labels[two[1]]} were not measured on the same comparisons: {what}{where}; evaluate "
        "both methods by the same list in the same order"
    )


def _check_pairs(labels: Sequence[str], pairs: Sequence[PairScores], methods: Sequence[Kept]) -> None:
    """Every two, since what one method does not say the others may say differently."""
    for two in combinations(range(len(pairs)), 2):
        first, other = (pairs[at] for at in two)
        if len(first) != len(other):
            raise _differ(labels, two, f"{len(first):,} and {len(other):,} of them")
        checks: list[tuple[str, Column, Column]] = [("labels differ", first.same, other.same)]
        for what, mine, theirs in (
            ("pictures differ", first.faces, other.faces),
            ("subjects differ", first.subjects, other.subjects),
        ):
            if mine is not None and theirs is not None:
                checks += [(what, a, b) for a, b in zip(mine, theirs, strict=True)]
        own, kept = (methods[at].columns for at in two)
        for name in sorted({"fold", "group"} & set(own) & set(kept)):
            checks.append((f"{name}s differ", own[name].astype(np.str_), kept[name].astype(np.str_)))
        for what, a, b in checks:
            wrong = np.flatnonzero(a != b)
            if len(wrong):
                raise _differ(labels, two, what, int(wrong[0]))


def _check_searches(labels: Sequence[str], methods: Sequence[Kept]) -> None:
    for one in methods:
        missing = {"place", "average_precision", "probe", "subject"} - set(one.columns)
        if missing:
            raise DataError(f"{one.path}: no column {', '.join(sorted(missing))}; found {', '.join(one.columns)}")
    for two in combinations(range(len(methods)), 2):
        first, other = (methods[at] for at in two)
        if len(first.columns["probe"]) != len(other.columns["probe"]):
            counts = [len(one.columns["probe"]) for one in (first, other)]
            raise _differ(labels, two, f"{counts[0]:,} and {counts[1]:,} probes")
        for name in ("probe", "subject"):
            wrong = np.flatnonzero(first.columns[name].astype(np.str_) != other.columns[name].astype(np.str_))
            if len(wrong):
                raise _differ(labels, two, f"{name}s differ", int(wrong[0]))
        galleries = [one.result.data.counts.get("distractors") for one in (first, other) if one.result is not None]
        if len(set(galleries)) > 1:
            raise _differ(labels, two, f"galleries hold {' and '.join(map(str, galleries))} distractors")


def _pair_warnings(pairs: Sequence[PairScores]) -> list[str]:
    said = []
    if all(one.subjects is None for one in pairs):
        said.append("the scores do not say who is compared: intervals and p values take pairs as independent")
    if any(one.faces is None for one in pairs):
        said.append("not every file says which pictures were compared: only count and labels were checked")
    return said


def _folds(methods: Sequence[Kept], pairs: Sequence[PairScores]) -> list[Ints]:
    """The fold of each pair in each group, -1 outside it; none unless all methods have folds, and cosines to fold."""
    columns = [one.columns for one in methods]
    if not all("fold" in one for one in columns) or any(np.abs(one.score).max() > 1 for one in pairs):
        return []
    fold = np.unique(columns[0]["fold"], return_inverse=True)[1]
    groups = columns[0]["group"] if all("group" in one for one in columns) else np.zeros(len(fold))
    found = [np.where(groups == group, fold, -1) for group in np.unique(groups)]
    return found if all(len(np.unique(one[one >= 0])) > 1 for one in found) else []


def _decisions(pairs: Sequence[PairScores], folds: Sequence[Ints]) -> tuple[str, list[Flags]]:
    """Which comparisons each method decides rightly, all by one rule: folds, or else where its errors are equal."""
    if folds:
        counts = " or ".join(str(count) for count in sorted({len(np.unique(one[one >= 0])) for one in folds}))
        groups = f" of each of {len(folds)} groups" if len(folds) > 1 else ""
        return f"the thresholds of {counts} folds{groups}, as in the accuracy", [_folded(one, folds) for one in pairs]
    right = []
    for one in pairs:
        threshold = equal_error_rate(one.genuine, one.impostor, rule="interpolation").threshold
        right.append((one.score >= threshold) == one.same)
    return "each method's threshold of equal error rates", right


def _folded(pairs: PairScores, folds: Sequence[Ints]) -> Flags:
    """Right decisions at the thresholds that the accuracy of a protocol has."""
    distances, right = 2.0 - 2.0 * pairs.score, np.zeros(len(pairs), dtype=np.bool_)
    for fold in folds:
        rows = np.flatnonzero(fold >= 0)
        found = fold_accuracy(distances[rows], pairs.same[rows], folds=fold[rows], rule="reference")
        thresholds = np.array(found.thresholds)[np.unique(fold[rows], return_inverse=True)[1]]
        right[rows] = (distances[rows] < thresholds) == pairs.same[rows]
    return right


def _duel_of_pairs(
    pairs: tuple[PairScores, PairScores],
    rule: str,
    right: tuple[Flags, Flags],
    far: Sequence[float],
    *,
    samples: int,
    seed: int,
) -> tuple[tuple[Gap, ...], Decisions]:
    """Two methods; ``subjects`` are those of the first."""
    found = paired_bootstrap(
        pairs[0].score,
        pairs[1].score,
        same=pairs[0].same,
        subjects=pairs[0].subjects,
        generator=np.random.default_rng(seed),
        targets=far,
        correct=right,
        samples=samples,
    )
    gaps = [] if found.accuracy is None else [_gap("accuracy", rule, found.accuracy)]
    gaps += [_gap(f"tar@far={spelt(rate)}", "strict", gap) for rate, gap in zip(far, found.tar_strict, strict=True)]
    gaps += [_gap("auc", "trapezoid", found.auc), _gap("eer", "interpolation", found.eer, higher_is_better=False)]
    test = mcnemar(*right)
    return tuple(gaps), Decisions(rule, test.only_first, test.only_second, test.p_value)


def _duel_of_searches(
    first: Mapping[str, Column], second: Mapping[str, Column], *, samples: int, seed: int
) -> tuple[tuple[Gap, ...], Decisions]:
    hits = [{rank: one["place"].astype(np.int64) < rank for rank in (1, 5, 20)} for one in (first, second)]
    names = [*((f"rank-{rank}", "stable order") for rank in hits[0]), ("map", "reference")]
    columns = [
        *(hits[0][rank].astype(np.float64) - hits[1][rank] for rank in hits[0]),
        first["average_precision"].astype(np.float64) - second["average_precision"].astype(np.float64),
    ]
    values = np.stack(columns, axis=1)
    drawn = _means(values, np.unique(first["subject"], return_inverse=True)[1], samples=samples, seed=seed)
    ends = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    gaps, method = [], "paired bootstrap over probe identities"
    for at, (name, rule) in enumerate(names):
        fewer = min(np.count_nonzero(drawn[:, at] <= 0), np.count_nonzero(drawn[:, at] >= 0))
        low, high = ends[:, at].tolist()
        interval = Interval(low=low, high=high, level=_LEVEL, method=method, samples=samples)
        # One more replicate on either count, so that no finite number of them claims certainty.
        p_value = min(1.0, 2 * (fewer + 1) / (samples + 1))
        gaps.append(Gap(name, rule, float(values[:, at].mean()), True, interval, p_value))
    test = mcnemar(hits[0][1], hits[1][1])
    return tuple(gaps), Decisions("hits at rank 1", test.only_first, test.only_second, test.p_value)


def _means(values: Doubles, people: npt.NDArray[np.int64], *, samples: int, seed: int) -> Doubles:
    """Means of each column of (P, M) values, people drawn with replacement with all of their probes, (R, M)."""
    count = int(people.max()) + 1
    sums = np.zeros((count, values.shape[1] + 1))
    np.add.at(sums, people, np.column_stack([values, np.ones(len(values))]))
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // (16 * count))
    drawn = []
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn.append(multiplicities(generator, size, count) @ sums)
    totals = np.concatenate(drawn)
    return np.asarray(totals[:, :-1] / totals[:, -1:], dtype=np.float64)


def _gap(name: str, rule: str, found: Difference, *, higher_is_better: bool = True) -> Gap:
    plain = found.interval
    method = f"paired {plain.method}"
    interval = Interval(low=plain.low, high=plain.high, level=plain.level, method=method, samples=plain.samples)
    return Gap(name, rule, found.value, higher_is_better, interval, found.p_value)


def _corrected(pairings: Sequence[Pairing]) -> tuple[Pairing, ...]:
    """Holm's correction over the pairs of methods, for each figure and for the decisions."""
    if len(pairings) < 2:
        return tuple(pairings)
    by_figure = [holm([one.gaps[at].p_value for one in pairings]) for at in range(len(pairings[0].gaps))]
    of_decisions = holm([one.decisions.p_value for one in pairings])
    return tuple(
        replace(
            one,
            gaps=tuple(replace(gap, corrected=float(by_figure[at][row])) for at, gap in enumerate(one.gaps)),
            decisions=replace(one.decisions, corrected=float(of_decisions[row])),
        )
        for row, one in enumerate(pairings)
    )
