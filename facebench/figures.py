"""Draws the curves of results, for people who compare methods by eye.

A figure must look the same on every machine and on every re-run, so that a report changes only when a number does:
the settings of the user's matplotlib are left aside, no date or version is written, and identifiers are salted with a
constant. Names come from strangers, so no text is ever read as mathematics. Nothing here touches pyplot, whose global
state belongs to the user.
"""

from __future__ import annotations

import io
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import DataError
from facebench.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facebench.results import Curve, Series

WIDTH, HEIGHT = 6.4, 4.4  # inches
DPI = 150
# The colours of Okabe and Ito, told apart by all common kinds of colour vision; their yellow is too pale for a line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
INK, PALE = "#333333", "#8A8A8A"
LABEL_LENGTH = 48  # characters
LETTER = 0.0115  # width of a small letter, as a fraction of the axes' width
TEXT_STYLE: dict[str, Any] = {
    "svg.hashsalt": "facebench",
    "svg.fonttype": "path",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A series with the way it is drawn."""

    series: Series
    color: str
    dash: Any


def draw(curve: Curve, stem: Path) -> list[Path]:
    """Draws one result's curve.

    Args:
        curve: What to draw.
        stem: Where to write, without suffix.

    Returns:
        The two files: ``<stem>.png`` (150 dpi) and ``<stem>.svg``. Drawn again, they have the same bytes.
    """
    with _own_style():
        return _write(_single(curve), stem)


def draw_together(curves: Mapping[str, Curve], stem: Path) -> list[Path]:
    """Draws the same curve of several results into one picture: a colour for each, a dash for each of its series.

    Args:
        curves: Curve by label, such as the method's name.
        stem: Where to write, without suffix.

    Returns:
        The two files, as for ``draw``.

    Raises:
        DataError: When there is no curve, or the curves differ in name, kind, axes or scales.
    """
    with _own_style():
        return _write(_overlay(curves), stem)


def as_svg(curves: Mapping[str, Curve]) -> bytes:
    """The picture of ``draw_together`` as an SVG document on no ground, for pages that carry their figures inside.

    Raises:
        DataError: As ``draw_together`` does.
    """
    with _own_style():
        buffer = io.BytesIO()
        _save(_overlay(curves), buffer, "svg", transparent=True)
    return buffer.getvalue()


def write_figure(make: Callable[[], Figure], stem: Path) -> list[Path]:
    """Writes a figure that a plugin draws itself, in our style and as reproducibly as ours.

    Args:
        make: Draws it, on a canvas of its own.
        stem: Where to write, without suffix.

    Returns:
        The two files, as for ``draw``.
    """
    with _own_style():
        return _write(make(), stem)


@contextmanager
def _own_style() -> Iterator[None]:
    """Matplotlib's defaults plus ours, whatever the user's settings are; theirs return afterwards."""
    import matplotlib

    settings: Any = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    settings.update(TEXT_STYLE)
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; that is no reason to warn whoever draws.
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        yield


def _single(curve: Curve) -> Figure:
    """The figure of one curve: a colour for each series, or for each value of a matrix."""
    if curve.kind == "matrix":
        return _matrix(curve)
    lines = [
        _Line(series, COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)])
        for i, series in enumerate(curve.series)
    ]
    figure, axes = _canvas()
    handles = _plot(axes, curve, lines, curve.marks)
    _legend(figure, axes, [(handle, line.series.name) for handle, line in zip(handles, lines, strict=True)])
    return figure


def _overlay(curves: Mapping[str, Curve]) -> Figure:
    """The figure of the same curve of several results."""
    if not curves:
        raise DataError("no curve to draw")
    first = next(iter(curves.values()))
    for label, curve in curves.items():
        if _frame(curve) != _frame(first):
            raise DataError(f"curves cannot share a figure: {label!r} has {_frame(curve)}, others have {_frame(first)}")
    names = list(dict.fromkeys(series.name for curve in curves.values() for series in curve.series))
    dashes = {name: DASHES[i % len(DASHES)] for i, name in enumerate(names)}
    lines = [
        _Line(series, COLORS[i % len(COLORS)], dashes[series.name])
        for i, curve in enumerate(curves.values())
        for series in curve.series
    ]
    if first.kind == "matrix":
        if len(curves) > 1:
            raise DataError(f"matrices cannot share a figure; found {len(curves)}")
        return _matrix(first)
    # A mark that only some share, such as each method's own threshold, would say nothing without its owner.
    shared = {
        name: at for name, at in first.marks.items() if all(curve.marks.get(name) == at for curve in curves.values())
    }
    figure, axes = _canvas()
    _plot(axes, first, lines, shared)
    entries = [(_sample(COLORS[i % len(COLORS)], "-", 2.6), label) for i, label in enumerate(curves)]
    if len(names) > 1:
        entries += [(_sample(INK, dashes[name], 1.5), name) for name in names]
    _legend(figure, axes, entries)
    return figure


def _matrix(curve: Curve) -> Figure:
    """Values as colours, rows from the top; what a row has no value for stays blank."""
    figure, axes = _canvas()
    axes.grid(visible=False)
    columns = sorted({value for series in curve.series for value in series.x})
    values = np.full((max(len(curve.series), 1), max(len(columns), 1)), np.nan)
    for row, series in enumerate(curve.series):
        values[row, np.searchsorted(columns, series.x)] = series.y
    shown = axes.imshow(np.ma.masked_invalid(values), cmap="viridis", interpolation="nearest", aspect="auto")
    bar = figure.colorbar(shown, ax=axes)
    bar.outline.set_visible(False)
    bar.set_label(_words(curve.y_label, 60), parse_math=False)
    across, down = (range(0, count, -(-count // 20) or 1) for count in (len(columns), len(curve.series)))
    axes.set_xticks(list(across), [f"{columns[place]:g}" for place in across])
    axes.set_yticks(list(down), [_words(curve.series[place].name, 24) for place in down], parse_math=False)
    axes.set_title(_words(curve.title, 80), loc="left", fontsize=11, fontweight="bold", pad=8, parse_math=False)
    axes.set_xlabel(_words(curve.x_label, 80), parse_math=False)
    return figure


def _frame(curve: Curve) -> tuple[str, str, str, str, str, str]:
    """What two curves must have in common to share axes."""
    return curve.name, curve.kind, curve.x_label, curve.y_label, curve.x_scale, curve.y_scale


def _canvas() -> tuple[Figure, Axes]:
    """An empty figure with quiet axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(which="major", color="#DADADA", linewidth=0.7)
    return figure, axes


def _plot(axes: Axes, curve: Curve, lines: Sequence[_Line], marks: Mapping[str, float]) -> list[Artist]:
    """Draws lines and marks, sets scales and words; returns one legend handle for each line."""
    x_floor = _floor([value for line in lines for value in line.series.x], marks.values(), curve.x_scale)
    y_floor = _floor([value for line in lines for value in line.series.y], (), curve.y_scale)
    axes.set_xscale("log" if x_floor is not None else "linear")
    axes.set_yscale("log" if y_floor is not None else "linear")
    handles: list[Artist] = []
    for line in lines:
        x, y = _drawable(line.series, x_floor, y_floor)
        if curve.kind == "histogram":
            handles.append(_histogram(axes, line, x_floor, y_floor))
        elif curve.kind == "step":
            handles += axes.step(x, y, where="post", color=line.color, linestyle=line.dash, linewidth=1.7)
        else:
            handles += axes.plot(x, y, color=line.color, linestyle=line.dash, linewidth=1.7)
    _limits(axes, curve, lines, x_floor, y_floor)
    rows = _marks(axes, marks, x_floor)
    if not any(line.series.x for line in lines):
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=PALE)
    title = _words(curve.title, 80)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=8 + 10 * rows, parse_math=False)
    axes.set_xlabel(_words(curve.x_label, 80), parse_math=False)
    axes.set_ylabel(_words(curve.y_label, 60), parse_math=False)
    return handles


def _limits(axes: Axes, curve: Curve, lines: Sequence[_Line], x_floor: float | None, y_floor: float | None) -> None:
    """Fits the axes to the data: rates never beyond 0 and 1, ranks on whole numbers, bars from the ground."""
    from matplotlib.ticker import MaxNLocator

    if curve.kind == "histogram":
        if y_floor is None:
            axes.set_ylim(bottom=0)
        return
    axes.margins(x=0 if x_floor is not None else 0.015)
    heights = [value for line in lines for value in line.series.y]
    if y_floor is None and heights and min(heights) >= 0 and max(heights) <= 1:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
    places = [value for line in lines for value in line.series.x]
    if x_floor is None and places and max(places) > 1 and all(float(value).is_integer() for value in places):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _floor(values: Sequence[float], marks: Iterable[float], scale: str) -> float | None:
    """The smallest value a logarithmic axis can show, or None for a linear axis (and for want of positive values)."""
    positive = [value for value in (*values, *marks) if value > 0]
    if scale != "log" or not positive:
        return None
    least, most = min(positive), max(positive)
    return least if least < most else most * 1e-3


def _drawable(
    series: Series, x_floor: float | None, y_floor: float | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The points that the scales can show, (M,) each.

    On a logarithmic x axis the last point before the positive ones moves to the left edge, since it tells where the
    line comes from (a perfect method's ROC has nothing else); other points without a logarithm are left out. On a
    logarithmic y axis they become gaps.
    """
    x, y = np.asarray(series.x, dtype=np.float64), np.asarray(series.y, dtype=np.float64)
    if x_floor is not None and len(x):
        positive = x > 0
        beside = np.zeros_like(positive)
        beside[:-1] |= positive[1:]
        beside[1:] |= positive[:-1]
        keep = positive | beside
        x, y = np.maximum(x[keep], x_floor), y[keep]
    if y_floor is not None:
        y = np.where(y > 0, y, np.nan)
    return x, y


def _histogram(axes: Axes, line: _Line, x_floor: float | None, y_floor: float | None) -> Artist:
    """Filled bins under an outline; ``x`` are left edges of equal width."""
    from matplotlib.patches import Patch

    x, y = np.asarray(line.series.x, dtype=np.float64), np.asarray(line.series.y, dtype=np.float64)
    if len(x):
        width = (x[-1] - x[0]) / (len(x) - 1) if len(x) > 1 else 1.0
        edges = np.append(x, x[-1] + width)
        edges = edges if x_floor is None else np.maximum(edges, x_floor)
        base = 0.0 if y_floor is None else y_floor * 0.7
        heights = np.maximum(y, base)
        axes.stairs(heights, edges, baseline=base, fill=True, color=line.color, alpha=0.18, linewidth=0)
        axes.stairs(heights, edges, baseline=base, color=line.color, linestyle=line.dash, linewidth=1.5)
    return Patch(facecolor=f"{line.color}30", edgecolor=line.color, linewidth=1.5, linestyle=line.dash)


def _marks(axes: Axes, marks: Mapping[str, float], x_floor: float | None) -> int:
    """Vertical lines with their names above the axes, in as many rows as keep them apart; returns that number."""
    scale = axes.xaxis.get_transform()
    low, high = (float(end) for end in scale.transform(np.asarray(axes.get_xlim(), dtype=np.float64)))
    taken: list[float] = []  # where each row's last name ends, as a fraction of the axes' width
    for at, name in sorted((at, name) for name, at in marks.items() if x_floor is None or at > 0):
        label = _words(name, 32)
        half = len(label) * LETTER / 2
        place = (float(scale.transform(np.array([at], dtype=np.float64))[0]) - low) / (high - low)
        center = min(max(place, half), 1 - half)
        row = next((row for row, end in enumerate(taken) if center - half > end + LETTER), len(taken))
        taken[row : row + 1] = [center + half]
        axes.axvline(at, color=PALE, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1.5)
        axes.annotate(
            label,
            (center, 1.0),
            xycoords="axes fraction",
            xytext=(0, 3 + 10 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color="#5A5A5A",
            parse_math=False,
        )
    return len(taken)


def _sample(color: str, dash: Any, width: float) -> Artist:
    """A piece of line for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=dash, linewidth=width)


def _legend(figure: Figure, axes: Axes, entries: Sequence[tuple[Artist, str]]) -> None:
    """Inside the axes when it is small; below them, on a taller page, when it would cover the lines."""
    if not entries:
        return
    labels = [_words(label, LABEL_LENGTH) for _, label in entries]
    handles = [handle for handle, _ in entries]
    # Labels are set afterwards because a legend leaves out those that begin with an underscore.
    blank = [" "] * len(handles)
    longest = max(map(len, labels))
    if len(labels) <= 3 and longest <= 24:
        legend = axes.legend(handles, blank, loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8.5)
    else:
        columns = min(4, len(labels), max(1, 92 // (longest + 8)))
        rows = -(-len(labels) // columns)
        figure.set_size_inches(WIDTH, HEIGHT + 0.2 * rows)
        legend = figure.legend(
            handles, blank, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5, columnspacing=1.6
        )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def _words(text: str, limit: int) -> str:
    """Text on one line, without control characters (an SVG may not hold them), shortened in its middle."""
    unseen = ("Cc", "Cf", "Cs", "Zl", "Zp")
    shown = "".join(" " if unicodedata.category(letter) in unseen else letter for letter in text)
    shown = " ".join(shown.split())
    if len(shown) <= limit:
        return shown
    tail = limit // 3
    return f"{shown[: limit - tail - 1].rstrip()}…{shown[-tail:].lstrip()}"


def _write(figure: Figure, stem: Path) -> list[Path]:
    """Writes both forms, each whole or not at all."""
    written: list[Path] = []
    for form in ("png", "svg"):
        path = stem.with_name(f"{stem.name}.{form}")
        write_atomic(path, partial(_save, figure, form=form))
        written.append(path)
    return written


def _save(figure: Figure, target: Path | io.BytesIO, form: str, *, transparent: bool = False) -> None:
    """Saves without date and version, the two things that would differ between equal figures."""
    metadata: dict[str, str | None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    dpi = DPI if form == "png" else 72
    figure.savefig(target, format=form, dpi=dpi, transparent=transparent, metadata=metadata)
