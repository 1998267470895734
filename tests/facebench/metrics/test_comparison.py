from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from facebench.errors import MetricError
from facebench.metrics import (
    auc,
    bootstrap_intervals,
    comparison,
    equal_error_rate,
    holm,
    mcnemar,
    paired_bootstrap,
    tar_at_far,
)

TARGETS = (0.05, 0.2)


def two_methods(seed=0, people=80, gain=0.0):
    """Scores of two methods on the same pairs; they share the difficulty of the pairs and of the people."""
    draw = np.random.default_rng(seed)
    ease = draw.normal(0, 0.7, people)
    who = np.repeat(np.arange(people), 4)
    other = (who + draw.integers(1, people, who.size)) % people
    common = np.concatenate([1.5 + ease[who], 0.3 * (ease[who] + ease[other])]) + draw.normal(0, 0.7, 2 * who.size)
    same = np.repeat([True, False], who.size)
    first = common + draw.normal(0, 0.1, common.size) + gain * same
    second = common + draw.normal(0, 0.1, common.size)
    return first, second, same, (np.tile(who, 2), np.concatenate([who, other]))


def run(case, **arguments):
    first, second, same, subjects = case
    given = {"subjects": subjects, "targets": TARGETS, "generator": np.random.default_rng(0), "samples": 300}
    return paired_bootstrap(first, second, same=same, **given | arguments)


def test_values_are_the_differences():
    case = two_methods(gain=0.2)
    first, second, same, _ = case
    found = run(case, correct=(first > 0.7, second > 0.7))
    sides = [(scores[same], scores[~same]) for scores in (first, second)]
    assert found.auc.value == pytest.approx(auc(*sides[0]) - auc(*sides[1]), abs=1e-12)
    eers = [equal_error_rate(*side).value for side in sides]
    assert found.eer.value == pytest.approx(eers[0] - eers[1], abs=1e-12)
    for rule, differences in (("nearest-all-points", found.tar_reference), ("strict", found.tar_strict)):
        for target, difference in zip(TARGETS, differences, strict=True):
            tars = [tar_at_far(*side, target=target, rule=rule).tar for side in sides]
            assert difference.value == pytest.approx(tars[0] - tars[1], abs=1e-12)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(np.mean(first > 0.7) - np.mean(second > 0.7), abs=1e-12)
    assert found.targets == TARGETS


@pytest.mark.parametrize("known", [True, False])
def test_replicates_are_those_of_the_single_bootstrap(known):
    """Against a method that knows nothing in every replicate alike, the difference is the other's own statistic."""
    first, _, same, subjects = two_methods()
    constant = np.zeros(first.size)
    arguments = {"subjects": subjects if known else None, "samples": 200}
    paired = run((first, constant, same, subjects), targets=(), **arguments)
    single = bootstrap_intervals(first, same, generator=np.random.default_rng(0), **arguments)
    assert paired.auc.interval.low == pytest.approx(single.auc.low - 0.5, abs=1e-12)
    assert paired.auc.interval.high == pytest.approx(single.auc.high - 0.5, abs=1e-12)
    assert paired.auc.interval.method == single.auc.method


def test_a_method_against_itself():
    first, _, same, subjects = two_methods()
    found = run((first, first, same, subjects), correct=(first > 0, first > 0))
    for difference in (found.auc, found.eer, *found.tar_reference, *found.tar_strict, found.accuracy):
        assert (difference.value, difference.interval.low, difference.interval.high) == (0, 0, 0)
        assert difference.p_value == 1


def test_swapping_the_methods_swaps_the_sign():
    case = two_methods(gain=0.1)
    one, other = run(case), run((case[1], case[0], *case[2:]))
    assert one.auc.value == pytest.approx(-other.auc.value, abs=1e-12)
    assert one.auc.interval.low == pytest.approx(-other.auc.interval.high, abs=1e-12)
    assert one.auc.p_value == pytest.approx(other.auc.p_value, abs=1e-12)


def test_pairing_sees_what_separate_intervals_cannot():
    case = two_methods(gain=0.15)
    found = run(case)
    separate = [
        bootstrap_intervals(scores, case[2], subjects=case[3], generator=np.random.default_rng(0), samples=300).auc
        for scores in case[:2]
    ]
    assert separate[0].low < separate[1].high
    assert found.auc.interval.low > 0
    assert found.auc.p_value < 0.05
    assert found.auc.interval.high - found.auc.interval.low < (separate[0].high - separate[0].low) / 2


def test_equal_methods_are_rarely_called_different():
    calls = [run(two_methods(seed=seed, people=40), targets=(), samples=200).auc.p_value < 0.1 for seed in range(60)]
    assert np.mean(calls) < 0.25


def test_blocks_do_not_matter(monkeypatch):
    whole = run(two_methods())
    monkeypatch.setattr(comparison, "_BLOCK_BYTES", 1)
    assert run(two_methods()) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": [0.1, 0.2]}, "found 3 and 2 scores"),
        ({"same": [1, 1, 1]}, "both genuine and impostor"),
        ({"second": [0.1, np.nan, 0.2]}, "second scores must be finite"),
        ({"samples": 0}, "at least one replicate"),
        ({"correct": ([1, 1, 0], [1, 1])}, "decisions must match"),
        ({"subjects": ([1, 2, 3], [1, 2, 3])}, "contradict"),
    ],
)
def test_refuses(change, message):
    arguments = {"first": [0.1, 0.2, 0.3], "second": [0.1, 0.2, 0.3], "same": [1, 0, 0], "subjects": None}
    with pytest.raises(MetricError, match=message):
        paired_bootstrap(generator=np.random.default_rng(0), **arguments | change)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9))
def test_mcnemar_is_the_binomial_test(wins, losses, agreed):
    first = np.repeat([True, False, True], [wins, losses, agreed + 1])
    second = np.repeat([False, True, True], [wins, losses, agreed + 1])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (wins, losses)
    if not wins + losses:
        assert (found.p_value, found.mid_p) == (1, 1)
        return
    assert found.p_value == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)
    # More extreme outcomes, and half of those equally so.
    point = stats.binom.pmf(np.arange(wins + losses + 1), wins + losses, 0.5)
    away = np.abs(np.arange(wins + losses + 1) - (wins + losses) / 2)
    mid = point[away > away[wins]].sum() + point[away == away[wins]].sum() / 2
    assert found.mid_p == pytest.approx(mid, rel=1e-9)


def test_mcnemar_of_many():
    found = mcnemar(np.repeat([True, False], [51_000, 49_000]), np.repeat([False, True], [51_000, 49_000]))
    assert found.p_value == pytest.approx(stats.binomtest(49_000, 100_000).pvalue, rel=1e-6)
    assert 0 < found.mid_p < found.p_value


def test_mcnemar_refuses():
    with pytest.raises(MetricError, match="found none"):
        mcnemar([], [])
    with pytest.raises(MetricError, match="decisions must match"):
        mcnemar([True], [True, False])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([0.2]).tolist() == [0.2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_as_the_step_down_procedure(values, alpha):
    corrected = holm(values)
    order, rejected = np.argsort(values, kind="stable"), np.zeros(len(values), dtype=bool)
    for step, at in enumerate(order):
        if values[at] * (len(values) - step) > alpha:
            break
        rejected[at] = True
    np.testing.assert_array_equal(corrected <= alpha, rejected)
    assert np.all(corrected >= values)


def test_holm_refuses():
    with pytest.raises(MetricError, match="between 0 and 1"):
        holm([0.5, 1.5])
    with pytest.raises(MetricError, match="empty"):
        holm([])
