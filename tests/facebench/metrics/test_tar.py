from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facebench.errors import MetricError, UnknownName
from facebench.metrics import TAR_RULES, operating_points, split, tar, tar_at_far

QUARTERS = st.lists(st.integers(-6, 6).map(lambda n: n / 4), min_size=1, max_size=30)
TARGETS = st.sampled_from([0.0, 1e-6, 1e-3, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.75, 1.0])
NAMES = ["distinct", "ties", "perfect", "inverted", "all_equal", "runs", "scores_ties", "scores_fine"]
GOLDEN_KEYS = {
    "reference": "tar_nearest_far_dropped",
    "nearest-all-points": "tar_nearest_far_all_points",
    "strict": "tar_largest_far_not_above",
    "kth-impostor": "pfe_kth_impostor",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", GOLDEN_KEYS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_golden_rules(score_cases, name, rule, dtype):
    case = score_cases[name]
    expected = case.expected[GOLDEN_KEYS[rule]]
    genuine, impostor = split(case.scores.astype(dtype), case.labels)
    points = operating_points(genuine, impostor, targets=[float(target) for target in expected], rule=rule)
    for point, want in zip(points, expected.values(), strict=True):
        assert point.far == pytest.approx(want["far"], abs=1e-12, rel=0)
        assert point.tar == pytest.approx(want["tar"], abs=1e-12, rel=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "all_equal"])
def test_golden_pyeer_operating_points(score_cases, name):
    # pyeer has no threshold above all scores, so it cannot answer alike where there is a single score.
    case = score_cases[name]
    for target, fnmr in case.expected["pyeer"]["fnmr_nearest_fmr"].items():
        point = tar_at_far(*split(case.scores, case.labels), target=float(target), rule="nearest-all-points")
        assert 1 - point.tar == pytest.approx(fnmr, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_strict_allows_bobs_impostors_and_loses_no_genuine(score_cases, name):
    case = score_cases[name]
    for target, bob in case.expected["bob"]["frr_at_far"].items():
        point = tar_at_far(*split(case.scores, case.labels), target=float(target), rule="strict")
        assert point.far == pytest.approx(bob["far"], abs=1e-12)
        assert point.tar >= 1 - bob["frr"] - 1e-12


def nearest_by_scikit_learn(genuine, impostor, target, drop):
    labels = np.repeat([1, 0], [len(genuine), len(impostor)])
    far, tar_, _ = sklearn_metrics.roc_curve(labels, np.concatenate([genuine, impostor]), drop_intermediate=drop)
    far, tar_ = far[::-1], tar_[::-1]
    place = np.argmin(np.abs(far - target))
    return far[place], tar_[place]


def strict_by_trial(genuine, impostor, target):
    allowed = [t for t in [np.inf, *genuine, *impostor] if np.mean(impostor >= t) <= target]
    return max((float(np.mean(genuine >= t)), float(np.mean(impostor >= t))) for t in allowed)


@given(QUARTERS, QUARTERS, TARGETS, st.sampled_from([np.float32, np.float64]))
def test_rules_against_their_definitions(genuine, impostor, target, dtype):
    genuine, impostor = np.array(genuine, dtype), np.array(impostor, dtype)
    for rule, drop in (("reference", True), ("nearest-all-points", False)):
        point = tar_at_far(genuine, impostor, target=target, rule=rule)
        assert (point.far, point.tar) == nearest_by_scikit_learn(genuine, impostor, target, drop)
    strict = tar_at_far(genuine, impostor, target=target, rule="strict")
    assert strict.far <= target
    tar_, far = strict_by_trial(genuine, impostor, target)
    assert (strict.tar, strict.far <= far) == (tar_, True)
    kth = tar_at_far(genuine, impostor, target=target, rule="kth-impostor")
    k = round(target * len(impostor))
    threshold = np.sort(impostor)[-k] if k else impostor.max() + 1e-5
    assert (kth.tar, kth.far) == (np.mean(genuine >= threshold), np.mean(impostor >= threshold))


@given(QUARTERS, QUARTERS, st.lists(TARGETS, min_size=1, max_size=5), st.sampled_from(sorted(TAR_RULES)))
def test_a_point_is_what_its_threshold_does(genuine, impostor, targets, rule):
    points = operating_points(genuine, impostor, targets=targets, rule=rule)
    assert points == tuple(tar_at_far(genuine, impostor, target=target, rule=rule) for target in targets)
    assert points == operating_points(genuine[::-1], impostor[::-1], targets=targets, rule=rule)
    for point, target in zip(points, targets, strict=True):
        assert np.isfinite(point.threshold)
        assert point.accepted_genuine == sum(score >= point.threshold for score in genuine)
        assert point.accepted_impostors == sum(score >= point.threshold for score in impostor)
        assert (point.genuine, point.impostors) == (len(genuine), len(impostor))
        assert (point.tar, point.far) == (
            point.accepted_genuine / len(genuine),
            point.accepted_impostors / len(impostor),
        )
        assert (point.target, point.rule) == (target, rule)


@given(QUARTERS, QUARTERS, st.sampled_from(sorted(TAR_RULES)))
def test_tar_never_falls_with_the_target(genuine, impostor, rule):
    points = operating_points(genuine, impostor, targets=[0, 1e-3, 0.1, 0.25, 0.5, 0.9, 1], rule=rule)
    assert [point.tar for point in points] == sorted(point.tar for point in points)


def test_resolution():
    genuine, impostor = np.ones(5), np.linspace(0, 0.5, 1000)
    for target, resolved in ((1e-3, True), (0.0011, True), (0.00099, False), (1e-6, False), (0.0, False)):
        assert tar_at_far(genuine, impostor, target=target, rule="strict").resolved is resolved


def test_rounding_of_the_allowed_count():
    # 0.29 * 100 is 28.999999999999996, yet 29 of 100 do not exceed 0.29
    point = tar_at_far([200.0], np.arange(100.0), target=0.29, rule="strict")
    assert point.accepted_impostors == 29


@pytest.mark.parametrize("drop", [True, False])
def test_the_head_of_a_curve_serves_like_the_whole(monkeypatch, drop):
    draw = np.random.default_rng(5)
    rule = "reference" if drop else "nearest-all-points"
    targets = [0, 1e-4, 3e-3, 0.01, 0.05, 0.2]
    for genuine_count in (1, 5, 300):
        genuine = draw.normal(2, 1, genuine_count).round(2)
        for decimals in (1, 6):
            impostor = draw.normal(0, 1, 4000).round(decimals)
            monkeypatch.setattr(tar, "_MARGIN", 10**9)
            whole = [tar_at_far(genuine, impostor, target=target, rule=rule) for target in targets]
            monkeypatch.setattr(tar, "_MARGIN", 2)
            assert whole == [tar_at_far(genuine, impostor, target=target, rule=rule) for target in targets]


def test_a_collinear_run_longer_than_the_head(monkeypatch):
    # All genuine scores on top: the next kept point is FAR 1, whatever part of the impostors is looked at.
    monkeypatch.setattr(tar, "_MARGIN", 0)
    genuine, impostor = np.array([9.0, 8.0]), np.linspace(0, 1, 5000)
    assert tar_at_far(genuine, impostor, target=0.6, rule="reference").far == 1.0
    # The part ends at FAR 0.25, as near to the target as 0 is: but it is no point of the curve.
    assert tar_at_far(genuine, impostor, target=0.125, rule="reference").far == 0.0


def test_kth_impostor_above_scores_too_large_for_its_step():
    scores = np.array([1e6, 2e6], dtype=np.float32)
    point = tar_at_far(scores, scores, target=0.0, rule="kth-impostor")
    assert (point.accepted_impostors, point.accepted_genuine) == (0, 0)


def test_refusals():
    with pytest.raises(UnknownName, match="did you mean 'strict'"):
        tar_at_far([1.0], [0.0], target=0.1, rule="strickt")
    with pytest.raises(MetricError, match="fractions, not percent"):
        tar_at_far([1.0], [0.0], target=10, rule="strict")
    with pytest.raises(MetricError, match="0 impostor"):
        tar_at_far([1.0], [], target=0.1)
    assert operating_points([1.0], [0.0], targets=[]) == ()
