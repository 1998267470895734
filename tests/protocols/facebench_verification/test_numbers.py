from __future__ import annotations

import numpy as np

from facebench_verification.numbers import Comparison, rate_interval
from facebench_verification.protocol import _about_folds


def test_intervals_of_rates_end_where_rates_end():
    interval = rate_interval([1.0, 1.0, 1.0, 0.9])
    assert interval is not None
    assert interval.high == 1.0
    assert 0.0 < interval.low < 1.0
    assert rate_interval([0.0, 0.0, 0.1]).low == 0.0
    assert rate_interval([1.0, 1.0, 1.0]) is None


def test_about_folds_are_counted():
    def folds(same, fold=None):
        same = np.array(same, dtype=bool)
        fold = None if fold is None else np.array(fold)
        comparison = Comparison(np.zeros(len(same)), same, None, folds=2, mirror="none", norm=1.0, fold=fold)
        said = _about_folds(comparison)
        return int(said[0].split()[0]) if said else 0

    assert folds([1, 1, 0, 0]) == 2
    assert folds([1, 0, 1, 0]) == 0
    assert folds([1, 0, 1, 1, 1]) == 1
    assert folds([1, 0, 1, 0], [7, 9, 7, 9]) == 2
    assert folds([1, 0, 1, 0], [7, 7, 9, 9]) == 0
