from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from facebench.errors import MetricError, UnknownName
from facebench.metrics import EER_RULES, crossing, equal_error_rate, roc_curve, split

QUARTERS = st.lists(st.integers(-6, 6).map(lambda n: n / 4), min_size=1, max_size=30)
NAMES = ["distinct", "ties", "perfect", "inverted", "all_equal", "runs", "scores_ties", "scores_fine"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", ["pyeer", "bob"])
def test_golden_end_rates(score_cases, name, rule):
    case = score_cases[name]
    found = equal_error_rate(*split(case.scores, case.labels), rule=rule)
    assert found.value == pytest.approx(case.expected[rule]["eer"], abs=1e-12, rel=0)
    assert sorted([found.far, found.frr]) == pytest.approx(sorted(case.expected[rule]["eer_ends"]), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_golden_interpolation(score_cases, name):
    # The reference finds the root by bisection, to about 2e-12.
    case = score_cases[name]
    found = equal_error_rate(*split(case.scores, case.labels), rule="interpolation")
    assert found.value == pytest.approx(case.expected["eer_linear_interpolation"], abs=4e-12, rel=0)


def rates(genuine, impostor, threshold):
    far = Fraction(sum(score >= threshold for score in impostor), len(impostor))
    return far, Fraction(sum(score < threshold for score in genuine), len(genuine))


@given(QUARTERS, QUARTERS, st.sampled_from(sorted(EER_RULES)))
def test_both_rates_are_those_of_the_threshold(genuine, impostor, rule):
    found = equal_error_rate(genuine, impostor, rule=rule)
    if rule == "pyeer" and (found.value, found.far, found.frr) == (1.0, 1.0, 1.0):
        return  # pyeer's answer where its thresholds never cross
    far, frr = rates(genuine, impostor, found.threshold)
    assert (found.far, found.frr) == (float(far), float(frr))
    assert found.rule == rule
    assert 0 <= found.value <= 1
    assert found == equal_error_rate(genuine[::-1], impostor[::-1], rule=rule)
    assert found == crossing(roc_curve(genuine, impostor), rule=rule)


@given(QUARTERS, QUARTERS)
def test_pyeer_by_trial(genuine, impostor):
    thresholds = sorted({*genuine, *impostor})
    pairs = [rates(genuine, impostor, threshold) for threshold in thresholds]
    crossed = [place for place, (far, frr) in enumerate(pairs) if far <= frr]
    found = equal_error_rate(genuine, impostor, rule="pyeer")
    if not crossed:
        assert (found.value, found.far, found.frr) == (1.0, 1.0, 1.0)
        return
    late = crossed[0]
    early = late - 1 if late and pairs[late][0] != pairs[late][1] else late
    sums = sum(pairs[early]), sum(pairs[late])
    assert found.value == pytest.approx(float(min(sums) / 2), abs=1e-15)
    if sums[0] != sums[1]:
        assert found.threshold == thresholds[early if sums[0] < sums[1] else late]


@given(QUARTERS, QUARTERS)
def test_bob_by_trial(genuine, impostor):
    scores = sorted({*genuine, *impostor})
    cuts = [scores[0], *((low + high) / 2 for low, high in pairwise(scores))]
    gaps = {cut: abs(far - frr) for cut in cuts for far, frr in [rates(genuine, impostor, cut)]}
    found = equal_error_rate(genuine, impostor, rule="bob")
    assert gaps[found.threshold] == min(gaps.values())
    equal = [cut for cut in cuts if gaps[cut] == min(gaps.values())]
    if all(0 not in (far, 1 - frr) for far, frr in [rates(genuine, impostor, equal[-1])]):
        assert found.threshold == equal[-1]
    assert found.value == pytest.approx(float(sum(rates(genuine, impostor, found.threshold))) / 2, abs=1e-15)


@given(QUARTERS, QUARTERS)
def test_interpolation_lies_on_scikit_learns_curve(genuine, impostor):
    labels = np.repeat([1, 0], [len(genuine), len(impostor)])
    far, tar, _ = sklearn_metrics.roc_curve(labels, np.concatenate([genuine, impostor]), drop_intermediate=False)
    x = equal_error_rate(genuine, impostor, rule="interpolation").value
    on_a_segment = [
        min(a, b) - 1e-12 <= x <= max(a, b) + 1e-12
        and min(c, d) - 1e-12 <= 1 - x <= max(c, d) + 1e-12
        and abs((b - a) * (1 - x - c) - (d - c) * (x - a)) < 1e-12
        for a, b, c, d in zip(far, far[1:], tar, tar[1:], strict=False)
    ]
    assert any(on_a_segment)


@given(QUARTERS, QUARTERS)
def test_interpolation_mirrors(genuine, impostor):
    value = equal_error_rate(genuine, impostor).value
    mirrored = equal_error_rate([-score for score in impostor], [-score for score in genuine]).value
    assert value == pytest.approx(mirrored, abs=1e-12)


def test_pyeer_takes_the_lower_threshold_of_equal_sums():
    found = equal_error_rate([0.1, 0.5, 0.9, 0.9], [0.0, 0.05, 0.5, 0.9], rule="pyeer")
    assert (found.value, found.far, found.frr, found.threshold) == (0.375, 0.5, 0.25, 0.5)


def test_neighbouring_floats_have_no_midpoint():
    low = 1.0
    high = np.nextafter(low, 2)
    found = equal_error_rate([high], [low], rule="bob")
    assert (found.far, found.frr, found.threshold) == (0.0, 0.0, high)


def test_refusals():
    with pytest.raises(UnknownName, match="did you mean 'pyeer'"):
        equal_error_rate([1.0], [0.0], rule="pyer")
    with pytest.raises(MetricError, match="0 genuine"):
        equal_error_rate([], [0.0])
