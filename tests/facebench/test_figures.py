from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from facebench import figures
from facebench.errors import DataError
from facebench.results import Curve, Series

if TYPE_CHECKING:
    from pathlib import Path


def curve(**changes: Any) -> Curve:
    parts: dict[str, Any] = {
        "name": "roc",
        "title": "ROC",
        "kind": "step",
        "x_label": "false accept rate",
        "y_label": "true accept rate",
        "x_scale": "log",
        "series": (Series(name="cosine", x=(0.0, 1e-3, 1e-2, 1.0), y=(0.5, 0.8, 0.9, 1.0)),),
        "marks": {"FAR 1e-2": 1e-2},
    }
    return Curve(**{**parts, **changes})


def histogram(shift: float, threshold: float) -> Curve:
    x = tuple(np.arange(-0.4, 1.0, 0.1).tolist())
    return curve(
        name="scores",
        kind="histogram",
        x_scale="linear",
        series=(
            Series(name="genuine", x=x, y=tuple(max(0.0, 1 - abs(v - shift)) for v in x)),
            Series(name="impostor", x=x, y=tuple(max(0.0, 1 - abs(v)) for v in x)),
        ),
        marks={"threshold": threshold},
    )


def drawn_texts(figure: Any) -> list[str]:
    """Every text a figure holds, legends and marks included."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_draw_writes_both_forms_of_a_sensible_size(tmp_path: Path) -> None:
    paths = figures.draw(curve(), tmp_path / "deep" / "lfw-roc")
    assert [path.name for path in paths] == ["lfw-roc.png", "lfw-roc.svg"]
    header = paths[0].read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert (width, height) == (960, 660)
    assert ElementTree.parse(paths[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert [path.name for path in (tmp_path / "deep").iterdir() if path not in paths] == []


def test_a_stem_with_dots_keeps_them(tmp_path: Path) -> None:
    assert [path.name for path in figures.draw(curve(), tmp_path / "tar@far.1e-3")] == [
        "tar@far.1e-3.png",
        "tar@far.1e-3.svg",
    ]


@pytest.mark.parametrize("together", [False, True])
def test_drawn_again_the_bytes_are_equal(tmp_path: Path, together: bool) -> None:
    def files(name: str) -> list[bytes]:
        if together:
            written = figures.draw_together({"a": curve(), "b": curve()}, tmp_path / name)
        else:
            written = figures.draw(histogram(0.6, 0.3), tmp_path / name)
        return [path.read_bytes() for path in written]

    assert files("one") == files("two")
    assert figures.as_svg({"a": curve()}) == figures.as_svg({"a": curve()})


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    here = [path.read_bytes() for path in figures.draw(curve(), tmp_path / "here")]
    program = (
        "import sys; from pathlib import Path; from facebench.figures import draw; from facebench.results import Curve;"
        "draw(Curve.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    there = tmp_path / "there"
    subprocess.run([sys.executable, "-c", program, curve().model_dump_json(), str(there)], check=True, timeout=120)
    assert [there.with_suffix(suffix).read_bytes() for suffix in (".png", ".svg")] == here


def test_the_users_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    plain = [path.read_bytes() for path in figures.draw(curve(), tmp_path / "plain")]
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "text.parse_math": True}):
        before = dict(matplotlib.rcParams)
        styled = [path.read_bytes() for path in figures.draw(curve(), tmp_path / "styled")]
        assert dict(matplotlib.rcParams) == before
    assert styled == plain


def test_pyplot_is_left_alone() -> None:
    program = (
        "import sys; from facebench import figures; assert 'matplotlib' not in sys.modules;"
        "from facebench.results import Curve; figures.as_svg({'a': Curve.model_validate_json(sys.argv[1])});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, curve().model_dump_json()], check=True, timeout=120)


def test_marks_are_lines_with_names() -> None:
    figure = figures._single(curve(marks={"FAR 1e-2": 1e-2, "FAR 0": 0.0}))
    axes = figure.axes[0]
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert upright == [1e-2]  # a logarithmic axis has no place for 0
    assert "FAR 1e-2" in drawn_texts(figure)
    assert "FAR 0" not in drawn_texts(figure)


def test_names_of_near_marks_do_not_cover_each_other() -> None:
    figure = figures._single(curve(x_scale="linear", marks={"threshold": 0.5, "strict threshold": 0.505}))
    figure.draw_without_rendering()
    boxes = [
        text.get_window_extent()
        for text in figure.axes[0].texts
        if text.get_text() in ("threshold", "strict threshold")
    ]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_step_changes_at_its_points() -> None:
    (line,) = figures._single(curve(marks={})).axes[0].lines
    assert line.get_drawstyle() == "steps-post"


def test_histogram_edges_come_from_left_edges() -> None:
    from matplotlib.patches import StepPatch

    figure = figures._single(histogram(0.6, 0.3))
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    values, edges, _ = patches[0].get_data()
    assert len(edges) == len(values) + 1
    assert np.allclose(np.diff(edges), 0.1)
    assert edges[0] == pytest.approx(-0.4)


def test_log_axis_shows_a_perfect_method() -> None:
    perfect = curve(series=(Series(name="perfect", x=(0.0, 0.0, 1.0), y=(0.0, 1.0, 1.0)),), marks={})
    axes = figures._single(perfect).axes[0]
    assert axes.get_xscale() == "log"
    (line,) = axes.lines
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert x.min() > 0 and x.max() == 1.0 and x.max() / x.min() > 10
    assert (y == 1.0).all()


def test_log_axis_leaves_gaps_where_there_is_no_logarithm() -> None:
    det = curve(kind="line", y_scale="log", series=(Series(name="a", x=(1e-3, 1e-2, 1e-1), y=(0.1, 0.01, 0.0)),))
    line = figures._single(det).axes[0].lines[0]
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True]


def test_rates_stay_within_0_and_1_and_ranks_are_whole() -> None:
    cmc = curve(x_scale="linear", kind="line", series=(Series(name="a", x=(1, 2, 3, 4, 5), y=(1.0,) * 5),), marks={})
    axes = figures._single(cmc).axes[0]
    assert axes.get_ylim()[1] <= 1.021
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("series", [(), (Series(name="a", x=(), y=()),)])
@pytest.mark.parametrize("kind", ["line", "step", "histogram"])
def test_no_data_is_said(series: tuple[Series, ...], kind: str) -> None:
    figure = figures._single(curve(series=series, kind=kind, x_scale="linear", marks={}))
    assert "no data" in drawn_texts(figure)
    figure.draw_without_rendering()


def test_one_bin_and_one_point_can_be_drawn(tmp_path: Path) -> None:
    for kind in ("line", "step", "histogram"):
        figures.draw(curve(kind=kind, series=(Series(name="a", x=(0.5,), y=(2.0,)),)), tmp_path / kind)


@pytest.mark.parametrize("name", ["$\\frac", "_hidden", "<script>", "a\x00b\nc", "顔", "\u202egnp.exe", "", "x" * 500])
def test_any_name_can_be_drawn(name: str) -> None:
    odd = curve(title=name, x_label=name, y_label=name, marks={name: 0.1}, series=(Series(name=name, x=(1,), y=(1,)),))
    svg = figures.as_svg({name: odd, "other": odd.model_copy(update={"series": ()})})
    root = ElementTree.fromstring(svg)
    assert not [element for element in root.iter() if element.tag.endswith("script")]


def test_legend_shows_names_as_they_are() -> None:
    texts = drawn_texts(figures._overlay({"_first": curve(), "$x$ & <b>": curve()}))
    assert "_first" in texts
    assert "$x$ & <b>" in texts


def test_long_names_are_shortened_in_their_middle() -> None:
    words = figures._words("a" * 100 + "END", 40)
    assert len(words) <= 40
    assert words.endswith("END")
    assert "…" in words


def test_together_gives_each_method_a_color_and_each_series_a_dash() -> None:
    figure = figures._overlay({"arcface": histogram(0.6, 0.3), "topofr": histogram(0.7, 0.3)})
    outlines = [patch for patch in figure.axes[0].patches if patch.get_linewidth() > 0 and not patch.get_fill()]
    styles = [(to_hex(patch.get_edgecolor()).upper(), patch.get_linestyle()) for patch in outlines]
    assert [color for color, _ in styles] == [figures.COLORS[0]] * 2 + [figures.COLORS[1]] * 2
    assert styles[0][1] == styles[2][1] != styles[1][1] == styles[3][1]
    assert {"arcface", "topofr", "genuine", "impostor"} <= set(drawn_texts(figure))


def test_together_keeps_only_marks_that_all_share() -> None:
    assert "threshold" in drawn_texts(figures._overlay({"a": histogram(0.6, 0.3), "b": histogram(0.7, 0.3)}))
    assert "threshold" not in drawn_texts(figures._overlay({"a": histogram(0.6, 0.3), "b": histogram(0.7, 0.31)}))


def test_together_refuses_curves_that_do_not_match(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no curve"):
        figures.draw_together({}, tmp_path / "none")
    with pytest.raises(DataError, match="'b'"):
        figures.draw_together({"a": curve(), "b": histogram(0.5, 0.2)}, tmp_path / "mixed")
    assert list(tmp_path.iterdir()) == []


def test_many_methods_fit_the_page() -> None:
    figure = figures._overlay({f"method {k} with a long description of it": curve() for k in range(12)})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    page = figure.bbox
    assert box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0
    assert box.y1 <= figure.axes[0].get_window_extent().y0


def test_colors_are_distinct() -> None:
    assert len(set(figures.COLORS)) == len(figures.COLORS) >= 7


def matrix(count=3, title="Correlation"):
    rows = [
        Series(
            name=f"block {row + 1}",
            x=tuple(float(column + 1) for column in range(count) if column != row),
            y=tuple(row + 0.1 * column for column in range(count) if column != row),
        )
        for row in range(count)
    ]
    return Curve(name="blocks", title=title, kind="matrix", x_label="block", y_label="value", series=tuple(rows))


@pytest.mark.parametrize("count", [2, 16, 45])
def test_a_matrix_is_drawn_as_colours(tmp_path, count):
    figure = figures._single(matrix(count))
    axes, bar = figure.axes
    shown = axes.images[0].get_array()
    assert (
        shown.shape == (count, count)
        and np.ma.getmaskarray(shown).diagonal().all()
        and shown.count() == count**2 - count
    )
    assert shown[1, 0] == pytest.approx(1.0) and shown[0, 1] == pytest.approx(0.1) and bar.get_ylabel() == "value"
    assert len(axes.get_yticks()) <= 20 and axes.get_yticklabels()[0].get_text() == "block 1"
    files = figures.draw(matrix(count), tmp_path / "matrix")
    assert [path.suffix for path in files] == [".png", ".svg"] and all(path.stat().st_size > 1000 for path in files)


def test_matrices_share_no_figure(tmp_path):
    assert figures.draw_together({"one": matrix()}, tmp_path / "one")
    with pytest.raises(DataError, match="matrices cannot share a figure"):
        figures.draw_together({"one": matrix(), "two": matrix()}, tmp_path / "two")
