from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree

from facebench import MetricError
from facebench.metrics.distances import distance_matrix
from facebench_topology import shapes as module
from facebench_topology.shapes import shapes


def circle(count):
    """Points on a circle: one loop, and nothing else in H1."""
    angles = 2 * math.pi * np.arange(count) / count
    return distance_matrix(np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))


def cloud(count, seed=0):
    return distance_matrix(np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32))


def named(found, name):
    return next(curve for curve in found.curves if curve.name == name)


def test_a_circle_has_one_loop():
    found = shapes({"circle": circle(40)}, max_dimension=1, seconds=10)
    (series,) = named(found, "betti-1").series
    assert max(series.y) == 1
    mean = circle(40)[np.triu_indices(40, 1)].mean()
    born = next(x for x, y in zip(series.x, series.y, strict=True) if y)
    assert born == pytest.approx(2 * math.sin(math.pi / 40) / mean, rel=0.05)
    (joined,) = named(found, "betti-0").series
    assert joined.y[0] == 39  # the part that never ends is left out
    assert joined.y[-1] == 0
    assert found.warnings == ()


def test_no_factor_matters():
    plain = shapes({"a": cloud(24)}, max_dimension=1, seconds=10)
    large = shapes({"a": cloud(24) * 1024}, max_dimension=1, seconds=10)
    assert [curve.name for curve in plain.curves] == [curve.name for curve in large.curves]
    for one, other in zip(plain.curves, large.curves, strict=True):
        np.testing.assert_allclose(one.series[0].y, other.series[0].y, rtol=1e-5)


def test_complexity_grows_over_halves():
    found = shapes({"a": cloud(64), "b": cloud(64, 1)}, max_dimension=1, seconds=10)
    total = named(found, "complexity-total")
    assert [series.name for series in total.series] == ["H0, a", "H1, a", "H0, b", "H1, b"]
    assert total.series[0].x == (8, 16, 32, 64)
    scaled = cloud(64) / cloud(64)[np.triu_indices(64, 1)].mean()
    assert total.series[0].y[-1] == pytest.approx(minimum_spanning_tree(scaled.astype(np.float64)).sum(), rel=1e-5)
    classes = named(found, "complexity-classes")
    assert [series.name for series in classes.series] == ["H1, a", "H1, b"]
    assert classes.series[0].y[-1] > classes.series[0].y[0]


def test_dimension_0_alone():
    found = shapes({"a": cloud(20)}, max_dimension=0, seconds=10)
    assert [curve.name for curve in found.curves] == ["h0-lengths", "betti-0", "complexity-total"]


def test_what_is_out_of_reach_is_left_out_with_its_reason(monkeypatch):
    real, asked = module.persistence, []

    def refusing(values, *, given, dimension, seconds):
        asked.append((len(values), dimension))
        if dimension and len(values) > 16:
            raise MetricError(f"H{dimension} of {len(values)} points took longer than {seconds:g} s")
        return real(values, given=given, dimension=dimension, seconds=seconds)

    monkeypatch.setattr(module, "persistence", refusing)
    found = shapes({"pictures": cloud(64)}, max_dimension=2, seconds=3)
    # Refused once at 32, so not asked for at 64 again.
    assert asked == [(8, 2), (16, 2), (32, 2), (32, 1), (32, 0), (64, 0)]
    assert [text.split(" (")[0] for text in found.warnings] == [
        "homology of the pictures: H2 of 32 points took longer than 3 s",
        "homology of the pictures: H1 of 32 points took longer than 3 s",
    ]
    assert not any(curve.name in ("betti-1", "betti-2") for curve in found.curves)
    assert named(found, "complexity-classes").series[0].x == (8, 16)


def test_time_is_really_limited():
    found = shapes({"a": cloud(300)}, max_dimension=1, seconds=0.05)
    assert any("took longer than 0.05 s" in text for text in found.warnings)
    assert named(found, "complexity-total").series[0].x[-1] == 300


def test_a_space_that_is_one_point_is_left_out():
    found = shapes({"a": cloud(16), "b": np.zeros((16, 16))}, max_dimension=0, seconds=1)
    assert found.warnings == ("homology of the b: all faces of the sample are one point, there is no shape",)
    assert [series.name for series in named(found, "h0-lengths").series] == ["a"]
    assert shapes({"b": np.zeros((16, 16))}, max_dimension=0, seconds=1).curves == ()
