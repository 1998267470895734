from __future__ import annotations

import numpy as np
import pytest

from facebench.measures import (
    CURVE_POINTS,
    auc_metric,
    det_figure,
    dprime_metric,
    eer_metric,
    histogram_figure,
    interval_of,
    roc_figure,
    spelt,
    tar_metric,
)
from facebench.metrics import IntervalEstimate, operating_points, roc_curve, wilson

GENUINE, IMPOSTOR = [0.9, 0.8, 0.6, 0.5], [0.7, 0.55, 0.4, 0.3]


@pytest.mark.parametrize(
    ("rate", "name"), [(0.1, "1e-1"), (1e-3, "1e-3"), (1e-6, "1e-6"), (0.25, "2.5e-1"), (1.0, "1e0"), (3e-4, "3e-4")]
)
def test_rates_have_one_spelling(rate, name):
    assert spelt(rate) == name
    assert float(name) == rate


def test_an_interval_keeps_what_it_is():
    estimate = wilson(9, 10)
    interval = interval_of(estimate)
    assert (interval.low, interval.high, interval.level) == (estimate.low, estimate.high, estimate.level)
    assert (interval.method, interval.samples) == (estimate.method, estimate.samples)


def test_tar_says_what_lies_behind_it():
    (point,) = operating_points(GENUINE, IMPOSTOR, targets=[0.25], rule="strict")
    metric = tar_metric(point, mirror="sum")
    assert (metric.name, metric.value, metric.rule, metric.mirror) == ("tar@far=2.5e-1", 0.75, "strict", "sum")
    assert metric.detail["accepted impostors"] == 1
    assert metric.detail["accepted genuine"] == 3
    assert metric.detail["far"] == 0.25


def test_a_rate_that_is_not_resolved_is_absent_with_the_reason():
    (point,) = operating_points(GENUINE, IMPOSTOR, targets=[0.01], rule="reference")
    metric = tar_metric(point)
    assert metric.value is None
    assert metric.reason == "FAR 1e-2 is below what 4 impostor pairs resolve"


def test_the_numbers_by_hand():
    curve = roc_curve([0.9, 0.8, 0.6, 0.5], [0.7, 0.55, 0.4, 0.3])
    assert auc_metric(GENUINE, IMPOSTOR).value == 13 / 16
    equal = eer_metric(curve)
    assert equal.value == pytest.approx(0.25)
    assert equal.higher_is_better is False
    assert equal.rule == "interpolation"
    assert dprime_metric(GENUINE, IMPOSTOR).value == pytest.approx(1.3721283308611454)


def test_scores_without_spread_have_no_dprime():
    metric = dprime_metric([1.0, 1.0], [0.0, 0.0])
    assert metric.value is None
    assert metric.reason


def test_figures_hold_points_of_the_curve():
    random = np.random.default_rng(0)
    curve = roc_curve(random.normal(1, 1, 5000), random.normal(-1, 1, 5000))
    (line,) = roc_figure(curve).series
    assert len(line.x) <= CURVE_POINTS
    assert line.x[0] == 0.5 / 5000
    assert line.x[-1] == line.y[-1] == 1.0
    (error,) = det_figure(curve).series
    assert np.allclose(np.array(error.y), 1 - np.array(line.y))
    assert error.x == line.x


def test_histograms_share_their_bins_and_sum_to_one():
    curve = histogram_figure({"impostor": np.array(IMPOSTOR), "genuine": np.array(GENUINE)}, marks={"t": 0.5})
    assert curve.series[0].x == curve.series[1].x
    assert [sum(series.y) for series in curve.series] == pytest.approx([1, 1])
    assert curve.marks == {"t": 0.5}


def test_an_empty_group_is_drawn_empty():
    curve = histogram_figure({"impostor": np.array([0.1, 0.2]), "genuine": np.array([])})
    assert sum(curve.series[1].y) == 0


def test_where_nothing_varied_there_is_no_interval():
    assert interval_of(IntervalEstimate(1.0, 1.0, 0.95, "subject bootstrap", 1000)) is None
    assert interval_of(None) is None
