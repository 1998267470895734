from __future__ import annotations

import numpy as np
import pytest

from facebench_topology.figures import bins_for, histogram


@pytest.mark.parametrize(("count", "bins"), [(1, 5), (100, 20), (10_000, 60)])
def test_few_values_have_few_bins(count, bins):
    assert bins_for(count) == bins


@pytest.mark.parametrize("values", [np.linspace(3, 9, 50), np.zeros(9), np.full(4, 1e9), np.array([-1e-9, 1e-9])])
def test_bins_hold_all_values(values):
    curve = histogram({"a": values, "b": values[:1]}, name="x", title="t", x_label="l", y_label="share")
    assert [sum(series.y) for series in curve.series] == pytest.approx([1, 1])
    assert curve.series[0].x == curve.series[1].x
    widths = np.diff(curve.series[0].x)
    assert widths.min() > 0
