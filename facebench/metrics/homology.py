"""Persistent homology of dimension 0, at the speed of a training step.

All bars of H0 of a Vietoris-Rips filtration are born at 0 and die at the lengths of the minimum spanning tree, so what
a loss or a report needs is that tree: n - 1 edges. No homology library is asked; none gives the edges, and sorting all
n(n - 1)/2 edges first, as a plain union-find does, is what makes such losses slow.

Edges are ordered by (length, i, j) with i < j. No two are equal in that order, so there is one minimum spanning tree,
the one that Kruskal's algorithm finds when it goes through the edges row by row in a stable sort. Every algorithm here
returns exactly that tree, however many distances are equal or zero.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from facebench.errors import MetricError
from facebench.metrics.checks import Floats, as_matrix
from facebench.metrics.distances import (
    as_array,
    as_wide,
    is_tensor,
    lengths_between,
    measured_on_device,
    measured_points,
)

if TYPE_CHECKING:
    import torch

    Indices = npt.NDArray[np.int64]
    Keys = npt.NDArray[np.uint64]

Array = TypeVar("Array", npt.NDArray[Any], "torch.Tensor")

_BATCH = 512  # points up to which Boruvka's few large steps beat Prim's many small ones on a processor
_KEPT = 2048  # points up to which what depends on their number alone is kept for the next batch
_MOST = 1 << 16  # the two ends of an edge are 16 bits each
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_LITTLE = sys.byteorder == "little"
_TILE = 128  # rows and columns of a matrix that stay in the cache
_ASYMMETRY = 1e-4  # of the largest distance: more than rounding does to a product


@dataclass(frozen=True, slots=True, eq=False)
class Tree(Generic[Array]):
    """A minimum spanning tree of N points, its N - 1 edges ascending by (length, first, second).

    Attributes:
        first: Index of the lower end of each edge, int64, shape ``(N - 1,)``.
        second: Index of the higher end, int64, shape ``(N - 1,)``.
        lengths: Length of each edge, in the precision of the distances, shape ``(N - 1,)``: the deaths of H0. In a
            tensor they carry no gradient; a loss takes the lengths of these edges anew from its points.
    """

    first: Array
    second: Array
    lengths: Array


@overload
def spanning_tree(distances: torch.Tensor) -> Tree[torch.Tensor]: ...
@overload
def spanning_tree(distances: npt.ArrayLike) -> Tree[npt.NDArray[Any]]: ...
def spanning_tree(distances: npt.ArrayLike | torch.Tensor) -> Tree[Any]:
    """Returns the minimum spanning tree of a matrix of distances: the H0 persistence pairing.

    Arrays, and tensors of the processor, go through NumPy: Boruvka's algorithm for up to 512 points, a batch, and
    Prim's for more. It takes twice the memory of float32 distances; float64 ones are ranked first, which takes more of
    both. Tensors of another device stay there, with Boruvka's algorithm in log2(N) rounds of a few large steps, where
    Prim's would be N small steps that wait for one another; checking the distances makes it wait for the device once.

    Args:
        distances: Symmetric, finite and not negative, shape ``(N, N)``; the diagonal is not read. Asymmetry up to 1e-4
            of the largest distance is taken for rounding, and the upper triangle counts. Whole numbers become float64,
            half precision becomes float32.

    Raises:
        MetricError: If the distances are not as described, or there are more than 65,536 points.
    """
    if not is_tensor(distances):
        return _tree(_as_distances(distances))
    if distances.device.type == "cpu":
        return _as_tensors(_tree(_as_distances(as_array(distances))))
    return _device_tree(_as_device_distances(distances))


@overload
def spanning_tree_of_points(points: torch.Tensor) -> Tree[torch.Tensor]: ...
@overload
def spanning_tree_of_points(points: npt.ArrayLike) -> Tree[npt.NDArray[Any]]: ...
def spanning_tree_of_points(points: npt.ArrayLike | torch.Tensor) -> Tree[Any]:
    """Returns the minimum spanning tree of points under the Euclidean distance, its lengths measured exactly.

    The tree is that of :func:`~facebench.metrics.distance_matrix`, whose distances are right to a few 1e-6 of
    themselves; the lengths of the N - 1 edges chosen are then taken from the differences of their points. So the sorted
    lengths are those of the true tree to that accuracy, while among edges whose lengths differ by less, rounding
    decides. Duplicates and points of small whole numbers have exact distances, and their ties are broken as stated.

    Args:
        points: One point a row, shape ``(N, D)``, float32 or float64; images are flattened first.

    Raises:
        MetricError: If the points are not two-dimensional, hold NaN or infinity, or are too large to be squared.
    """
    if is_tensor(points) and points.device.type != "cpu":
        return _device_tree_of_points(points)
    matrix, checked = measured_points(points)
    tree = _exactly(checked, _tree(matrix))
    return _as_tensors(tree) if is_tensor(points) else tree


@overload
def h0_lengths(values: torch.Tensor, *, given: str = ...) -> torch.Tensor: ...
@overload
def h0_lengths(values: npt.ArrayLike, *, given: str = ...) -> npt.NDArray[Any]: ...
def h0_lengths(values: npt.ArrayLike | torch.Tensor, *, given: str = "points") -> Any:
    """Returns the N - 1 deaths of H0, ascending: the merge heights of single linkage.

    They are the lengths of the spanning tree; single linkage without edges is no quicker.

    Args:
        values: Points, shape ``(N, D)``, or distances, shape ``(N, N)``.
        given: Which of the two they are: ``"points"`` or ``"distances"``.

    Raises:
        MetricError: If the values are not as :func:`spanning_tree_of_points` or :func:`spanning_tree` wants them.
    """
    if are_distances(given):
        return spanning_tree(values).lengths
    return spanning_tree_of_points(values).lengths


def are_distances(given: str) -> bool:
    """Whether values that are ``given`` as this are distances, not points.

    Raises:
        MetricError: If it is neither word.
    """
    if given not in ("points", "distances"):
        raise MetricError(f"given must be 'points' or 'distances'; found {given!r}")
    return given == "distances"


def measured(values: npt.ArrayLike, *, given: str) -> tuple[Floats, Tree[npt.NDArray[Any]]]:
    """Returns the distance matrix of points or of checked distances, and its tree; the matrix is the caller's own.

    Args:
        values: Points, shape ``(N, D)``, or distances, shape ``(N, N)``.
        given: Which of the two they are.

    Raises:
        MetricError: If the values are not as described.
    """
    if are_distances(given):
        matrix = np.array(_as_distances(values))
        np.fill_diagonal(matrix, 0)
        return matrix, _tree(matrix)
    matrix, points = measured_points(values)
    tree = _exactly(points, _tree(matrix))
    matrix[tree.first, tree.second] = matrix[tree.second, tree.first] = tree.lengths
    return matrix, tree


def _as_distances(values: npt.ArrayLike) -> Floats:
    """Checked distances, exactly symmetric."""
    matrix = as_matrix(values, "distances")
    if matrix.shape[0] != matrix.shape[1]:
        raise MetricError(f"distances must have the shape (N, N); found {matrix.shape}; pass points as points")
    if matrix.min() < 0:
        raise MetricError(f"distances must not be negative; found {matrix.min():.6g}")
    # Tile by tile, each copied before it is turned: columns of a large matrix are far apart and share few cache lines.
    tiles = [slice(start, start + _TILE) for start in range(0, len(matrix), _TILE)]
    if all((matrix[r, c] == matrix[c, r].copy().T).all() for k, r in enumerate(tiles) for c in tiles[k:]):
        return matrix
    _require_symmetry(float(np.abs(matrix - matrix.T).max()), float(matrix.max()))
    upper = np.triu(matrix, 1)
    return upper + upper.T


def _require_symmetry(gap: float, largest: float) -> None:
    """Refuses what differs from its transpose by more than rounding."""
    if gap > _ASYMMETRY * largest:
        raise MetricError(
            f"distances must be symmetric; found a difference of {gap:.6g} between two directions, the largest "
            f"distance being {largest:.6g}; pass points as points"
        )


def _exactly(points: Floats, tree: Tree[npt.NDArray[Any]]) -> Tree[npt.NDArray[Any]]:
    """The tree with the lengths that its points have."""
    lengths = lengths_between(points, tree.first, tree.second)
    order = np.lexsort((tree.second, tree.first, lengths))
    return Tree(tree.first[order], tree.second[order], lengths[order])


def _tree(distances: Floats) -> Tree[npt.NDArray[Any]]:
    """The tree of checked distances, by the algorithm that is quicker.

    Both work on keys. An edge is one whole number: the place of its length among all lengths, then i, then j, 32 and
    twice 16 bits. So the least of some keys is the shortest of those edges, ties broken, and names both ends.
    """
    count = len(distances)
    if count > _MOST:
        raise MetricError(f"a spanning tree of distances is for up to {_MOST} points; found {count}; take a sample")
    edges = _boruvka(_keys(distances)) if 2 <= count <= _BATCH else _prim(_keys(distances))
    edges.sort()
    first, second = (end.astype(np.int64) for end in _ends(edges))
    return Tree(first, second, np.abs(distances[first, second]))


def _keys(distances: Floats) -> Keys:
    """The keys of all edges, shape ``(N, N)``, and one above all on the diagonal."""
    count, places = len(distances), _places(distances)
    if count <= _BATCH:
        keys = places.astype(np.uint64)
        keys <<= np.uint64(32)
        keys |= _codes(count)
        return keys
    keys = np.empty((count, count), dtype=np.uint64)
    halves = keys.view(np.uint32).reshape(count, count, 2)  # written one by one, which spares the shifts
    low = 0 if _LITTLE else 1
    for start in range(0, count, _TILE):
        rows = slice(start, start + _TILE)
        halves[rows, :, low] = _all_codes(count)[rows] if count <= _KEPT else _codes_of(rows, count)
        halves[rows, :, 1 - low] = places[rows]
    np.fill_diagonal(keys, _NONE)
    return keys


def _places(distances: Floats) -> npt.NDArray[np.uint32]:
    """Whole numbers that order as the distances do: the bits of a float32, the rank of a float64."""
    if distances.dtype == np.float32:
        # The absolute value is a copy that can be read as bits, and has no negative zero.
        return np.abs(distances, order="C").view(np.uint32)
    upper = np.triu(np.ones(distances.shape, dtype=np.bool_), 1)
    places = np.zeros(distances.shape, dtype=np.uint32)
    places[upper] = np.unique(distances[upper], return_inverse=True)[1]
    return np.maximum(places, places.T)


@lru_cache(maxsize=4)
def _codes(count: int) -> Keys:
    """The lower halves of all keys, at most 2 MiB; kept, since batches come in few sizes."""
    codes = _codes_of(slice(0, count), count).astype(np.uint64)
    np.fill_diagonal(codes, _NONE)
    codes.flags.writeable = False
    return codes


@lru_cache(maxsize=1)
def _all_codes(count: int) -> npt.NDArray[np.uint32]:
    """The same of larger batches, at most 16 MiB."""
    codes = _codes_of(slice(0, count), count)
    codes.flags.writeable = False
    return codes


def _codes_of(rows: slice, count: int) -> npt.NDArray[np.uint32]:
    """The lower halves of the keys of the edges from some points to all."""
    points = np.arange(count, dtype=np.uint32)
    some = points[rows, None]
    codes = np.minimum(some, points)
    codes <<= 16
    codes |= np.maximum(some, points)
    return codes


def _ends(edges: Keys) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """The two ends of each edge, read from the memory of the keys."""
    quarters = edges.view(np.uint16).reshape(-1, 4)
    return (quarters[:, 1], quarters[:, 0]) if _LITTLE else (quarters[:, 2], quarters[:, 3])


def _boruvka(keys: Keys) -> Keys:
    """The keys of the tree of two points or more, by Boruvka: all components take their shortest edge at once."""
    count = len(keys)
    points = np.arange(count)
    component, missing = points, count - 1
    found: list[Keys] = []
    while True:
        # Here ``keys`` has a row for each component, with its shortest edge to every point outside.
        shortest = keys.min(axis=1)
        number = points[: len(keys)]
        first, second = _ends(shortest)
        parent = component[first] + component[second] - number
        # Where two components choose one another, they choose the same edge; the lower one becomes the root.
        root = (parent[parent] == number) & (number < parent)
        np.copyto(parent, number, where=root)
        found.append(shortest[~root])
        missing -= len(found[-1])
        if not missing:
            return np.concatenate(found)
        while ((above := parent[parent]) != parent).any():
            parent = above
        joined = (root.cumsum() - 1)[parent]
        component = joined[component]
        sizes = np.bincount(joined)
        keys = np.minimum.reduceat(keys[joined.argsort(kind="stable")], sizes.cumsum() - sizes, axis=0)
        keys[component, points] = _NONE


def _prim(keys: Keys) -> Keys:
    """The keys of the tree, by Prim: the tree takes the nearest point, N - 1 times."""
    best, inside = keys[0].copy(), np.zeros(len(keys), dtype=np.uint64)
    inside[0] = _NONE
    edges = np.empty(len(keys) - 1, dtype=np.uint64)
    for step in range(len(edges)):
        point = best.argmin()
        edges[step], inside[point] = best[point], _NONE
        np.minimum(best, keys[point], out=best)
        np.bitwise_or(best, inside, out=best)
    return edges


def _as_tensors(tree: Tree[npt.NDArray[Any]]) -> Tree[torch.Tensor]:
    """The tree as tensors of the processor."""
    import torch

    return Tree(torch.from_numpy(tree.first), torch.from_numpy(tree.second), torch.from_numpy(tree.lengths))


def _as_device_distances(values: torch.Tensor) -> torch.Tensor:
    """As :func:`_as_distances`, on the device of the values, for which it waits once."""
    import torch

    matrix = as_wide(values)
    if matrix.ndim != 2 or not len(matrix) or matrix.shape[0] != matrix.shape[1]:
        raise MetricError(f"distances must have the shape (N, N); found {tuple(matrix.shape)}; pass points as points")
    found = torch.stack([matrix.min(), matrix.max(), (matrix - matrix.T).abs().max()]).tolist()
    if not np.isfinite(found).all():
        raise MetricError("distances must be finite; found NaN or infinity; look for failed embeddings")
    least, largest, gap = found
    if least < 0:
        raise MetricError(f"distances must not be negative; found {least:.6g}")
    if not gap:
        return matrix
    _require_symmetry(gap, largest)
    upper = matrix.triu(1)
    return upper + upper.T


def _device_tree_of_points(points: torch.Tensor) -> Tree[torch.Tensor]:
    """The tree of points, on their device."""
    matrix, points = measured_on_device(points)
    tree = _device_tree(matrix)
    by_ends = (tree.first * len(points) + tree.second).argsort()
    first, second = tree.first[by_ends], tree.second[by_ends]
    lengths, order = lengths_between(points, first, second).sort(stable=True)
    return Tree(first[order], second[order], lengths)


def _device_tree(distances: torch.Tensor) -> Tree[torch.Tensor]:
    """Boruvka's algorithm in operations that need no answer from the device before the next one is sent.

    So it always makes ceil(log2 N) rounds, each of which at least halves the components, and the last may be idle. Of
    equal minima ``argmin`` takes the first, which is the edge with the lower other end.
    """
    import torch

    count, device = len(distances), distances.device
    points = torch.arange(count, device=device)
    infinite = torch.full((count,), torch.inf, dtype=distances.dtype, device=device)
    none = torch.full((count,), count * count, device=device)
    component, found = points, [none[: count - 1]]
    rounds = (count - 1).bit_length()
    for _ in range(rounds):
        away = torch.where(component[:, None] == component, torch.inf, distances)
        nearest = away.argmin(dim=1)
        length = away.gather(1, nearest[:, None])[:, 0]
        code = torch.minimum(points, nearest) * count + torch.maximum(points, nearest)
        shortest = infinite.scatter_reduce(0, component, length, "amin")[component]
        code = torch.where((length == shortest) & (length < torch.inf), code, none)
        chosen = none.scatter_reduce(0, component, code, "amin")
        exists = chosen < count * count
        edge = torch.where(exists, chosen, 0)
        across = component[edge // count] + component[edge % count] - points
        parent = torch.where(exists, across, points)
        root = (parent[parent] == points) & (points < parent)
        parent = torch.where(root, points, parent)
        found.append(torch.where(root, none, chosen))
        for _ in range(rounds):
            parent = parent[parent]
        component = parent[component]
    edges = torch.cat(found).sort().values[: count - 1]
    lengths, order = distances.flatten()[edges].abs().sort(stable=True)
    edges = edges[order]
    return Tree(edges // count, edges % count, lengths)
