"""Persistence diagrams of any dimension, what sums them up, and how far apart two of them are.

Dimension 0 costs milliseconds, see :mod:`~facebench.metrics.homology`. From dimension 1 on the cost depends on the data
as much as on their number, and 1,024 embeddings without clusters have kept ripser busy for more than seven minutes. So
sizes without hope are refused, large ones run in a process of their own that is ended when its time or memory is up,
and nothing here can hang.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_matrix, as_scores
from facebench.metrics.homology import are_distances, measured

if TYPE_CHECKING:
    import numpy.typing as npt

    Diagram = npt.NDArray[np.float64]

_HERE = 500_000  # simplices up to which ripser is done in a moment, whatever the data
_MOST = 1_500_000_000  # beyond, neither minutes nor gigabytes suffice
_BARS = 3_000  # of two diagrams together; their matching takes the square of it
_OUT_OF_MEMORY = 3
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_CHILD = """
import sys
from pathlib import Path
import numpy
from ripser import ripser
folder, dimension, seconds, memory = Path(sys.argv[1]), *map(int, sys.argv[2:])
statm = Path("/proc/self/statm")
if statm.exists():
    import resource
    def limit(kind, value):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    limit(resource.RLIMIT_AS, int(statm.read_text().split()[0]) * resource.getpagesize() + memory)
    limit(resource.RLIMIT_CPU, seconds)  # should the parent be gone by then
try:
    found = ripser(numpy.load(folder / "distances.npy"), maxdim=dimension, distance_matrix=True)["dgms"]
    numpy.savez(folder / "diagrams.npz", *found)
except MemoryError:
    sys.exit(3)
"""


def persistence(
    values: npt.ArrayLike,
    *,
    given: str = "points",
    dimension: int = 1,
    sample: int | None = None,
    generator: np.random.Generator | None = None,
    seconds: float = 60.0,
    memory: int = 4 << 30,
) -> tuple[Diagram, ...]:
    """Returns the persistence diagrams of the Vietoris-Rips filtration, from dimension 0 to the one asked for.

    H0 is exact and has all N - 1 finite bars, those of length zero too; the one that never ends is left out. The rest
    is ripser's, over the field of two elements, in float32, without bars of length zero; every bar is finite.

    The filtration has ``comb(N, dimension + 2)`` simplices of the dimension that ends the longest bars. Up to 500,000
    of them (145 points for H1, 60 for H2) are done here, in a moment. More are done in another process, within the time
    and memory given. More than 1.5 billion (2,081 points for H1, 437 for H2) are refused at once.

    Args:
        values: Points, shape ``(N, D)``, or distances, shape ``(N, N)``.
        given: Which of the two they are: ``"points"`` or ``"distances"``.
        dimension: The highest dimension, 0 or more.
        sample: How many points to draw at random, without replacement, where there are more. The number of bars grows
            with the number of points, so compare diagrams of equally many.
        generator: Source of randomness, for ``sample`` only.
        seconds: How long the other process may run, its start of some two seconds included.
        memory: How many bytes it may use beyond those of its start; held where the system has ``/proc``.

    Returns:
        One array of (birth, death) for each dimension, shape ``(M, 2)``, float64, in ascending order.

    Raises:
        MetricError: If the values are not as described, too many, or time or memory did not suffice.
    """
    if dimension < 0:
        raise MetricError(f"dimension must be 0 or more; found {dimension}")
    chosen = _sampled(values, given, sample, generator)
    simplices = _require_hope(len(chosen), dimension)
    distances, tree = measured(chosen, given=given)
    lengths = tree.lengths.astype(np.float64)
    diagrams = [np.column_stack([np.zeros_like(lengths), lengths])]
    if not dimension:
        return tuple(diagrams)
    distances = distances.astype(np.float32)
    if simplices <= _HERE:
        from ripser import ripser

        higher = ripser(distances, maxdim=dimension, distance_matrix=True)["dgms"][1:]
    else:
        higher = _in_a_process(distances, dimension, seconds, memory)
    return (*diagrams, *(_ascending(np.asarray(bars, dtype=np.float64).reshape(-1, 2)) for bars in higher))


def betti_curve(diagram: npt.ArrayLike, grid: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Returns how many bars are alive at each scale, birth included and death not.

    Args:
        diagram: (birth, death), shape ``(M, 2)``; a death may be infinite.
        grid: Scales in any order, shape ``(G,)``.

    Raises:
        MetricError: If either is not as described.
    """
    bars, scales = as_diagram(diagram), as_scores(grid, "scales")
    born = np.searchsorted(np.sort(bars[:, 0]), scales, side="right")
    dead = np.searchsorted(np.sort(bars[:, 1]), scales, side="right")
    return (born - dead).astype(np.int64)


def total_persistence(diagram: npt.ArrayLike, p: float = 1.0) -> float:
    """Returns the sum of all bar lengths, each to the power of ``p``.

    Args:
        diagram: (birth, death), shape ``(M, 2)``, all finite.
        p: Greater than 0.

    Raises:
        MetricError: If the diagram is not as described, or holds infinite bars.
    """
    _require_power(p, above=0.0)
    return float((_finite_lengths(diagram) ** p).sum())


def persistence_entropy(diagram: npt.ArrayLike) -> float:
    """Returns the entropy of the bar lengths as shares of their sum, in nats: 0 for one bar, log(M) for M equal ones.

    Args:
        diagram: (birth, death), shape ``(M, 2)``, all finite; bars of length zero add nothing.

    Raises:
        MetricError: If the diagram is not as described, holds infinite bars, or has no bar of any length.
    """
    lengths = _finite_lengths(diagram)
    lengths = lengths[lengths > 0]
    if not lengths.size:
        raise MetricError("a diagram without a bar of any length has no entropy; pass one that has")
    shares = lengths / lengths.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def bottleneck(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Returns the bottleneck distance: the longest step of the best matching, any bar may go to the diagonal instead.

    The usual definition: steps in the maximum norm, half its length for a bar that goes to the diagonal; infinite bars
    are matched among themselves by birth, and where one diagram has more of them the distance is infinite.

    The least step that suffices is found by bisection. A step suffices if the bars too long for the diagonal find
    partners, those of either diagram on their own: then both do at once (Mendelsohn and Dulmage, 1958). So no graph
    with all places on the diagonal is made, on which persim's matching has taken minutes for 500 bars a side.

    Args:
        first: (birth, death), shape ``(M, 2)``.
        second: The other diagram, shape ``(K, 2)``.

    Raises:
        MetricError: If a diagram is not as described, or they have more than 3,000 bars of some length together.
    """
    left, right, endless = _parted(first, second)
    longest = float(np.max(endless, initial=0.0))
    if not math.isfinite(longest):
        return longest
    steps = np.abs(left[:, None] - right).max(axis=2, initial=0.0)
    drops = [(bars[:, 1] - bars[:, 0]) / 2 for bars in (left, right)]
    enough = float(np.max(np.concatenate(drops), initial=0.0))
    sizes = np.unique(np.concatenate([[0.0], steps.ravel(), *drops]))
    sizes = sizes[sizes <= enough]

    def suffices(number: int) -> bool:
        near = steps <= sizes[number]
        stay, come = (drop > sizes[number] for drop in drops)
        return _all_find_partners(near[stay]) and _all_find_partners(near[:, come].T)

    found = bisect_left(range(len(sizes)), True, key=suffices)
    return max(longest, float(sizes[found]))


def _all_find_partners(near: npt.NDArray[np.bool_]) -> bool:
    """Whether each row can have a column of its own out of those that are true."""
    if not near.any(axis=1).all() or near.shape[0] > near.shape[1]:
        return False
    from scipy.optimize import linear_sum_assignment

    return bool(near[linear_sum_assignment(near, maximize=True)].all())


def wasserstein(first: npt.ArrayLike, second: npt.ArrayLike, *, p: float = 1.0) -> float:
    """Returns the p-Wasserstein distance: the best matching by the sum of its steps to the p, any bar may be dropped.

    Steps are Euclidean, to the diagonal too, so with ``p=1`` this is the number that persim gives, which has no other
    p. Programs that measure steps in the maximum norm, as GUDHI can, give smaller numbers. Infinite bars are treated as
    :func:`bottleneck` does.

    Args:
        first: (birth, death), shape ``(M, 2)``.
        second: The other diagram, shape ``(K, 2)``.
        p: 1 or more.

    Raises:
        MetricError: If a diagram is not as described, or they have more than 3,000 bars of some length together.
    """
    _require_power(p, above=1.0)
    left, right, endless = _parted(first, second)
    total = float((endless**p).sum())
    if math.isfinite(total) and (len(left) or len(right)):
        from scipy.optimize import linear_sum_assignment

        # A square of costs: bars by bars, and for each bar a place on the diagonal, where places match for nothing.
        costs = np.zeros((len(left) + len(right),) * 2)
        steps = left[:, None] - right
        costs[: len(left), : len(right)] = np.hypot(steps[..., 0], steps[..., 1]) ** p
        costs[: len(left), len(right) :] = ((left[:, 1] - left[:, 0]) / math.sqrt(2))[:, None] ** p
        costs[len(left) :, : len(right)] = ((right[:, 1] - right[:, 0]) / math.sqrt(2)) ** p
        total += float(costs[linear_sum_assignment(costs)].sum())
    return float(total ** (1 / p))


def matched_wasserstein(first: npt.ArrayLike, second: npt.ArrayLike, *, p: float = 2.0) -> float:
    """Returns the p-Wasserstein distance of two H0 diagrams of equally many bars as TopoFR's appendix A.3 has it.

    That definition matches every bar with a bar and none with the diagonal. All are born at 0, so the best matching is
    that of the sorted lengths. It is larger than :func:`wasserstein` where the scales of the two spaces differ.

    Args:
        first: Bar lengths in any order, shape ``(M,)``.
        second: Those of the other space, shape ``(M,)``.
        p: 1 or more.

    Raises:
        MetricError: If the lengths are not finite, or not equally many.
    """
    _require_power(p, above=1.0)
    return float((matched_steps(first, second) ** p).sum() ** (1 / p))


def matched_bottleneck(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Returns the largest difference of sorted bar lengths: the bottleneck distance without a diagonal, as in A.3.

    Args:
        first: Bar lengths in any order, shape ``(M,)``.
        second: Those of the other space, shape ``(M,)``.

    Raises:
        MetricError: If the lengths are not finite, or not equally many.
    """
    return float(matched_steps(first, second).max())


def matched_steps(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns the absolute differences of the sorted lengths, shape ``(M,)``.

    Raises:
        MetricError: If the lengths are not finite, or not equally many.
    """
    left, right = as_scores(first, "bar lengths"), as_scores(second, "bar lengths")
    if left.size != right.size:
        raise MetricError(f"without a diagonal both need equally many bars; found {left.size} and {right.size}")
    return np.abs(np.sort(left).astype(np.float64) - np.sort(right))


def as_diagram(diagram: npt.ArrayLike) -> Diagram:
    """Returns a checked diagram as float64, shape ``(M, 2)``; it may be empty, and deaths may be infinite.

    Raises:
        MetricError: If the shape is another, a birth is not finite, or a death is NaN or before its birth.
    """
    bars = np.asarray(diagram, dtype=np.float64)
    if not bars.size:
        return np.zeros((0, 2))
    if bars.ndim != 2 or bars.shape[1] != 2:
        raise MetricError(f"a diagram has the shape (bars, 2); found {bars.shape}; pass births and deaths")
    bad = ~(np.isfinite(bars[:, 0]) & (bars[:, 1] >= bars[:, 0]))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise MetricError(
            f"a bar is born at a finite scale and dies no earlier; found {bars[row].tolist()} in row {row}"
        )
    return bars


def _finite_lengths(diagram: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Bar lengths of a diagram without infinite bars."""
    bars = as_diagram(diagram)
    endless = int(np.isinf(bars[:, 1]).sum())
    if endless:
        raise MetricError(f"bars must end for their lengths to be summed; found {endless} that do not; leave those out")
    return bars[:, 1] - bars[:, 0]


def _require_power(p: float, *, above: float) -> None:
    """Refuses a power that makes no sum or no distance."""
    if not (math.isfinite(p) and p > 0 and p >= above):
        raise MetricError(f"p must be a finite number, {'1 or more' if above else 'more than 0'}; found {p!r}")


def _parted(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Diagram, Diagram, npt.NDArray[np.float64]]:
    """The finite bars of some length of either diagram, and the steps between the infinite ones."""
    sides = [as_diagram(first), as_diagram(second)]
    endless = [np.sort(bars[np.isinf(bars[:, 1]), 0]) for bars in sides]
    # A bar of length zero lies on the diagonal, where it costs nothing.
    left, right = (bars[np.isfinite(bars[:, 1]) & (bars[:, 1] > bars[:, 0])] for bars in sides)
    if len(left) + len(right) > _BARS:
        raise MetricError(
            f"a matching of more than {_BARS} bars takes too long; found {len(left)} and {len(right)}; leave out the "
            "shortest, or compare H0 with matched_bottleneck or matched_wasserstein"
        )
    if len(endless[0]) != len(endless[1]):
        return left, right, np.array([np.inf])
    return left, right, np.abs(endless[0] - endless[1])


def _ascending(bars: Diagram) -> Diagram:
    """Bars by birth, then death."""
    return bars[np.lexsort((bars[:, 1], bars[:, 0]))]


def _require_hope(count: int, dimension: int) -> int:
    """The number of simplices, refused where there are too many; dimension 0 needs none."""
    simplices = math.comb(count, dimension + 2) if dimension else 0
    if simplices <= _MOST:
        return simplices
    most = count
    while math.comb(most, dimension + 2) > _MOST:
        most -= 1
    raise MetricError(
        f"H{dimension} of {count} points is out of reach: {simplices:.3g} simplices; pass sample={most} or less, or "
        "ask for a lower dimension"
    )


def _sampled(
    values: npt.ArrayLike, given: str, sample: int | None, generator: np.random.Generator | None
) -> npt.NDArray[np.floating]:
    """The values of the points drawn, or all."""
    array = as_matrix(values, given)
    if sample is None or sample >= len(array):
        return array
    if generator is None or sample < 1:
        raise MetricError(f"a sample is 1 point or more, drawn by a generator; found sample={sample}, {generator=}")
    chosen = np.sort(generator.choice(len(array), sample, replace=False))
    return array[np.ix_(chosen, chosen)] if are_distances(given) else array[chosen]


def _in_a_process(
    distances: npt.NDArray[np.float32], dimension: int, seconds: float, memory: int
) -> list[npt.NDArray[np.float32]]:
    """The diagrams of dimension 1 and more, or an error once the time or the memory is up."""
    what = f"H{dimension} of {len(distances)} points"
    advice = "pass a smaller sample=, a lower dimension="
    with tempfile.TemporaryDirectory(prefix="facebench-") as name:
        folder = Path(name)
        np.save(folder / "distances.npy", distances)
        numbers = (dimension, math.ceil(seconds) + 1, memory)
        command = [sys.executable, "-P", "-W", "ignore", "-c", _CHILD, name, *map(str, numbers)]
        try:
            done = subprocess.run(
                command, timeout=seconds, capture_output=True, text=True, check=False, env=os.environ | _ONE_THREAD
            )
        except subprocess.TimeoutExpired:
            raise MetricError(f"{what} took longer than {seconds:g} s; {advice}, or more seconds=") from None
        if done.returncode in (_OUT_OF_MEMORY, -signal.SIGABRT):
            raise MetricError(f"{what} needs more than {memory >> 20} MiB; {advice}, or more memory=")
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise MetricError(f"{what} failed with code {done.returncode}: {said[-1] if said else 'no word'}; {advice}")
        with np.load(folder / "diagrams.npz") as found:
            return [found[f"arr_{number}"] for number in range(1, dimension + 1)]
