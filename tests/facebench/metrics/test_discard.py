from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import error_versus_discard, tar_at_far


@st.composite
def comparisons(draw):
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    count = draw(st.integers(2, 60))
    same = np.append([True, False], random.random(count - 2) < 0.5)
    return random.integers(-4, 5, count) / 4, same, tuple(random.integers(0, 6, (2, count)))


@settings(max_examples=100, deadline=None)
@given(comparisons(), st.sampled_from([0.0, 0.001, 0.1, 0.5]), st.sampled_from(["fixed", "reference"]))
def test_is_each_level_by_itself(case, target, rule):
    scores, same, qualities = case
    found = error_versus_discard(scores, same, qualities=qualities, target=target, rule=rule)
    order = np.argsort(np.minimum(*qualities), kind="stable")
    fixed = tar_at_far(scores[same], scores[~same], target=target, rule="strict").threshold
    for i, share in enumerate(np.arange(0, 0.98, 0.05)):
        kept = order[int(share * len(scores)) :]
        genuine, impostor = scores[kept][same[kept]], scores[kept][~same[kept]]
        assert found.discarded[i] == int(share * len(scores)) / len(scores)
        assert (found.genuine[i], found.impostors[i]) == (genuine.size, impostor.size)
        if rule == "fixed":
            missed, threshold = genuine < fixed, fixed
        elif impostor.size:
            threshold = np.sort(impostor)[::-1][int((impostor.size - 1) * target)]
            missed = ~(genuine > threshold)
        else:
            missed, threshold = genuine[:0], np.nan
        np.testing.assert_equal(found.thresholds[i], threshold)
        np.testing.assert_equal(found.fnmr[i], np.mean(missed) if missed.size else np.nan)


def test_a_quality_that_knows_the_errors_removes_them():
    scores = np.array([0.1, 0.9, 0.8, 0.2, 0.3, 0.1])
    same = [1, 1, 1, 0, 0, 0]
    good = np.array([0, 5, 5, 4, 4, 4])
    found = error_versus_discard(scores, same, qualities=(good, good + 1), target=0, fractions=[0, 0.2, 0.4])
    assert found.fnmr.tolist() == [1 / 3, 0, 0]
    assert found.fmr.tolist() == [0, 0, 0]
    assert found.area == pytest.approx((1 / 3) / 2 * (1 / 6))
    blind = error_versus_discard(scores, same, qualities=(-good, -good), target=0, fractions=[0, 0.2, 0.4])
    assert blind.area > found.area


def test_area_stops_where_no_genuine_pair_is_left():
    found = error_versus_discard([0.1, 0.9, 0.5], [1, 0, 0], qualities=([1, 2, 3], [1, 2, 3]), fractions=[0, 0.1, 0.5])
    assert np.isnan(found.fnmr[-1])
    assert found.area == 0  # two levels at which nothing has gone yet


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qualities": ([1.0], [1.0])}, "found 1 and 1 for 2 pairs"),
        ({"qualities": ([1.0, np.nan], [1.0, 1.0])}, "qualities must be finite"),
        ({"fractions": [1.0]}, "at least one share below 1"),
        ({"fractions": []}, "at least one share below 1"),
        ({"fractions": [-0.1]}, "between 0 and 1"),
        ({"target": 2}, "between 0 and 1"),
        ({"same": [1, 1]}, "both genuine and impostor"),
    ],
)
def test_refuses(change, message):
    arguments = {"scores": [0.5, 0.6], "same": [1, 0], "qualities": ([1, 2], [1, 2])} | change
    with pytest.raises(MetricError, match=message):
        error_versus_discard(**arguments)


def test_unknown_rule():
    with pytest.raises(UnknownName):
        error_versus_discard([0.5, 0.6], [1, 0], qualities=([1, 2], [1, 2]), rule="often")
