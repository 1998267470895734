from __future__ import annotations

import numpy as np
import pytest

from facebench.figures import draw


@pytest.fixture(scope="module")
def evaluated(kit, two_of_each):
    given = kit.embeddings(two_of_each.faces, two_of_each.values)
    return kit.protocol(thresholds=(0.3,), headline=0.3).evaluate(given, two_of_each.faces, seed=0)


def named(found, name):
    return next(curve for curve in found.curves if curve.name == name)


def series(curve, name):
    return next(one for one in curve.series if one.name == name)


def test_counts_against_size(kit, two_of_each, evaluated):
    curve = named(evaluated, "count-by-size-0-3")
    assert [one.name for one in curve.series] == [
        "as many as there are",
        "judged: first-occurrence",
        "judged: strict",
        "judged: greedy",
        "beside: first-occurrence",
    ]
    rows = list(two_of_each.faces.parts["data"])
    names = [two_of_each.faces.keys[row].rsplit("/", 1)[0] for row in rows]
    centres = np.stack(list(kit.means(two_of_each.values[rows], names).values()))
    sizes = curve.series[0].x
    assert sizes == curve.series[0].y == (2, 5, 7, 10, 12)
    for rule in ("first-occurrence", "strict", "greedy"):
        wanted = [kit.counts(centres[: int(size)], 0.3)[rule] for size in sizes]
        assert list(series(curve, f"judged: {rule}").y) == wanted


def test_shares_against_thresholds(kit, evaluated):
    curve = named(evaluated, "share-by-threshold")
    for rule in ("first-occurrence", "strict"):
        line = series(curve, f"judged: {rule}")
        share = np.interp(0.3, line.x, line.y)
        metric = kit.value(evaluated, "identities-separable@0.3", rule)
        assert share == pytest.approx(metric.value, abs=1 / 12)
        assert (np.diff(line.y) >= 0).all()
        assert line.y[-1] == 1
    assert set(curve.marks) == {"0.3", "fmr=1e-1"}


def test_histograms_hold_everything(evaluated):
    names = {curve.name for curve in evaluated.curves if curve.kind == "histogram"}
    assert names == {
        "nearest-similarity",
        "scores",
        "intra-similarity",
        "leakage-image-to-centre",
        "leakage-centre-to-centre",
    }
    for name in names:
        for line in named(evaluated, name).series:
            assert sum(line.y) == pytest.approx(1)


def test_a_lone_set_has_no_word_before_its_lines(kit):
    faces = kit.people(6)
    found = kit.protocol().evaluate(kit.embeddings(faces, kit.vectors(faces)), faces, seed=0)
    assert [one.name for one in named(found, "scores").series] == ["impostor", "genuine"]
    assert [one.name for one in named(found, "nearest-similarity").series] == ["identities"]


def test_all_of_them_can_be_drawn(evaluated, tmp_path):
    for curve in evaluated.curves:
        assert all(path.is_file() for path in draw(curve, tmp_path / curve.name))
