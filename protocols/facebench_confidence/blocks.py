"""Whether the K blocks of an embedding say different things.

URL (Shi et al., CVPR 2020) reports that without its decorrelation the K = 16 blocks have a mean correlation of 0.57 and
does not say of what. Two readings are measured here, each against what the same blocks reach by chance:

* of the blocks' *similarities*: over pairs of clean faces of different people, the Pearson correlation of the cosine
  within block k with that within block l. Pairs of one person are left out: who is shown is what all blocks should
  agree on, and how many such pairs there are would decide the number.
* of the blocks' *values*: over clean faces, the Pearson correlation of a coordinate of block k with one of block l.

Both of blocks scaled to unit length each, as URL compares them (equation 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric, MetricError
from facebench.metrics import unit_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

PUBLISHED = 0.57
MOST_FACES = 1000  # whose pairs are compared: half a million of them take 8 bytes for each block
_SHUFFLES = 10
# Name and score of the two metrics.
_SIMILARITIES = ("block-correlation", "cosine")
_VALUES = ("block-correlation-values", "values")


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """What was found of the blocks.

    Attributes:
        metrics: ``block-correlation`` and ``block-correlation-values``, absent with a reason where there is none.
        matrix: Correlations of similarities, (K, K); None where there are none.
    """

    metrics: tuple[Metric, Metric]
    matrix: Doubles | None


def measure(vectors: npt.NDArray[np.float32], people: Ints, *, count: int, seed: int) -> Blocks:
    """Both correlations of the blocks of clean faces.

    Args:
        vectors: Of clean faces, (F, D); of more than a thousand, a thousand spread evenly are taken.
        people: Who they are, (F,).
        count: K.
        seed: Of the shuffled faces that tell what chance gives.
    """
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_FACES)).astype(np.int64))
    try:
        blocks = blocks_of(vectors[chosen], count)
    except MetricError as error:
        return Blocks((_absent(*_SIMILARITIES, str(error)), _absent(*_VALUES, str(error))), None)
    shuffles = _shuffled(len(chosen), count, seed)
    similarities, matrix = _similarities(blocks, people[chosen], shuffles)
    return Blocks((similarities, _values(blocks, shuffles)), matrix)


def _similarities(blocks: Doubles, people: Ints, shuffles: Sequence[Ints]) -> tuple[Metric, Doubles | None]:
    """``block-correlation`` and the matrix behind it."""
    try:
        matrix = similarity_correlation(blocks, people)
        chance = [mean_off_diagonal(similarity_correlation(blocks, people, rows=rows)) for rows in shuffles]
    except MetricError as error:
        return _absent(*_SIMILARITIES, str(error)), None
    apart = matrix[~np.eye(len(matrix), dtype=np.bool_)]
    detail: dict[str, int | float | str] = {
        "mean with sign": float(apart.mean()),
        "largest": float(np.abs(apart).max()),
        "chance": float(np.mean(chance)),
        "published for K = 16 without decorrelation": PUBLISHED,
        "blocks": len(blocks),
        "faces": len(people),
    }
    return _metric(*_SIMILARITIES, mean_off_diagonal(matrix), detail), matrix


def _values(blocks: Doubles, shuffles: Sequence[Ints]) -> Metric:
    """``block-correlation-values``."""
    try:
        value = value_correlation(blocks)
        chance = [value_correlation(np.take_along_axis(blocks, rows[:, :, None], axis=1)) for rows in shuffles]
    except MetricError as error:
        return _absent(*_VALUES, str(error))
    return _metric(*_VALUES, value, {"chance": float(np.mean(chance)), "blocks": len(blocks), "faces": blocks.shape[1]})


def blocks_of(vectors: npt.NDArray[np.float32], count: int) -> Doubles:
    """The K blocks of each vector, each of unit length, (K, F, D / K).

    Raises:
        MetricError: When there is one block only, D is no multiple of K, or a block has no direction.
    """
    if count < 2:
        raise MetricError("the method predicts one confidence for the whole vector: there are no blocks to compare")
    parts = unit_blocks(vectors.astype(np.float64), count).reshape(len(vectors), count, -1)
    return np.ascontiguousarray(parts.transpose(1, 0, 2), dtype=np.float64)


def similarity_correlation(blocks: Doubles, people: Ints, *, rows: Ints | None = None) -> Doubles:
    """Pearson correlations of the blocks' cosines over all pairs of faces of different people, (K, K).

    Args:
        blocks: Of unit length, (K, F, d).
        people: Who the faces are, (F,).
        rows: For each block, the order in which it takes the faces, (K, F); the same for all if not given.

    Raises:
        MetricError: When there are fewer than two such pairs, or a block's cosines do not vary.
    """
    first, second = np.triu_indices(len(people), k=1)
    apart = people[first] != people[second]
    first, second = first[apart], second[apart]
    if len(first) < 2:
        raise MetricError(f"correlations need at least 2 pairs of different people; found {len(first)}")
    cosines = np.empty((len(blocks), len(first)))
    for place, block in enumerate(blocks):
        taken = block if rows is None else block[rows[place]]
        cosines[place] = (taken @ taken.T)[first, second]
    return _correlations(cosines, "cosines")


def value_correlation(blocks: Doubles) -> float:
    """Mean absolute Pearson correlation over faces of each two values of different blocks.

    Args:
        blocks: Of unit length, (K, F, d). Values that are the same in all faces are left out.

    Raises:
        MetricError: When fewer than two blocks have values that vary.
    """
    count, faces, size = blocks.shape
    values = blocks.transpose(0, 2, 1).reshape(count * size, faces)
    owner = np.repeat(np.arange(count), size)
    vary = np.ptp(values, axis=1) > 1e-12
    if len(np.unique(owner[vary])) < 2:
        raise MetricError("fewer than two blocks have values that differ from face to face")
    found = _correlations(values[vary], "values")
    return float(np.abs(found[owner[vary][:, None] != owner[vary]]).mean())


def mean_off_diagonal(matrix: Doubles) -> float:
    """Mean absolute value beside the diagonal."""
    return float(np.abs(matrix[~np.eye(len(matrix), dtype=np.bool_)]).mean())


def _correlations(rows: Doubles, what: str) -> Doubles:
    """Pearson correlations of each two rows; overwrites them."""
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not (lengths > 1e-9).all():
        raise MetricError(f"the {what} of {int(np.count_nonzero(lengths <= 1e-9))} of {len(rows)} blocks do not vary")
    rows /= lengths[:, None]
    found: Doubles = np.clip(rows @ rows.T, -1.0, 1.0)
    return found


def _shuffled(faces: int, count: int, seed: int) -> list[Ints]:
    """Orders of the faces, another one for each block, (K, F) each."""
    random = np.random.default_rng((seed, 1))
    return [random.permuted(np.tile(np.arange(faces), (count, 1)), axis=1) for _ in range(_SHUFFLES)]


def _metric(name: str, score: str, value: float, detail: dict[str, int | float | str]) -> Metric:
    return Metric(name=name, value=value, unit="1", higher_is_better=False, score=score, detail=detail)


def _absent(name: str, score: str, reason: str) -> Metric:
    return Metric(name=name, value=None, unit="1", higher_is_better=False, score=score, reason=reason)
