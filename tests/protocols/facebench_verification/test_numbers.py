from __future__ import annotations

from facebench_verification.numbers import rate_interval


def test_intervals_of_rates_end_where_rates_end():
    interval = rate_interval([1.0, 1.0, 1.0, 0.9])
    assert interval is not None
    assert interval.high == 1.0
    assert 0.0 < interval.low < 1.0
    assert rate_interval([0.0, 0.0, 0.1]).low == 0.0
    assert rate_interval([1.0, 1.0, 1.0]) is None
