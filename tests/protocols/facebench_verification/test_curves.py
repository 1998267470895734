from __future__ import annotations

import numpy as np
import pytest

from facebench_verification.curves import histogram, roc
from facebench_verification.numbers import Comparison


def comparison(scores, same):
    distances = 2 - 2 * np.asarray(scores, dtype=np.float64)
    return Comparison(distances, np.asarray(same, dtype=bool), None, folds=2, mirror="none", norm=1.0)


@pytest.fixture
def many():
    random = np.random.default_rng(0)
    same = random.random(20_000) < 0.5
    return comparison(np.clip(random.normal(np.where(same, 0.5, 0.1), 0.2), -1, 1), same)


def test_the_roc_by_hand():
    curve = roc(comparison([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 0, 1, 0, 1, 0]))
    (series,) = curve.series
    assert series.x[0] == pytest.approx(1 / 6)  # the left end of a logarithmic axis, half an impostor
    assert series.y[0] == pytest.approx(1 / 3)  # accepted without any false accept
    assert series.x[-1] == series.y[-1] == 1.0
    assert (curve.x_scale, curve.kind) == ("log", "step")


def test_a_perfect_roc():
    (series,) = roc(comparison([0.9, 0.8, 0.1, 0.0], [1, 1, 0, 0])).series
    assert set(series.y) == {1.0}


def test_curves_are_thinned_to_points_of_the_whole(many):
    (series,) = roc(many).series
    assert 100 < len(series.x) <= 400
    assert all(a <= b for a, b in zip(series.x, series.x[1:], strict=False))
    assert all(a <= b for a, b in zip(series.y, series.y[1:], strict=False))
    for far, tar in list(zip(series.x, series.y, strict=True))[1:-1:40]:
        # The best that can be accepted at this FAR: whatever beats the first impostor that is refused.
        refused = np.sort(many.impostor)[::-1][round(far * len(many.impostor))]
        assert np.mean(many.genuine > refused) == pytest.approx(tar, abs=1e-12)


def test_histograms_are_shares_over_common_bins(many):
    curve = histogram(many, 0.3)
    assert [series.name for series in curve.series] == ["impostor", "genuine"]
    assert curve.series[0].x == curve.series[1].x
    assert [sum(series.y) for series in curve.series] == pytest.approx([1.0, 1.0])
    assert curve.marks == {"threshold": 0.3}


def test_constant_scores_can_be_drawn():
    curve = histogram(comparison([0.5] * 4, [1, 1, 0, 0]), 0.5)
    assert [sum(series.y) for series in curve.series] == [1.0, 1.0]
