"""Counts against size and against threshold, and how similarities are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import Curve
from facebench.measures import series_of
from facebench_separability.numbers import COUNTS
from facebench_separability.telling import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench import Series
    from facebench_separability.leakage import Nearest
    from facebench_separability.sides import Side
    from facebench_separability.thresholds import Threshold

    Numbers = npt.NDArray[np.floating[Any]]
    Ints = npt.NDArray[np.int64]

_GRID = 101  # thresholds of a curve
_MOST_BINS = 60
_TITLES = {"image-to-centre": "faces", "centre-to-centre": "identities"}


def figures(
    sides: Mapping[str, Side],
    leaks: Mapping[str, Mapping[str, Nearest]],
    thresholds: Sequence[Threshold],
    *,
    prefixes: int,
) -> list[Curve]:
    """All figures.

    Args:
        sides: What was measured of each part; the judged set first.
        leaks: Of each of them by kind; empty where there is no reference.
        thresholds: The headline's first.
        prefixes: Points of the count curve.
    """
    words = WORDS if len(sides) > 1 else dict.fromkeys(WORDS, "")
    sides = {words[part]: side for part, side in sides.items()}
    leaks = {words[part]: found for part, found in leaks.items()}
    marks = {one.name: one.value for one in thresholds if one.value is not None}
    found = [_by_size(sides, name, value, prefixes) for name, value in marks.items()]
    found.append(_by_threshold(sides, marks))
    nearest: dict[str, Numbers] = {word: side.near.nearest for word, side in sides.items()}
    found.append(_histogram("nearest-similarity", "Nearest other identity", nearest, "identities", marks))
    pairs: dict[str, Numbers] = {}
    for word, side in sides.items():
        pairs |= {_said(word, "impostor"): side.scores.impostor, _said(word, "genuine"): side.scores.genuine}
    shown = {word: scores for word, scores in pairs.items() if scores.size}
    found.append(_histogram("scores", "Pairs of faces", shown, "pairs", marks))
    within = {word: side.within.pairwise[side.within.counts > 1] for word, side in sides.items()}
    within = {word: values for word, values in within.items() if values.size}
    if within:
        found.append(_histogram("intra-similarity", "Within an identity", within, "identities", {}))
    for kind, title in _TITLES.items():
        near = {word: by_kind[kind].similarity for word, by_kind in leaks.items()}
        if near:
            name = f"leakage-{kind}"
            found.append(_histogram(name, f"Nearest reference, {title}", near, title, marks))
    return found


def _by_size(sides: Mapping[str, Side], name: str, threshold: float, prefixes: int) -> Curve:
    """How many of the first so many identities are separate; the published figure."""
    (first, judged), *others = sides.items()
    sizes = _sizes(judged.count, prefixes)
    curves = {
        "first-occurrence": judged.near.first_occurrence_curve,
        "strict": judged.near.strict_curve,
        "greedy": judged.near.greedy_curve,
    }
    series = [_line("as many as there are", sizes, sizes)]
    series += [_line(_said(first, rule), sizes, curves[rule](threshold, sizes)) for rule in COUNTS]
    for word, side in others:
        own = _sizes(side.count, prefixes)
        series.append(_line(_said(word, "first-occurrence"), own, side.near.first_occurrence_curve(threshold, own)))
    return Curve(
        name=f"count-by-size-{_spelt(name)}",
        title=f"Separate identities at {name}",
        x_label="identities",
        y_label="separate identities",
        series=tuple(series),
    )


def _said(word: str, what: str) -> str:
    """A line's name: of whom, where there are several, and what it is."""
    return f"{word}: {what}" if word else what


def _line(name: str, x: Ints, y: Ints) -> Series:
    return series_of(name, x.astype(np.float64), y.astype(np.float64))


def _spelt(name: str) -> str:
    """A threshold's name in that of a file."""
    return name.replace("=", "-").replace(".", "-").lower()


def _sizes(count: int, prefixes: int) -> Ints:
    return np.unique(np.linspace(0, count, prefixes + 1).round().astype(np.int64))[1:]


def _by_threshold(sides: Mapping[str, Side], marks: Mapping[str, float]) -> Curve:
    """Share of separate identities at any threshold, by the two rules that allow it."""
    values = np.concatenate([side.near.nearest for side in sides.values()])
    grid = np.linspace(min(0.0, float(values.min())), max(1.0, float(values.max())), _GRID)
    series: list[Series] = []
    for word, side in sides.items():
        for rule, measured in (("first-occurrence", side.near.previous), ("strict", side.near.nearest)):
            share = np.searchsorted(np.sort(measured), grid, side="right") / side.count
            series.append(series_of(_said(word, rule), grid, share))
    return Curve(
        name="share-by-threshold",
        title="Separate at any threshold",
        x_label="cosine similarity above which two identities are one",
        y_label="share of identities that are separate",
        series=tuple(series),
        marks=dict(marks),
    )


def _histogram(name: str, title: str, groups: Mapping[str, Numbers], what: str, marks: Mapping[str, float]) -> Curve:
    """Shares in bins of equal width, as many as the smallest group can fill."""
    fewest = min(map(len, groups.values()))
    bins = min(_MOST_BINS, max(5, round(2 * float(np.sqrt(fewest)))))
    ends = [float(end) for values in groups.values() for end in (values.min(), values.max())]
    low, high = min(ends), max(ends)
    room = 1e-3 * (high - low) or 1e-3
    edges = np.linspace(low - room, high + room, bins + 1)
    shares = {word: np.histogram(values, bins=edges)[0] / len(values) for word, values in groups.items()}
    return Curve(
        name=name,
        title=title,
        kind="histogram",
        x_label="cosine similarity",
        y_label=f"share of {what} in each bin",
        series=tuple(series_of(word or what, edges[:-1], share) for word, share in shares.items()),
        marks=dict(marks),
    )
