"""How far the shape of a latent space is from that of the inputs, for the same faces.

The number that topology-aligning losses lower, and with it those it must be read beside: a global factor on the
embeddings alone brings that loss to almost nothing, though the spaces may have no structure in common. So the best
factor, what is left after it, measures that know no scale, and the share of common edges stand in one record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.diagrams import matched_bottleneck, matched_wasserstein
from facebench.metrics.homology import Tree, measured

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """How an input space X and a latent space Z over the same N points differ.

    Below, a and b are the lengths of the N - 1 edges of the minimum spanning trees of X and Z, ascending, those of X
    divided by its diameter; smaller is more alike except where said.

    Attributes:
        points: N.
        isa_sorted: ``sum (a - b)^2 / N``: the alignment loss as TopoFR's released training computes it.
        isa_symmetric: Eq. (2) of TopoFR divided by N: half the squared differences of either tree's edges, each edge
            measured in both spaces.
        scale: The factor on Z that makes ``isa_sorted`` least, ``sum ab / sum b^2``.
        isa_at_best_scale: ``isa_sorted`` with that factor.
        isa_by_maximum: ``isa_sorted`` with each space divided by its own largest distance.
        isa_by_mean: ``isa_sorted`` with each space divided by its own mean edge.
        shared_edges: Share of edges that both trees have, in [0, 1], higher is more alike; unrelated spaces share
            about 2 / N.
        wasserstein1: ``sum |a - b|``, the 1-Wasserstein distance of the H0 diagrams without a diagonal.
        wasserstein2: ``sqrt(sum (a - b)^2)``, likewise.
        bottleneck: ``max |a - b|``, likewise.
        rank_correlation: Spearman's, of the distances of all pairs, in [-1, 1], higher is more alike; None where all
            distances of a space are equal.
    """

    points: int
    isa_sorted: float
    isa_symmetric: float
    scale: float
    isa_at_best_scale: float
    isa_by_maximum: float
    isa_by_mean: float
    shared_edges: float
    wasserstein1: float
    wasserstein2: float
    bottleneck: float
    rank_correlation: float | None


def discrepancy(
    inputs: npt.ArrayLike, latents: npt.ArrayLike, *, diameter: float = 1.0, given: str = "points"
) -> Discrepancy:
    """Compares two spaces over the same points.

    Time and memory are those of a few matrices of N x N; 128 points take milliseconds.

    Args:
        inputs: Points of the input space, one a row, shape ``(N, D)``, or their distances, shape ``(N, N)``.
        latents: The same points in the latent space, in the same order, shape ``(N, E)`` or ``(N, N)``.
        diameter: What the input distances are divided by. TopoFR takes the largest distance that images valued in
            [-1, 1] can have, ``2 * sqrt(C * H * W)``, 387.98 for 3 x 112 x 112.
        given: What both are: ``"points"`` or ``"distances"``.

    Raises:
        MetricError: If either is not as described, they are not equally many or fewer than two, or all points of a
            space are one.
    """
    if not (np.isfinite(diameter) and diameter > 0):
        raise MetricError(f"diameter must be a finite number above 0; found {diameter!r}")
    (x, x_tree), (z, z_tree) = (_space(values, given) for values in (inputs, latents))
    count = len(x)
    if len(z) != count or count < 2:
        raise MetricError(f"both spaces must hold the same 2 or more points; found {count} and {len(z)}")
    for space, name in ((x, "inputs"), (z, "latents")):
        if not space.any():
            raise MetricError(f"all {name} are one point; there is no shape to compare")
    x /= diameter
    a, b = x_tree.lengths.astype(np.float64) / diameter, z_tree.lengths.astype(np.float64)
    scale = float(a @ b / (b @ b))
    return Discrepancy(
        points=count,
        isa_sorted=_mean_square(a, b, count),
        isa_symmetric=sum(_mean_square(x[edges], z[edges], count) for edges in map(_ends, (x_tree, z_tree))) / 2,
        scale=scale,
        isa_at_best_scale=_mean_square(a, scale * b, count),
        isa_by_maximum=_mean_square(a / x.max(), b / z.max(), count),
        isa_by_mean=_mean_square(a / a.mean(), b / b.mean(), count),
        shared_edges=np.intersect1d(_codes(x_tree, count), _codes(z_tree, count)).size / (count - 1),
        wasserstein1=matched_wasserstein(a, b, p=1),
        wasserstein2=matched_wasserstein(a, b, p=2),
        bottleneck=matched_bottleneck(a, b),
        rank_correlation=_rank_correlation(x, z),
    )


def _space(values: npt.ArrayLike, given: str) -> tuple[Numbers, Tree[npt.NDArray[Any]]]:
    """The distances of a space, in float64, and its tree."""
    distances, tree = measured(values, given=given)
    return distances.astype(np.float64), tree


def _ends(tree: Tree[npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The edges as an index into a matrix."""
    return tree.first, tree.second


def _codes(tree: Tree[npt.NDArray[Any]], count: int) -> npt.NDArray[Any]:
    """A number for each edge."""
    return np.asarray(tree.first * count + tree.second)


def _mean_square(a: Numbers, b: Numbers, count: int) -> float:
    """The squared differences, summed and divided by the number of points, which is not that of the differences."""
    return float(((a - b) ** 2).sum() / count)


def _rank_correlation(x: Numbers, z: Numbers) -> float | None:
    """Spearman's correlation of the upper triangles, equal distances sharing their mean rank."""
    from scipy.stats import rankdata

    pairs = np.triu_indices(len(x), 1)
    left, right = (ranks - ranks.mean() for ranks in (rankdata(space[pairs]) for space in (x, z)))
    spread = float(np.sqrt((left @ left) * (right @ right)))
    return float(np.clip(left @ right / spread, -1, 1)) if spread else None
