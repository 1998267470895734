"""The persistent homology of one sample in both spaces, as figures.

Distances are in units of the space's own mean distance, so that pictures and embeddings share an axis and no factor
matters. The number of classes grows with the number of faces in any data: compare figures of equal samples only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Curve, MetricError, Series
from facebench.metrics.diagrams import betti_curve, persistence, total_persistence
from facebench_topology.figures import histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating]
    Diagram = npt.NDArray[np.float64]
    Diagrams = tuple[Diagram, ...]
    # Of each space, the diagrams of every subsample by its number of faces, ascending.
    Grown = Mapping[str, Mapping[int, Diagrams]]

_GRID = 200  # scales at which Betti numbers are taken
_SHARES = (8, 4, 2, 1)
_LEAST = 4  # faces in the smallest subsample
_UNIT = "distance, in mean distances of the space"
_WORDS = ("parts", "loops", "voids")


@dataclass(frozen=True, slots=True)
class Shapes:
    """What was found.

    Attributes:
        curves: H0 lengths, Betti numbers, complexity against the number of faces.
        warnings: What could not be had, and why.
    """

    curves: tuple[Curve, ...]
    warnings: tuple[str, ...]


def shapes(spaces: Mapping[str, Matrix], *, max_dimension: int, seconds: float) -> Shapes:
    """The homology of a sample and of its halves, quarters and eighths.

    Args:
        spaces: Distances of the sample, (n, n), by the name of the space; subsamples are the first faces.
        max_dimension: The highest dimension asked for; a space gets as many as time and memory allow.
        seconds: That one diagram may take.
    """
    grown: dict[str, dict[int, Diagrams]] = {}
    said: list[str] = []
    for name, distances in spaces.items():
        mean = float(distances[np.triu_indices(len(distances), 1)].mean())
        if mean > 0:
            grown[name], refused = _grown(distances / mean, max_dimension, seconds)
            said += [f"homology of the {name}: {reason}" for reason in refused]
        else:
            said.append(f"homology of the {name}: all faces of the sample are one point, there is no shape")
    return Shapes(tuple(_figures(grown, max_dimension)) if grown else (), tuple(said))


def _grown(distances: Matrix, dimension: int, seconds: float) -> tuple[dict[int, Diagrams], list[str]]:
    """Diagrams of ever more faces; a dimension that was refused once is not asked for again."""
    count = len(distances)
    found: dict[int, Diagrams] = {}
    said: list[str] = []
    for part in sorted({count // share for share in _SHARES if count // share >= _LEAST} | {count}):
        while part not in found:
            try:
                some = distances[:part, :part]
                found[part] = persistence(some, given="distances", dimension=dimension, seconds=seconds)
            except MetricError as error:
                if not dimension:
                    raise
                said.append(f"{error} (options of protocol.topology: sample, max_dimension, seconds)")
                dimension -= 1
    return found, said


def _figures(grown: Grown, max_dimension: int) -> list[Curve]:
    whole = {name: diagrams[max(diagrams)] for name, diagrams in grown.items()}
    count = max(max(diagrams) for diagrams in grown.values())
    lengths = {name: diagrams[0][:, 1] for name, diagrams in whole.items()}
    title, y_label = f"H0: when {count} faces join", "share of bars in each bin"
    figures = [histogram(lengths, name="h0-lengths", title=title, x_label=_UNIT, y_label=y_label)]
    figures += [_betti(whole, dimension, count) for dimension in range(max_dimension + 1)]
    figures.append(
        _complexity(grown, "complexity-total", "Total persistence", "sum of bar lengths, in mean distances", _sums)
    )
    if max_dimension:
        # H0 has n - 1 bars in any space, which tells nothing.
        counted = {name: {n: ds[1:] for n, ds in diagrams.items()} for name, diagrams in grown.items()}
        figures.append(_complexity(counted, "complexity-classes", "Homology classes", "bars", _counts, first=1))
    return [figure for figure in figures if any(series.x for series in figure.series)]


def _betti(whole: Mapping[str, Diagrams], dimension: int, count: int) -> Curve:
    """How many classes live at each scale; from 0 to where the last one of the dimension ends."""
    had = {name: diagrams[dimension] for name, diagrams in whole.items() if dimension < len(diagrams)}
    bars = {name: diagram for name, diagram in had.items() if len(diagram)}
    last = max((float(diagram[:, 1].max()) for diagram in bars.values()), default=1.0)
    start = min((float(diagram[:, 0].min()) for diagram in bars.values()), default=0.0)
    grid = np.linspace(start * 0.98, last * 1.02, _GRID)
    series = [
        Series(name=name, x=tuple(grid.tolist()), y=tuple(map(float, betti_curve(diagram, grid))))
        for name, diagram in bars.items()
    ]
    return Curve(
        name=f"betti-{dimension}",
        title=f"H{dimension}: {_WORDS[dimension]} of {count} faces",
        kind="step",
        x_label=_UNIT,
        y_label=f"Betti number {dimension}",
        series=tuple(series),
    )


def _complexity(
    grown: Grown,
    name: str,
    title: str,
    y_label: str,
    measure: Callable[[npt.NDArray[np.float64]], float],
    first: int = 0,
) -> Curve:
    """A number of each dimension's diagram against the number of faces."""
    series = []
    for space, diagrams in grown.items():
        for place in range(max((len(found) for found in diagrams.values()), default=0)):
            points = {count: measure(found[place]) for count, found in diagrams.items() if place < len(found)}
            x, y = tuple(map(float, points)), tuple(points.values())
            series.append(Series(name=f"H{place + first}, {space}", x=x, y=y))
    return Curve(
        name=name,
        title=f"{title} by number of faces",
        x_label="faces",
        y_label=y_label,
        y_scale="log",
        series=tuple(series),
    )


def _sums(diagram: Diagram) -> float:
    return total_persistence(diagram) if len(diagram) else 0.0


def _counts(diagram: Diagram) -> float:
    return float(len(diagram))
