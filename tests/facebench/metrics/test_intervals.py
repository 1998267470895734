from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from facebench.errors import MetricError
from facebench.metrics import fold_interval, wilson


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_is_scipys(trials, share, level):
    successes = int(share * trials)
    found = wilson(successes, trials, level=level)
    want = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=1e-12)
    assert 0 <= found.low <= successes / trials <= found.high <= 1
    assert (found.level, found.samples) == (level, trials)


def test_wilson_has_width_at_the_ends():
    assert wilson(10, 10).low < 1 == wilson(10, 10).high
    assert wilson(0, 10).high > 0 == wilson(0, 10).low


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.sampled_from([0.8, 0.95]))
def test_fold_interval_is_scipys(values, level):
    found = fold_interval(values, level=level)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    assert found.low == pytest.approx(np.mean(values) - half, abs=1e-9)
    assert found.high == pytest.approx(np.mean(values) + half, abs=1e-9)
    assert found.samples == len(values)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses(successes, trials):
    with pytest.raises(MetricError, match=f"found {successes} of {trials}"):
        wilson(successes, trials)


def test_refusals():
    with pytest.raises(MetricError, match="at least 2"):
        fold_interval([0.5])
    with pytest.raises(MetricError, match="first at index 1"):
        fold_interval([0.5, np.nan])
    for call in (lambda: wilson(1, 2, level=95), lambda: fold_interval([0.1, 0.2], level=1.0)):
        with pytest.raises(MetricError, match="level"):
            call()
