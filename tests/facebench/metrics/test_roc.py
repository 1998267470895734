from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facebench.metrics import auc, roc, roc_curve, split

# Quarters are exact in float32 and float64 alike, and few enough to be equal often.
QUARTERS = st.lists(st.integers(-6, 6).map(lambda n: n / 4), min_size=1, max_size=30)
NAMES = ["distinct", "ties", "perfect", "inverted", "all_equal", "runs", "scores_ties", "scores_fine"]


def labelled(genuine, impostor):
    return np.repeat([1, 0], [len(genuine), len(impostor)]), np.concatenate([genuine, impostor])


@pytest.mark.parametrize("name", NAMES)
def test_golden_area(score_cases, name):
    case = score_cases[name]
    assert auc(*split(case.scores, case.labels)) == pytest.approx(case.expected["roc_auc"], abs=1e-12, rel=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("drop", [False, True])
def test_golden_inputs_give_scikit_learns_curve(score_cases, name, drop):
    case = score_cases[name]
    ours = roc_curve(*split(case.scores, case.labels), drop_collinear=drop)
    far, tar, thresholds = sklearn_metrics.roc_curve(case.labels, case.scores, drop_intermediate=drop)
    np.testing.assert_array_equal(ours.far, far)
    np.testing.assert_array_equal(ours.tar, tar)
    np.testing.assert_array_equal(ours.thresholds, thresholds)


@given(QUARTERS, QUARTERS, st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_curve_is_scikit_learns(genuine, impostor, drop, dtype):
    ours = roc_curve(np.array(genuine, dtype), np.array(impostor, dtype), drop_collinear=drop)
    far, tar, thresholds = sklearn_metrics.roc_curve(*labelled(genuine, impostor), drop_intermediate=drop)
    np.testing.assert_array_equal(ours.far, far)
    np.testing.assert_array_equal(ours.tar, tar)
    np.testing.assert_array_equal(ours.thresholds, thresholds)
    assert (ours.impostors, ours.genuine) == (len(impostor), len(genuine))
    assert ours.false_accepts.dtype == ours.true_accepts.dtype == np.int64


@given(QUARTERS, QUARTERS)
def test_counts_are_those_of_each_threshold(genuine, impostor):
    curve = roc_curve(genuine, impostor)
    for threshold, false, true in zip(curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True):
        assert false == sum(score >= threshold for score in impostor)
        assert true == sum(score >= threshold for score in genuine)


@given(QUARTERS, QUARTERS)
def test_area_is_the_share_of_couples_won(genuine, impostor):
    won = sum(2 * (g > i) + (g == i) for g in genuine for i in impostor)
    assert auc(genuine, impostor) == won / (2 * len(genuine) * len(impostor))
    assert auc(genuine, impostor) == pytest.approx(sklearn_metrics.roc_auc_score(*labelled(genuine, impostor)))


@given(QUARTERS, QUARTERS)
def test_area_is_the_trapezoid_of_the_curve_and_ignores_monotone_maps(genuine, impostor):
    curve = roc_curve(genuine, impostor)
    assert auc(genuine, impostor) == pytest.approx(np.trapezoid(curve.tar, curve.far), abs=1e-12)
    assert auc(np.exp(genuine), np.exp(impostor)) == auc(genuine, impostor)
    assert auc(genuine[::-1], impostor[::-1]) == auc(genuine, impostor)
    assert auc(genuine, impostor) + auc(impostor, genuine) == pytest.approx(1.0)


def test_area_in_chunks(monkeypatch):
    draw = np.random.default_rng(3)
    genuine, impostor = draw.normal(1, 1, 40).round(1), draw.normal(0, 1, 501).round(1)
    whole = auc(genuine, impostor)
    monkeypatch.setattr(roc, "_CHUNK", 7)
    assert auc(genuine, impostor) == whole
