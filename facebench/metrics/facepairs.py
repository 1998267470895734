"""Pairs of faces within and between people, and their similarities: all there are, or an even sample.

A sample is a simple random one without replacement, and only the sample is ever held in memory: pairs are numbered, and
a number is turned into its pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_sets
from facebench.metrics.identities import lengths_above_0

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.identities import Groups

    Singles = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int64]

_PAIR_BYTES = 4 << 20  # of gathered vectors, one side


@dataclass(frozen=True, slots=True, eq=False)
class FacePairs:
    """Pairs of faces, each at most once.

    Attributes:
        first: Row of the first face of each, shape ``(P,)``.
        second: Row of the second face, shape ``(P,)``.
        first_id: Place among the identities of the person on the first side, shape ``(P,)``.
        second_id: Likewise on the second side; the same for pairs of one person.
        total: Pairs there are; more than P when these are a sample.
    """

    first: Ints
    second: Ints
    first_id: Ints
    second_id: Ints
    total: int


def genuine_pairs(groups: Groups, *, most: int, generator: np.random.Generator) -> FacePairs:
    """Returns the pairs of different faces of one person: all, or so many of them.

    Memory beyond the result: 40 bytes a face and up to 32 bytes a pair.

    Args:
        groups: Who is shown.
        most: Pairs at most.
        generator: Source of randomness; not asked where all pairs are returned.

    Raises:
        MetricError: If ``most`` is below 1.
    """
    after = np.arange(groups.rows.size) + 1
    return _pairs(groups, after, np.repeat(groups.bounds[1:], groups.counts) - after, most, generator)


def impostor_pairs(groups: Groups, *, most: int, generator: np.random.Generator) -> FacePairs:
    """Returns the pairs of faces of different people: all, or so many of them.

    Memory beyond the result: 40 bytes a face and up to 32 bytes a pair.

    Args:
        groups: Who is shown.
        most: Pairs at most.
        generator: Source of randomness; not asked where all pairs are returned.

    Raises:
        MetricError: If ``most`` is below 1.
    """
    after = np.repeat(groups.bounds[1:], groups.counts)
    return _pairs(groups, after, groups.rows.size - after, most, generator)


def pair_similarities(vectors: npt.ArrayLike, first: Ints, second: Ints) -> Singles:
    """Returns the cosine similarity of each pair of rows, shape ``(P,)``.

    Products run in float64. Memory beyond input and result: 16 MiB and 9 bytes a row; pairs may be many and the vectors
    memory-mapped.

    Args:
        vectors: Of any length, shape ``(M, D)``.
        first: Row of the first vector of each pair, integers of shape ``(P,)``.
        second: Row of the second one, likewise.

    Raises:
        MetricError: If a vector has length 0 or is not finite.
    """
    given = np.asarray(vectors)
    found = np.empty(len(first), dtype=np.float32)
    height = max(1, _PAIR_BYTES // (4 * given.shape[1]))
    asked = np.zeros(len(given), dtype=np.bool_)
    asked[first] = asked[second] = True
    rows, lengths = np.flatnonzero(asked), np.ones(len(given))
    for start in range(0, len(rows), height):
        some = rows[start : start + height]
        lengths[some] = lengths_above_0(given[some], some)
    for start in range(0, len(first), height):
        one, other = first[start : start + height], second[start : start + height]
        products = np.einsum("nd,nd->n", given[one], given[other], dtype=np.float64)
        found[start : start + height] = products / (lengths[one] * lengths[other])
    return found


def fisher_ratio(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> float:
    """Returns Fisher's discriminant ratio of two sets of scores, ``(mu_g - mu_i)^2 / (var_g + var_i)``.

    It is half the square of :func:`~facebench.metrics.dprime.dprime`. Variances are those of the population.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``.
        impostor: Scores of comparisons of two people, shape ``(I,)``.

    Raises:
        MetricError: If scores are not finite numbers, a class is missing, or neither class has any spread.
    """
    sets = as_sets(genuine, impostor)
    spread = float(sets.genuine.var(dtype=np.float64) + sets.impostor.var(dtype=np.float64))
    if not spread:
        raise MetricError("the Fisher ratio needs scores that vary; found a single value in each class")
    gap = float(sets.genuine.mean(dtype=np.float64) - sets.impostor.mean(dtype=np.float64))
    return gap * gap / spread


def _pairs(groups: Groups, after: Ints, partners: Ints, most: int, generator: np.random.Generator) -> FacePairs:
    """Pairs of each place with some of the places that follow it.

    Args:
        groups: Who is shown; a place is one in ``groups.rows``.
        after: The first partner of each place, shape ``(M,)``; the others follow it.
        partners: How many it has, shape ``(M,)``.
        most: Pairs at most.
        generator: Source of randomness.
    """
    if most < 1:
        raise MetricError(f"at least one pair must be allowed; found {most}")
    ends = np.cumsum(partners)
    total = int(ends[-1])
    chosen = np.arange(total) if total <= most else _sample(total, most, generator)
    one = np.searchsorted(ends, chosen, side="right")
    other = after[one] + chosen - (ends[one] - partners[one])
    person = np.repeat(np.arange(groups.ids.size), groups.counts)
    return FacePairs(groups.rows[one], groups.rows[other], person[one], person[other], total)


def _sample(total: int, count: int, generator: np.random.Generator) -> Ints:
    """So many different numbers below ``total``, rising; any set of them is equally likely."""
    if total <= 4 * count:
        return np.sort(generator.choice(total, count, replace=False, shuffle=False))
    chosen = np.empty(0, dtype=np.int64)
    while chosen.size < count:  # the first so many different numbers of an endless row of draws
        drawn = generator.integers(0, total, count - chosen.size)
        chosen = np.unique(np.concatenate([chosen, drawn]))
    return chosen
