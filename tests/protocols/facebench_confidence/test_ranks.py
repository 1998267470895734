"""Spearman against scipy's, weights against faces that are really repeated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from facebench_confidence.ranks import pooled_spearman, row_spearman


def scipys(values):
    levels = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return stats.spearmanr(levels.ravel(), values.ravel()).statistic


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(30, 7), (5, 2), (1, 6)])
def test_pooled_against_scipy(ties, shape):
    random = np.random.default_rng(1)
    values = random.normal(size=shape) - 0.3 * np.arange(shape[1])
    values = np.round(values) if ties else values
    assert pooled_spearman(values, np.ones((1, shape[0])))[0] == pytest.approx(scipys(values), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_weights_are_repetitions(ties):
    random = np.random.default_rng(2)
    values = random.normal(size=(12, 5))
    values = np.round(2 * values) if ties else values
    weights = random.integers(0, 4, (20, 12)).astype(np.float64)
    found = pooled_spearman(values, weights)
    for one, row in zip(found, weights, strict=True):
        assert one == pytest.approx(scipys(values.repeat(row.astype(int), axis=0)), abs=1e-12)


def test_rows_against_scipy():
    random = np.random.default_rng(3)
    values = np.round(random.normal(size=(40, 6)), 1)
    values[0], values[1] = np.arange(6), -np.arange(6)
    wanted = [stats.spearmanr(np.arange(6), row).statistic for row in values]
    np.testing.assert_allclose(row_spearman(values), wanted, atol=1e-12)
    assert row_spearman(values)[:2].tolist() == [1.0, -1.0]


def test_equal_values_have_no_correlation():
    assert np.isnan(pooled_spearman(np.ones((4, 3)), np.ones((2, 4)))).all()
    assert np.isnan(row_spearman(np.ones((4, 3)))).all()
