"""Euclidean distances between all points of a batch, as exact as they are quick.

The plain way, the difference of every two points, reads n points n times: 128 face images of 3 x 112 x 112 take seconds
and gigabytes. One matrix product does it in milliseconds, but subtracts large numbers to get small ones, and so knows
little about near-duplicates. Here the product does the bulk, and the pairs that it cannot be trusted with are measured
from their difference.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard, cast, overload

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import Floats, as_matrix
from facebench.metrics.products import exact_products

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    Indices = npt.NDArray[np.int64]

# A squared distance below this share of the squared norms it is the difference of is measured anew. What is left of
# the product's rounding is then some 1e-6 of a distance in float32 and 1e-9 in float64.
_SHARE = {"float32": 2.0**-4, "float64": 2.0**-24}
# A difference has at most four times the squared norm, and rounding needs room.
_LARGEST = {"float32": float(np.finfo(np.float32).max) / 8, "float64": float(np.finfo(np.float64).max) / 8}
_SMALL = 1e-24  # where squared norms are smaller, parts of them come near the end of float32
_ROWS = 64  # of the matrix at a time, so that they stay in the cache between one step and the next
_CHUNK_BYTES = {"cpu": 1 << 20, "other": 256 << 20}  # differences at a time: what a cache holds, what fills a device


@overload
def distance_matrix(points: torch.Tensor) -> torch.Tensor: ...
@overload
def distance_matrix(points: npt.ArrayLike) -> Floats: ...
def distance_matrix(points: npt.ArrayLike | torch.Tensor) -> Floats | torch.Tensor:
    """Returns the Euclidean distances of all points to one another, shape ``(N, N)``, symmetric, zeros on the diagonal.

    Computed through one product, in the precision of the points; pairs much closer to one another than to the origin
    are measured from their difference, so every distance is right to a few 1e-6 of itself and duplicates are exactly 0
    apart. Points with many such pairs are centred first. Points of small whole numbers get the correctly rounded
    distances, so equal ones stay equal.

    Args:
        points: One point a row, shape ``(N, D)``: float32 (as which half precision is taken too), or float64, also for
            points whose squares float32 cannot hold. A tensor is measured where it is, without a gradient.

    Raises:
        MetricError: If the points are not two-dimensional, hold NaN or infinity, or are too large to be squared.
    """
    if not is_tensor(points):
        return measured_points(points)[0]
    if points.device.type != "cpu":
        return measured_on_device(points)[0]
    import torch

    return torch.from_numpy(measured_points(points)[0])


@overload
def lengths_between(points: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor: ...
@overload
def lengths_between(points: Floats, first: Indices, second: Indices) -> Floats: ...
def lengths_between(points: Any, first: Any, second: Any) -> Any:
    """Returns the distances of chosen pairs of points, each from its difference, shape ``(E,)``.

    Args:
        points: Finite float32 or float64, shape ``(N, D)``.
        first: Index of one end of each pair, shape ``(E,)``.
        second: Index of the other, shape ``(E,)``.
    """
    here = not is_tensor(points)
    budget = _CHUNK_BYTES["cpu" if here else "other"]
    step = max(1, budget // (points.shape[1] * points.dtype.itemsize))
    parts = []
    for start in range(0, len(first), step):
        gaps = points[first[start : start + step]] - points[second[start : start + step]]
        parts.append(np.sqrt(np.vecdot(gaps, gaps)) if here else gaps.square().sum(dim=1).sqrt())
    if not parts:
        return points[:0, 0]
    if here:
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


def is_tensor(values: object) -> TypeGuard[torch.Tensor]:
    """Whether something is a tensor, found out without importing torch: who has a tensor has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def measured_points(points: npt.ArrayLike | torch.Tensor) -> tuple[Floats, Floats]:
    """Returns the distance matrix of points on the processor, and the points in the precision that it took.

    Raises:
        MetricError: If they are not as :func:`distance_matrix` wants them.
    """
    array = np.ascontiguousarray(as_matrix(as_array(points), "points"))
    with np.errstate(over="ignore", invalid="ignore"):
        matrix, norm = _on_host(array)
        if array.dtype == np.float32 and not (_SMALL <= norm <= _LARGEST["float32"]) and array.any():
            array = array.astype(np.float64)
            matrix, norm = _on_host(array)
    _require_squares(norm, array)
    return matrix, array


def as_array(values: npt.ArrayLike | torch.Tensor) -> npt.ArrayLike:
    """Returns a tensor of the processor as an array that shares its memory, and anything else as it is."""
    if not is_tensor(values):
        return cast("npt.ArrayLike", values)
    return as_wide(values).numpy()


def as_wide(values: torch.Tensor) -> torch.Tensor:
    """Returns a tensor without its gradient, half precision as float32 and whole numbers as float64."""
    import torch

    values = values.detach()
    if values.dtype in (torch.float32, torch.float64):
        return values
    return values.float() if values.is_floating_point() else values.double()


def _require_squares(norm: float, points: Any) -> None:
    """Refuses points whose squared distances would overflow."""
    if not norm <= _LARGEST["float64"]:
        raise MetricError(
            f"points must be small enough to be squared; found members up to {float(abs(points).max()):.3g}; scale them"
        )


def _on_host(points: Floats) -> tuple[Floats, float]:
    """The distance matrix of finite points, and their largest squared norm, by which to know whether it is any good."""
    squares, norm, first, second = _squares(points)
    if first.size > len(points):
        # A point near the mean serves as the centre: whole numbers stay whole, where the mean would make fractions.
        squares, _, first, second = _squares(points - points[squares.sum(axis=1).argmin()])
    lengths = np.sqrt(squares, out=squares)
    if first.size:
        lengths[first, second] = lengths[second, first] = lengths_between(points, first, second)
    return lengths, norm


def _squares(points: Floats) -> tuple[Floats, float, Indices, Indices]:
    """Squared distances, the largest squared norm, and the ends of each pair to doubt; no second matrix is made."""
    squares = points @ points.T
    norms = squares.diagonal().copy()
    ends: list[tuple[Indices, Indices]] = []
    for start in range(0, len(points), _ROWS):
        rows = squares[start : start + _ROWS]
        sums = norms[start : start + _ROWS, None] + norms
        rows *= -2
        rows += sums
        sums *= _SHARE[points.dtype.name]
        first, second = (rows < sums).nonzero()
        np.maximum(rows, 0, out=rows)
        first += start
        upper = first < second
        ends.append((first[upper], second[upper]))
    np.fill_diagonal(squares, 0)
    first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
    return squares, float(norms.max()), first, second


def measured_on_device(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`measured_points`, on the device of the points; it waits for the device to look at what it found.

    Raises:
        MetricError: If they are not as :func:`distance_matrix` wants them.
    """
    points = as_wide(points)
    if points.ndim != 2 or not points.numel():
        raise MetricError(f"points must have the shape (rows, dimensions), neither of them 0; found {points.shape}")
    matrix, norm = _on_device(points)
    if not _SMALL <= norm <= _LARGEST["float32"]:
        if not bool(points.isfinite().all()):
            raise MetricError("points must be finite; found NaN or infinity; look for failed embeddings")
        if str(points.dtype) == "torch.float32" and bool(points.any()):
            points = points.double()
            matrix, norm = _on_device(points)
        _require_squares(norm, points)
    return matrix, points


def _on_device(points: torch.Tensor) -> tuple[torch.Tensor, float]:
    """As :func:`_on_host`."""
    squares, norm, doubtful = _device_squares(points)
    if int(doubtful.count_nonzero()) > len(points):
        squares, _, doubtful = _device_squares(points - points[squares.sum(dim=1).argmin()])
    lengths = squares.sqrt_()
    first, second = doubtful.nonzero(as_tuple=True)
    exact = lengths_between(points, first, second)
    lengths[first, second] = exact
    lengths[second, first] = exact
    return lengths, norm


def _device_squares(points: torch.Tensor) -> tuple[torch.Tensor, float, torch.Tensor]:
    """As :func:`_squares`, with a mask of the doubtful pairs, in its upper triangle."""
    with exact_products():
        product = points @ points.T
    gram = product.clone()  # out of inference mode, so that what is made of it can take part in training
    gram = (gram + gram.T) / 2
    norms = gram.diagonal()
    sums = norms[:, None] + norms
    squares = sums - 2 * gram
    doubtful = (squares < _SHARE[str(points.dtype).removeprefix("torch.")] * sums).triu(1)
    return squares.clamp_(min=0).fill_diagonal_(0), float(norms.max()), doubtful
