"""The Frechet distance between two sets of vectors, each taken for a Gaussian.

With the features of an Inception network it is the FID of image generation; with any other embedding it is another
number, so whoever reports it must name the embedding. It is biased: few vectors give a larger distance than many of the
same kind, so compare only sets of like size, and mind that fewer vectors than dimensions leave directions without any
spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from facebench.errors import MetricError
from facebench.metrics.checks import as_matrix

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

_BLOCK_BYTES = 16 << 20  # of vectors in float64


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and covariance of some vectors.

    Attributes:
        count: Vectors behind them.
        mean: Shape ``(D,)``.
        covariance: With ``count - 1`` in the denominator, shape ``(D, D)``.
    """

    count: int
    mean: Doubles
    covariance: Doubles


def moments(vectors: npt.ArrayLike, *, rows: npt.ArrayLike | None = None) -> Moments:
    """Returns mean and covariance of some vectors, read block by block.

    Memory beyond the input: 32 MiB and 16 bytes for each entry of the covariance.

    Args:
        vectors: Shape ``(M, D)``; it may be memory-mapped.
        rows: Which of them, integers; all if not given.

    Raises:
        MetricError: If vectors are not finite, or there are fewer than two.
    """
    given = np.asarray(vectors)
    chosen = np.arange(len(given)) if rows is None else np.asarray(rows)
    if given.ndim != 2 or chosen.size < 2:
        raise MetricError(f"a covariance needs at least 2 vectors; found {chosen.size} of shape {given.shape[1:]}")
    size = given.shape[1]
    height = max(1, _BLOCK_BYTES // (8 * size))
    # Sums are taken around a vector near the mean: squares of what is far from 0 would drown their differences.
    near = as_matrix(given[chosen[:height]]).mean(axis=0, dtype=np.float64)
    total, products = np.zeros(size), np.zeros((size, size))
    for start in range(0, chosen.size, height):
        block = as_matrix(given[chosen[start : start + height]]).astype(np.float64)
        block -= near
        total += block.sum(axis=0)
        products += block.T @ block
    total /= chosen.size
    products -= chosen.size * np.outer(total, total)
    return Moments(chosen.size, near + total, products / (chosen.size - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """Returns ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, 0 or more (Dowson and Landau, 1982).

    The trace of the root is the sum of the singular values of ``S1^(1/2) S2^(1/2)``, each root from the eigenvalues of
    its symmetric matrix: nothing complex can arise, and covariances without full rank are as good as others.

    Args:
        first: Of one set.
        second: Of the other; the order does not matter.

    Raises:
        MetricError: If the dimensions differ.
    """
    if first.mean.shape != second.mean.shape:
        raise MetricError(
            f"both sets must have one dimension; found {first.mean.size} and {second.mean.size}; embed both with one "
            "model"
        )
    apart = first.mean - second.mean
    common = linalg.svdvals(_root(first.covariance) @ _root(second.covariance))
    spread = np.trace(first.covariance) + np.trace(second.covariance) - 2 * common.sum()
    return max(0.0, float(apart @ apart + spread))


def _root(covariance: Doubles) -> Doubles:
    """The symmetric root of a matrix without negative eigenvalues but for rounding."""
    values, directions = linalg.eigh(covariance)
    root: Doubles = (directions * np.sqrt(np.maximum(values, 0.0))) @ directions.T
    return root
