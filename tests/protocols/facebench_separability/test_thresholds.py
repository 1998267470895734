from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.metrics.facepairs import FacePairs
from facebench_separability.sides import PairScores
from facebench_separability.thresholds import threshold_metrics, thresholds_of, warning


def scores(impostor):
    none = np.empty(0, dtype=np.int64)
    pairs = FacePairs(none, none, none, none, 0)
    return PairScores(np.empty(0, np.float32), np.asarray(impostor, dtype=np.float32), pairs, pairs)


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=60), st.sampled_from([0.02, 0.1, 0.25, 1 / 3, 0.5, 0.9]))
def test_it_is_the_lowest_that_so_few_are_above(values, rate):
    given_ = np.array(values, dtype=np.float32) / 8
    found = scores(given_).threshold(rate)
    if len(values) * rate < 1 - 1e-9:
        assert found is None
        return
    assert np.mean(given_ > found) <= rate + 1e-12
    assert all(np.mean(given_ > lower) > rate - 1e-12 for lower in given_[given_ < found])


def test_an_exact_rate_is_not_lost_to_rounding():
    assert scores(np.arange(1000) / 1000).threshold(1e-3) == pytest.approx(0.998)
    assert scores(np.arange(10) / 10).threshold(0.3) == pytest.approx(0.6)


def test_fixed_ones_say_what_they_mean_here():
    found = thresholds_of([0.4, 0.3], 0.25, scores([0.1, 0.2, 0.35, 0.5]))
    assert [(one.name, one.above, one.fixed) for one in found] == [
        ("0.4", 0.25, True),
        ("0.3", 0.5, True),
        ("fmr=2.5e-1", 0.25, False),
    ]
    said = warning(found, "somebody")
    assert "thresholds 0.3, 0.4 are not calibrated" in said
    assert "of somebody there are 50 % above 0.3, 25 % above 0.4; fmr=2.5e-1 is at 0.350" in said


def test_a_rate_that_pairs_cannot_show_is_absent_with_its_reason():
    found = thresholds_of([0.4], 1e-3, scores(np.zeros(999)))
    assert found[1].value is None
    (metric,) = threshold_metrics(found, "beside", 999)
    assert metric.value is None
    assert metric.reason == "FMR 1e-3 is below what 999 impostor pairs resolve"
    (resolved,) = threshold_metrics(thresholds_of([0.4], 1e-3, scores(np.zeros(1000))), "beside", 1000)
    assert (resolved.name, resolved.value, resolved.rule) == ("threshold@fmr=1e-3", 0.0, "beside")


def test_none_is_asked_for():
    found = thresholds_of([0.4], 0.0, scores([0.1]))
    assert [one.name for one in found] == ["0.4"]
    assert threshold_metrics(found, "beside", 1) == []
    assert warning([SimpleNamespace(fixed=False)], "x") == ""
