from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from facebench.errors import MetricError, UnknownName
from facebench.metrics import auc, fold_accuracy, mean_fold_roc, pair_distances, val_at_far

NAMES = ["pairs_small", "pairs_odd", "pairs_cfp", "pairs_lfw"]
EXACT = {"abs": 1e-12, "rel": 0}


@pytest.fixture(scope="module")
def measured(pair_cases):
    return {
        name: (pair_distances(case.embeddings[0::2], case.embeddings[1::2]), case.same, case.expected)
        for name, case in pair_cases.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_golden_accuracy(measured, name):
    distances, same, expected = measured[name]
    found = fold_accuracy(distances, same)
    assert found.folds == pytest.approx(expected["fold_accuracy"], **EXACT)
    assert found.thresholds == pytest.approx(expected["fold_threshold"], **EXACT)
    assert found.mean == pytest.approx(expected["accuracy_mean"], **EXACT)
    assert found.std == pytest.approx(expected["accuracy_std"], **EXACT)
    assert found.best_threshold == pytest.approx(np.mean(expected["fold_threshold"]), **EXACT)
    assert found.standard_error == pytest.approx(found.std / 3, **EXACT)  # sqrt(9) for ten folds


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["0.001", "0.01", "0.1"])
def test_golden_val(measured, name, target):
    distances, same, expected = measured[name]
    found = val_at_far(distances, same, target=float(target))
    want = expected[f"val_at_far_{target}"]
    assert found.val == pytest.approx(want["val"], **EXACT)
    assert found.val_std == pytest.approx(want["val_std"], **EXACT)
    assert found.far == pytest.approx(want["far"], **EXACT)
    assert found.target == float(target)


@pytest.mark.parametrize("name", NAMES)
def test_golden_curve(measured, name):
    distances, same, expected = measured[name]
    curve = mean_fold_roc(distances, same)
    for rates, key in ((curve.tar, "mean_tpr_at_grid"), (curve.far, "mean_fpr_at_grid")):
        for threshold, want in expected[key].items():
            place = int(np.argmin(np.abs(curve.thresholds - float(threshold))))
            assert rates[place] == pytest.approx(want, **EXACT)
    assert curve.area == pytest.approx(expected["grid_auc_trapezoid"], **EXACT)
    assert curve.area == pytest.approx(auc(-distances[same], -distances[~same]), abs=1e-3)


@st.composite
def pairs(draw):
    """Distances on and off the grid, often equal; flags; a number of folds."""
    size = draw(st.integers(4, 40))
    steps = draw(st.lists(st.integers(0, 400), min_size=size, max_size=size))
    nudge = draw(st.sampled_from([0.0, 0.003]))
    same = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    distances = np.minimum(np.array(steps) * 0.01 + nudge, 4.0)
    return distances, np.array(same), draw(st.integers(2, min(size, 10)))


def splits(size, folds):
    return [(train, test) for train, test in KFold(folds).split(np.arange(size))]


@settings(deadline=None)
@given(pairs())
def test_reference_against_a_loop(case):
    distances, same, folds = case
    grid = np.arange(0, 4, 0.01)
    found = fold_accuracy(distances, same, folds=folds)
    for k, (train, test) in enumerate(splits(distances.size, folds)):
        right = [np.mean((distances[train] < t) == same[train]) for t in grid]
        threshold = grid[int(np.argmax(right))]
        assert found.thresholds[k] == threshold
        assert found.folds[k] == np.mean((distances[test] < threshold) == same[test])


@settings(deadline=None)
@given(pairs())
def test_strict_against_a_loop(case):
    distances, same, folds = case
    found = fold_accuracy(distances, same, folds=folds, rule="strict")
    for k, (train, test) in enumerate(splits(distances.size, folds)):
        right = {t: int(np.sum((distances[train] <= t) == same[train])) for t in distances[train]}
        threshold = max(t for t, count in right.items() if count == max(right.values()))
        assert found.thresholds[k] == threshold
        assert found.folds[k] == np.mean((distances[test] <= threshold) == same[test])
    # Only the order of the distances matters, so any rising map leaves the decisions as they are.
    assert fold_accuracy(np.sqrt(distances), same, folds=folds, rule="strict").folds == found.folds


@settings(deadline=None, max_examples=40)
@given(pairs(), st.sampled_from([0.0, 0.001, 0.1, 1 / 3, 0.5]))
def test_val_and_curve_against_loops(case, target):
    distances, same, folds = case
    parts = splits(distances.size, folds)
    if any(same[test].all() or not same[test].any() for _, test in parts):
        with pytest.raises(MetricError, match="in every fold"):
            val_at_far(distances, same, target=target, folds=folds)
    else:
        grid = np.arange(0, 4, 0.001)
        found = val_at_far(distances, same, target=target, folds=folds)
        for k, (train, test) in enumerate(parts):
            far = np.array([np.mean(distances[train][~same[train]] < t) for t in grid])
            threshold = 0.0
            if far.max() >= target:
                last = int(np.flatnonzero(far <= target)[-1])
                threshold = grid[last]
                if last + 1 < grid.size:
                    threshold += (target - far[last]) * (grid[last + 1] - grid[last]) / (far[last + 1] - far[last])
            assert found.thresholds[k] == pytest.approx(threshold, abs=1e-12)
            assert found.folds[k] == np.mean(distances[test][same[test]] < found.thresholds[k])
        assert found.val == pytest.approx(np.mean(found.folds))
    curve = mean_fold_roc(distances, same, folds=folds)
    for rates, flags in ((curve.tar, same), (curve.far, ~same)):
        for place in (0, 37, 200, 399):
            shares = [
                np.mean((distances[test] < curve.thresholds[place])[flags[test]] if flags[test].any() else 0)
                for _, test in parts
            ]
            assert rates[place] == pytest.approx(np.mean(shares), abs=1e-12)


def test_val_is_zero_where_training_cannot_reach_the_target():
    distances = np.array([0.5, 4.0] * 4)
    found = val_at_far(distances, [1, 0] * 4, target=0.5, folds=2)
    assert (found.val, found.far, found.thresholds) == (0.0, 0.0, (0.0, 0.0))


def test_val_at_a_target_that_training_just_reaches():
    # A distance of 4 is never below a threshold, so FAR ends at 1/2, and the last threshold of the grid serves.
    distances = np.array([0.5, 0.7, 4.0] * 4)
    found = val_at_far(distances, [1, 0, 0] * 4, target=0.5, folds=2)
    assert found.thresholds == pytest.approx((3.999, 3.999), **EXACT)
    assert (found.val, found.far) == (1.0, 0.5)


def test_given_folds_equal_counted_ones():
    draw = np.random.default_rng(0)
    same = draw.random(103) < 0.5
    distances = np.where(same, draw.uniform(0, 2, 103), draw.uniform(1, 4, 103))
    numbers = np.repeat(np.arange(10), [11, 11, 11, 10, 10, 10, 10, 10, 10, 10])
    order = draw.permutation(103)
    for rule in ("reference", "strict"):
        counted = fold_accuracy(distances, same, rule=rule)
        assert fold_accuracy(distances, same, folds=numbers, rule=rule) == counted
        assert fold_accuracy(distances[order], same[order], folds=5 + 3 * numbers[order], rule=rule) == counted
    assert val_at_far(distances[order], same[order], folds=numbers[order], target=0.1) == val_at_far(
        distances, same, target=0.1
    )


@pytest.mark.parametrize(
    ("distances", "same", "folds", "message"),
    [
        ([0.5, -0.25, 1, 1], [1, 0, 1, 0], 2, "found -0.25 at index 1"),
        ([0.5, 5, 1, 1], [1, 0, 1, 0], 2, "unit length"),
        ([0.5, np.nan, 1, 1], [1, 0, 1, 0], 2, "first at index 1"),
        ([0.5, 1], [1, 0, 1], 2, "match the 2"),
        ([0.5, 1], [1, 0], 3, "found 3"),
        ([0.5, 1], [1, 0], 1, "found 1"),
        ([0.5, 1], [1, 0], [0], "one integer for each"),
        ([0.5, 1], [1, 0], [0.0, 1.0], "one integer for each"),
        ([0.5, 1], [1, 0], [3, 3], "at least 2 folds"),
        ([], [], 2, "empty"),
    ],
)
def test_refusals(distances, same, folds, message):
    for call in (fold_accuracy, mean_fold_roc):
        with pytest.raises(MetricError, match=message):
            call(distances, same, folds=folds)
    with pytest.raises(MetricError, match=message):
        val_at_far(distances, same, folds=folds, target=0.1)


def test_unknown_rule():
    with pytest.raises(UnknownName, match="did you mean 'reference'"):
        fold_accuracy([0.5, 1], [1, 0], folds=2, rule="refrence")
