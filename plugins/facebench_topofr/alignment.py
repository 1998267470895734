"""Invariant structure alignment: the shape of a batch in pixels, asked of its embeddings.

The finite 0-dimensional persistence pairs of a Vietoris-Rips filtration are the edges of a minimum spanning tree, and
their deaths its lengths (TopoFR, section 4.1 and appendix A.1). So a batch's shape is n - 1 numbers, and only n - 1
distances between embeddings take part in autograd. Which edges these are is a constant of the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from facebench.metrics import distance_matrix, spanning_tree

if TYPE_CHECKING:
    from torch import Tensor

    from facebench.metrics import Tree

Matching = Literal["sorted", "symmetric"]
LatentNorm = Literal["none", "max"]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How differently a batch is shaped in pixels and in embeddings.

    Attributes:
        discrepancy: Scalar with gradient, at least 0: what is minimised.
        scale_free: Scalar without gradient: the discrepancy after all embeddings were multiplied by the one number that
            makes it smallest. A network can lower ``discrepancy`` by shrinking its embeddings, this one it cannot.
        shared: Scalar without gradient, in [0, 1]: the share of a tree's edges that are edges of the other tree too.
            Unrelated batches share about 2 / n.
    """

    discrepancy: Tensor
    scale_free: Tensor
    shared: Tensor


@dataclass(frozen=True, slots=True)
class _Matched:
    """Distances that should be equal, (M,) each, and by what their squared differences are divided."""

    wanted: Tensor
    found: Tensor
    divisor: float


def align(
    source: Tensor,
    vectors: Tensor,
    *,
    matching: Matching = "sorted",
    latent_norm: LatentNorm = "none",
    group_size: int = 128,
) -> Alignment:
    """Compares shapes.

    With a_i and b_i the lengths of the two trees in rising order, ``sorted`` is sum (a_i - b_i)^2 / n, as released:
    the squared 2-Wasserstein distance of the persistence diagrams, divided by n, which never asks whether the same
    faces are near to each other. ``symmetric`` is equation 2, divided by n as well: each tree's edges are measured in
    both spaces, half the sum of all squared differences.

    Distances between images are divided by the largest that values in [-1, 1] allow, those between embeddings by
    nothing; with ``latent_norm`` ``max`` both are divided by the largest of the group instead, so that the length of
    the embeddings does not matter.

    Args:
        source: float (N, C, H, W), undisturbed images in [-1, 1].
        vectors: (N, D), raw embeddings.
        matching: See above.
        latent_norm: See above.
        group_size: Faces that make one shape; a batch is cut into groups in its order, and the sums over all of them
            are divided by N.

    Returns:
        All values as means over groups, weighed by their faces; float32, or float64 where the vectors are. NaN where
        the vectors are not finite, so that whoever looks at the loss can say where that was.
    """
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    vectors, pixels = vectors.to(dtype), source.detach().flatten(1).to(dtype)
    if not bool(vectors.isfinite().all()):
        nothing = vectors.detach().new_tensor(math.nan)
        return Alignment(nothing, nothing, nothing)
    parts = [
        _align(images, latent, matching, latent_norm)
        for images, latent in zip(torch.split(pixels, group_size), torch.split(vectors, group_size), strict=True)
    ]
    weights = [min(group_size, len(pixels) - first) / len(pixels) for first in range(0, len(pixels), group_size)]

    def mean(values: list[Tensor]) -> Tensor:
        return torch.stack([value * weight for value, weight in zip(values, weights, strict=True)]).sum()

    return Alignment(
        discrepancy=mean([part.discrepancy for part in parts]),
        scale_free=mean([part.scale_free for part in parts]),
        shared=mean([part.shared for part in parts]),
    )


def _align(pixels: Tensor, vectors: Tensor, matching: Matching, latent_norm: LatentNorm) -> Alignment:
    """Of one group: (n, P) and (n, D)."""
    with torch.no_grad():
        images, latent = distance_matrix(pixels), distance_matrix(vectors)
        trees = spanning_tree(images), spanning_tree(latent)
        largest = images.max() if latent_norm == "max" else images.new_tensor(2 * math.sqrt(pixels.shape[1]))
        images = images / torch.where(largest > 0, largest, 1)
    unit = _widest(vectors, latent) if latent_norm == "max" else 1.0
    if matching == "sorted":
        found = (_lengths(vectors, trees[1]) / unit).sort().values
        pairs = _Matched(_known(images, trees[0]), found, len(pixels))
    else:
        wanted = torch.cat([_known(images, tree) for tree in trees])
        found = torch.cat([_lengths(vectors, tree) for tree in trees]) / unit
        pairs = _Matched(wanted, found, 2 * len(pixels))
    discrepancy = (pairs.wanted - pairs.found).square().sum() / pairs.divisor
    with torch.no_grad():
        return Alignment(discrepancy, _at_best_scale(pairs), _shared(trees, len(pixels)))


def _known(distances: Tensor, tree: Tree[Tensor]) -> Tensor:
    """(n - 1,), the distances along a tree's edges, of a space that needs no gradient."""
    return distances[tree.first, tree.second]


def _lengths(points: Tensor, tree: Tree[Tensor]) -> Tensor:
    """The same with gradient. Equal points have no direction: their gradient is 0."""
    found: Tensor = torch.linalg.vector_norm(points[tree.first] - points[tree.second], dim=1)
    return found


def _widest(points: Tensor, distances: Tensor) -> Tensor:
    """The largest distance, with gradient; 1 where all points are equal."""
    first, second = divmod(int(distances.argmax()), len(points))
    found = torch.linalg.vector_norm(points[first] - points[second])
    return torch.where(found > 0, found, 1.0)


def _at_best_scale(pairs: _Matched) -> Tensor:
    """The least of sum (a - s b)^2 over all s, divided like the discrepancy."""
    across, size = pairs.wanted @ pairs.found, pairs.found @ pairs.found
    scale = torch.where(size > 0, across / size, 0.0)
    return (pairs.wanted - scale * pairs.found).square().sum() / pairs.divisor


def _shared(trees: tuple[Tree[Tensor], Tree[Tensor]], count: int) -> Tensor:
    """The share of edges that two trees have in common."""
    ends = [(torch.minimum(tree.first, tree.second), torch.maximum(tree.first, tree.second)) for tree in trees]
    one, other = (low * count + high for low, high in ends)
    return torch.isin(one, other).float().sum() / max(count - 1, 1)
