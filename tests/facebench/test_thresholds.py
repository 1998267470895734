from __future__ import annotations

import numpy as np
import pytest

from facebench import MetricError
from facebench.metrics import wilson
from facebench.scorefiles import PairScores
from facebench.thresholds import choose


def drawn(people=40, seed=0, spread=0.35):
    """All pairs of two pictures of each person; a person's own offset moves all of their impostor scores."""
    random = np.random.default_rng(seed)
    offset = spread * random.standard_normal(people)
    first, second = np.triu_indices(people, k=1)
    impostor = random.normal(0, 1, len(first)) + offset[first] + offset[second]
    genuine = random.normal(3, 1, 3 * people)
    who, other = (
        np.concatenate([np.arange(people).repeat(3), first]),
        np.concatenate([np.arange(people).repeat(3), second]),
    )
    return PairScores(
        score=np.concatenate([genuine, impostor]),
        same=who == other,
        subjects=(who.astype(str), other.astype(str)),
    )


def without_subjects(pairs):
    return PairScores(score=pairs.score, same=pairs.same)


def test_by_hand():
    pairs = PairScores(
        score=np.array([0.9, 0.8, 0.3, 0.1, 0.7, 0.5, 0.5, 0.2]),
        same=np.array([True] * 4 + [False] * 4),
    )
    quarter, half = choose(pairs, targets=[0.25, 0.5])
    assert (quarter.fmr.errors, quarter.fmr.trials, quarter.fnmr.errors) == (1, 4, 2)
    assert 0.5 < quarter.value <= 0.7
    # Both impostors at 0.5 pass or neither does, so half of them cannot be reached.
    assert (half.fmr.value, half.value) == (0.25, quarter.value)


@pytest.mark.parametrize("target", [0.5, 0.1, 0.013, 0.002])
def test_the_lowest_threshold_that_keeps_the_target(target):
    pairs = drawn()
    found = choose(pairs, targets=[target], samples=0)[0]
    impostor = pairs.impostor
    assert np.mean(impostor >= found.value) == found.fmr.value <= target
    below = impostor[impostor < found.value].max()
    assert np.mean(impostor >= below) > target
    assert found.fnmr.value == np.mean(pairs.genuine < found.value)


def test_intervals_are_the_bootstrap_over_people_at_that_threshold():
    pairs = drawn()
    found = choose(pairs, targets=[0.05], samples=3000, seed=1)[0]
    numbers = [side.astype(int) for side in pairs.subjects]
    accepted, same = pairs.score >= found.value, pairs.same
    random = np.random.default_rng(99)
    rates = []
    for _ in range(3000):
        weight = np.bincount(random.integers(0, 40, 40), minlength=40)
        both = weight[numbers[0]] * weight[numbers[1]]
        genuine = weight[numbers[0]][same]
        rates.append((both[accepted & ~same].sum() / both[~same].sum(), genuine[~accepted[same]].sum() / genuine.sum()))
    ends = np.quantile(rates, [0.025, 0.975], axis=0)
    for rate, (low, high) in ((found.fmr, ends[:, 0]), (found.fnmr, ends[:, 1])):
        assert rate.interval.method == "subject bootstrap, percentile"
        assert rate.interval.low == pytest.approx(low, abs=0.006)
        assert rate.interval.high == pytest.approx(high, abs=0.006)
        assert rate.interval.low < rate.value < rate.interval.high


def test_people_who_match_with_many_widen_the_interval():
    pairs = drawn(spread=1.0)
    known = choose(pairs, targets=[0.05], samples=1000)[0].fmr.interval
    unknown = choose(without_subjects(pairs), targets=[0.05])[0].fmr.interval
    assert known.high - known.low > 1.5 * (unknown.high - unknown.low)


def test_without_subjects_the_interval_is_wilsons_and_says_so():
    pairs = without_subjects(drawn())
    found = choose(pairs, targets=[0.1])[0]
    expected = wilson(found.fmr.errors, found.fmr.trials)
    assert (found.fmr.interval.low, found.fmr.interval.high) == (expected.low, expected.high)
    assert "independent" in found.fmr.interval.method
    assert any("do not say who" in said for said in found.warnings)


def test_no_error_at_all_still_has_width():
    pairs = drawn()
    apart = PairScores(score=pairs.same.astype(float) + 0.01 * pairs.score, same=pairs.same, subjects=pairs.subjects)
    found = choose(apart, targets=[0.01])[0]
    assert found.fnmr.errors == 0
    assert found.fnmr.interval.high > 0.01


def test_without_errors_people_are_the_trials():
    """30 people with 45 genuine pairs each: the pairs of one person fail together, so they tell less than 1,350."""
    who = np.arange(30).repeat(45)
    first, second = np.triu_indices(30, k=1)
    pairs = PairScores(
        score=np.concatenate([np.ones(len(who)), np.linspace(0, 0.5, len(first))]),
        same=np.arange(len(who) + len(first)) < len(who),
        subjects=(np.concatenate([who, first]).astype(str), np.concatenate([who, second]).astype(str)),
    )
    for samples in (200, 0):
        interval = choose(pairs, targets=[0.1], samples=samples)[0].fnmr.interval
        assert (interval.low, interval.high) == (0.0, wilson(0, 30).high)
        assert interval.method == "Wilson score, each of 30 people taken as one trial"
        assert interval.samples == 30


def test_no_more_trials_than_comparisons():
    """Nobody is compared twice: 50 impostor comparisons of 100 people are 50 trials."""
    names = np.arange(150).astype(str)
    pairs = PairScores(
        score=np.concatenate([np.ones(50), np.linspace(0, 0.5, 50)]),
        same=np.arange(100) < 50,
        subjects=(names[:100], np.concatenate([names[:50], names[100:]])),
    )
    found = choose(pairs, targets=[0.5], samples=0)[0]
    assert found.fmr.interval.samples == 50
    assert found.fmr.interval.low < found.fmr.value < found.fmr.interval.high


def test_replicates_that_cannot_differ_leave_width():
    """Half of everybody's genuine comparisons fail, so no draw of people changes the rate."""
    pairs = drawn()
    score = np.where(pairs.same, np.arange(len(pairs)) % 3 > 0, 0.5 + 0.001 * np.tanh(pairs.score)).astype(float)
    found = choose(PairScores(score=score, same=pairs.same, subjects=pairs.subjects), targets=[0.1])[0]
    assert found.fnmr.value == pytest.approx(1 / 3)
    assert found.fnmr.interval.low < 0.25
    assert "each of 40 people" in found.fnmr.interval.method


def test_the_same_seed_gives_the_same_and_blocks_change_nothing(monkeypatch):
    pairs = drawn()
    whole = choose(pairs, targets=[0.1, 0.02], samples=200, seed=3)
    monkeypatch.setattr("facebench.thresholds._BLOCK_BYTES", 32 * 40 * 7)
    assert choose(pairs, targets=[0.1, 0.02], samples=200, seed=3) == whole
    assert choose(pairs, targets=[0.1, 0.02], samples=200, seed=4) != whole


def test_a_rate_that_impostors_do_not_resolve_is_refused():
    pairs = drawn()  # 780 impostors
    with pytest.raises(
        MetricError, match=r"780 impostor comparisons cannot tell FMR 0\.001: it takes at least 1,000, and 30,000"
    ):
        choose(pairs, targets=[0.001])
    assert choose(pairs, targets=[1 / 780])[0].fmr.errors == 1


def test_few_errors_are_told():
    pairs = drawn()
    few, enough = choose(pairs, targets=[0.01, 0.1])
    assert any("780 impostor comparisons allow 7 errors" in said for said in few.warnings)
    assert not enough.warnings


def test_as_many_errors_are_told_as_are_accepted():
    scores = np.concatenate([np.full(10, 2.0), np.linspace(0, 1, 100)])
    found = choose(PairScores(score=scores, same=np.arange(110) < 10), targets=[0.29])[0]
    assert found.fmr.errors == 29
    assert any("100 impostor comparisons allow 29 errors at FMR 0.29" in said for said in found.warnings)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 3.0, float("nan")])
def test_rates_that_are_none(target):
    with pytest.raises(MetricError, match="lies between 0 and 1"):
        choose(drawn(), targets=[target])


def test_labels_that_contradict_subjects():
    pairs = drawn()
    same = pairs.same.copy()
    same[0] = False
    with pytest.raises(MetricError, match="contradict each other in 1 comparisons, first in comparison 1"):
        choose(PairScores(score=pairs.score, same=same, subjects=pairs.subjects), targets=[0.1])


def test_one_class_only():
    with pytest.raises(MetricError, match="both genuine and impostor"):
        choose(PairScores(score=np.ones(3), same=np.ones(3, dtype=bool)), targets=[0.1])
