from __future__ import annotations

import re

import numpy as np
import pytest

from facebench.testing import check_report, toy_result
from facebench_topology.overlays import overlay
from facebench_topology.plugin import facebench_reports
from facebench_topology.report import escaped

SPEC = next(iter(facebench_reports()))
HOSTILE = "x|<script>alert(1)</script> [a](javascript:b) ![i](http://e.example/p.png) `c`\n## no *heading*"


def render(results, out):
    return list(SPEC.build(SPEC.options()).render(results, out))


def named(result, plugin, *, model="", time="2026-01-01T00:00:00+00:00", weights="0", fingerprint="0" * 16):
    subject = result.subject.model_copy(update={"plugin": plugin, "model": model, "weights": weights * 64})
    data = result.data.model_copy(update={"fingerprint": fingerprint})
    origin = result.provenance.model_copy(update={"time": time})
    return result.model_copy(update={"subject": subject, "data": data, "provenance": origin})


@pytest.fixture(scope="module")
def evaluated(kit, images):
    """A network that knows nothing, the same shrunk, and a projection of the pictures."""
    faces = kit.Pictures(images, [f"{place:02d}" for place in range(len(images))])
    noise = np.random.default_rng(0).normal(size=(len(images), 64)) * 2
    every = {"plain": noise, "shrunk": noise * 0.005, "projected": kit.projected(images)}
    protocol = kit.protocol(sizes=(8,))
    return {
        name: toy_result("topology", protocol.evaluate(kit.embeddings(faces, vectors), faces, seed=0))
        for name, vectors in every.items()
    }


def rows(text, size):
    """The table of a size as lists of cells."""
    part = text.split(f"### Batches of {size}\n")[1]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_it_keeps_the_contract(tmp_path):
    check_report(SPEC, tmp_path)


def test_methods_stand_side_by_side_with_raw_scale_free_and_shared_edges(evaluated, tmp_path):
    results = [named(result, name, weights=str(place)) for place, (name, result) in enumerate(evaluated.items())]
    files = render(results, tmp_path)
    text = files[0].read_text(encoding="utf-8")
    assert files[0] == tmp_path / "topology.md"
    heading, _, *lines = rows(text, 8)[:5]
    assert heading[:2] == ["method", "discrepancy"]
    table = {line[0]: dict(zip(heading, line, strict=True)) for line in lines}
    assert set(table) == {"plain", "projected", "shrunk"}

    def shown(method, column):
        return float(table[method][column].split()[0])

    assert shown("plain", "discrepancy") > 100 > 0.1 > shown("shrunk", "discrepancy")
    assert shown("plain", "at the best multiplier") == shown("shrunk", "at the best multiplier")
    assert shown("plain", "shared edges (%)") == shown("shrunk", "shared edges (%)") < 50
    assert shown("projected", "shared edges (%)") > 50
    assert "(chance 25)" in table["plain"]["shared edges (%)"]
    assert "±" in table["plain"]["discrepancy"]
    warned = [line for line in text.splitlines() if line.startswith("- Warning for ")]
    assert {line.split(":")[0].removeprefix("- Warning for ") for line in warned} == {"shrunk"}
    assert "built-in drawn faces" in text


def test_every_figure_is_there_and_named_in_the_text(evaluated, tmp_path):
    files = render([named(evaluated["plain"], "a"), named(evaluated["shrunk"], "b", weights="1")], tmp_path)
    text = files[0].read_text(encoding="utf-8")
    assert len(files) == 1 + 2 * 3
    for file in files[1:]:
        assert file.parent == tmp_path
        assert file.stat().st_size > 1000
        assert (f"({file.name})" in text) == (file.suffix == ".svg")


def test_equal_results_give_equal_bytes_in_any_order(evaluated, tmp_path):
    results = [named(evaluated["shrunk"], "b"), named(evaluated["plain"], "a", weights="1")]
    one, two = render(results, tmp_path / "one"), render(results[::-1], tmp_path / "two")
    assert [file.name for file in one] == [file.name for file in two]
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_only_the_newest_of_a_configuration_counts(evaluated, tmp_path):
    old = named(evaluated["plain"], "same")
    new = named(evaluated["projected"], "same", time="2026-02-01T00:00:00+00:00")
    text = render([new, old], tmp_path)[0].read_text(encoding="utf-8")
    assert len(rows(text, 8)) == 3
    assert float(rows(text, 8)[2][5].split()[0]) > 50


def test_two_of_one_name_are_told_apart(evaluated, tmp_path):
    text = render([named(evaluated["plain"], "a"), named(evaluated["shrunk"], "a", weights="1")], tmp_path)[
        0
    ].read_text()
    assert [line[0] for line in rows(text, 8)[2:]] == ["a", "a (2)"]


def test_other_data_and_other_protocols_stand_apart(evaluated, tmp_path):
    other = named(evaluated["plain"], "a", fingerprint="f" * 16)
    files = render([named(evaluated["plain"], "a"), other, toy_result("lfw")], tmp_path)
    text = files[0].read_text(encoding="utf-8")
    assert text.count("\n## topology (demo)") == 2
    assert "lfw" not in text
    assert {file.name.split("-")[1] for file in files[1:]} == {"1", "2"}


def test_without_results_of_topology_it_says_so(tmp_path):
    (path,) = render([toy_result("lfw")], tmp_path)
    assert "No result of the protocol topology" in path.read_text(encoding="utf-8")


def test_an_absent_value_is_a_dash(kit, images, tmp_path):
    faces = kit.Pictures(images, [f"{place:02d}" for place in range(len(images))])
    protocol = kit.protocol(sizes=(8,))
    flat = protocol.evaluate(kit.embeddings(faces, np.ones((40, 4))), faces, seed=0)
    well = protocol.evaluate(kit.embeddings(faces, np.random.default_rng(0).normal(size=(40, 4))), faces, seed=0)
    results = [named(toy_result("topology", flat), "flat"), named(toy_result("topology", well), "well", weights="1")]
    text = render(results, tmp_path)[0].read_text(encoding="utf-8")
    assert set(rows(text, 8)[2][1:]) == {"—"}
    assert "—" not in rows(text, 8)[3]


def test_names_of_strangers_are_escaped(evaluated, tmp_path):
    result = named(evaluated["plain"], HOSTILE, model=HOSTILE)
    data = result.data.model_copy(update={"name": HOSTILE, "demo": False})
    result = result.model_copy(update={"data": data, "warnings": (HOSTILE,)})
    files = render([result], tmp_path)
    text = files[0].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "\n## no" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "http://e" not in text
    assert len(rows(text, 8)[2]) == len(rows(text, 8)[0])
    assert all(file.parent == tmp_path for file in files)
    assert b"<script" not in next(file for file in files if file.suffix == ".svg").read_bytes()


def test_escaping_leaves_one_line_without_live_markup():
    assert escaped("a\u202eb\x00 c\n d") == "ab c d"
    assert escaped("*_`[]|<>&@") == "\\*\\_\\`\\[\\]\\|&lt;&gt;&amp;&#64;"


class TestOverlay:
    def test_bins_are_common_and_hold_all(self):
        found = overlay({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.5]}, name="x", title="t", x_label="l")
        assert set(found["b"].series[0].x) < set(found["a"].series[0].x)
        for label, low, high in (("a", 1.0, 3.0), ("b", 2.0, 2.5)):
            drawn = found[label].series[0].x
            assert low - 0.1 < drawn[0] <= low
            assert high <= drawn[-1] < high + 0.1
        assert {curve.x_scale for curve in found.values()} == {"linear"}
        for curve in found.values():
            assert sum(curve.series[0].y) == pytest.approx(1)
            assert curve.series[0].y[0] == curve.series[0].y[-1] == 0

    def test_methods_far_apart_share_a_logarithmic_axis(self):
        found = overlay({"a": [800.0, 900.0], "b": [0.001, 0.002]}, name="x", title="t", x_label="l")
        assert {curve.x_scale for curve in found.values()} == {"log"}
        for curve in found.values():
            assert sum(curve.series[0].y) == pytest.approx(1)

    @pytest.mark.parametrize("same", [0.0, 5.0, -1.0])
    def test_equal_values_are_one_bin(self, same):
        (curve,) = overlay({"a": [same, same]}, name="x", title="t", x_label="l").values()
        assert sorted(curve.series[0].y)[-1] == 1
