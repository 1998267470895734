"""From embeddings to distances: mirror fusion, unit length, squared Euclidean distance, mean norm.

The published verification figures come from float64 arithmetic on the network's float32 output. Vectors keep their
precision here, so pass ``vectors.astype(np.float64)`` where a figure must agree with them to the last digit; distances
are always computed and returned in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_matrix

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.checks import Floats

_ROWS = 256  # of 512 dimensions in float64: two blocks fit into a megabyte, so into the cache

Fusion = Literal["sum", "none", "concat"]
"""How an image's features and those of its mirror image become one vector."""


def fuse(vectors: npt.ArrayLike, mirrored: npt.ArrayLike | None, *, how: Fusion = "sum") -> Floats:
    """Returns one vector an image from its own features and those of its mirror image.

    Args:
        vectors: Features as the network returned them, not scaled to unit length, shape ``(N, D)``.
        mirrored: Features of the left-right mirrored images, same shape; None is allowed where ``how`` is ``"none"``.
        how: ``"sum"`` adds them un-normalised, as InsightFace's ``verification.py`` and all current IJB code do;
            ``"concat"`` puts them side by side ("F1" in the comments of the IJB scripts), shape ``(N, 2 D)``;
            ``"none"`` returns ``vectors``.

    Raises:
        MetricError: If vectors are not finite, mirrored ones are missing, or the shapes differ.
        UnknownName: If there is no such way.
    """
    plain = as_matrix(vectors)
    if how == "none":
        return plain
    if how not in ("sum", "concat"):
        raise UnknownName("mirror fusion", how, ("sum", "none", "concat"))
    if mirrored is None:
        raise MetricError(f"mirror fusion {how!r} needs the mirrored vectors; found none; embed them or choose 'none'")
    other = _same_shape(plain, mirrored)
    return plain + other if how == "sum" else np.concatenate([plain, other], axis=1)


def unit(vectors: npt.ArrayLike) -> Floats:
    """Returns the vectors scaled to Euclidean length 1, shape ``(N, D)``, in their own precision.

    Raises:
        MetricError: If vectors are not finite, or one has length 0 and therefore no direction.
    """
    checked = as_matrix(vectors)
    # Lengths in float64: a float32 sum of squares can overflow, or vanish, for vectors that are fine.
    lengths = lengths_of(checked)
    zeros = np.flatnonzero(lengths == 0)
    if zeros.size:
        raise MetricError(
            f"vectors of length 0 have no direction; found {zeros.size} of {len(checked)}, the first is row {zeros[0]}"
            "; look for images that the embedder failed on"
        )
    return checked / lengths.astype(checked.dtype)[:, None]


def xnorm(vectors: npt.ArrayLike, mirrored: npt.ArrayLike | None = None) -> float:
    """Returns the mean Euclidean length of all features, original and mirrored, before they are added.

    It is the "XNorm" that InsightFace's ``verification.py`` logs; a sudden change in it betrays an unhealthy training.

    Args:
        vectors: Features as the network returned them, shape ``(N, D)``.
        mirrored: Features of the mirrored images, same shape, if there are any.

    Raises:
        MetricError: If vectors are not finite, or the shapes differ.
    """
    plain = as_matrix(vectors)
    lengths = [lengths_of(plain)]
    if mirrored is not None:
        lengths.append(lengths_of(_same_shape(plain, mirrored)))
    return float(np.mean(lengths))


def pair_distances(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns the squared Euclidean distance of each pair, shape ``(N,)``, float64; 0 to 4 for unit vectors.

    Differences, squares and sums run in float64, in the order of InsightFace's ``verification.py`` (subtract, square,
    sum), so the distances agree with it bit for bit where the vectors do. Cosine similarity is ``1 - distance / 2``.

    Args:
        first: One vector a pair, shape ``(N, D)``, usually from :func:`unit`.
        second: The other one, same shape.

    Raises:
        MetricError: If vectors are not finite, or the shapes differ.
    """
    left = as_matrix(first)
    right = _same_shape(left, second)
    distances = np.empty(len(left), dtype=np.float64)
    for start in range(0, len(left), _ROWS):
        rows = slice(start, start + _ROWS)
        difference = np.subtract(left[rows], right[rows], dtype=np.float64)
        np.sum(np.square(difference, out=difference), axis=1, out=distances[rows])
    return distances


def lengths_of(vectors: Floats) -> npt.NDArray[np.float64]:
    """Euclidean length of each row, in float64 and without a float64 copy of the vectors."""
    lengths: npt.NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return lengths


def _same_shape(vectors: Floats, others: npt.ArrayLike) -> Floats:
    """Checks the partner vectors."""
    checked = as_matrix(others)
    if checked.shape != vectors.shape:
        raise MetricError(
            f"both sets of vectors must have one shape; found {vectors.shape} and {checked.shape}; their rows belong "
            "together one to one"
        )
    return checked
