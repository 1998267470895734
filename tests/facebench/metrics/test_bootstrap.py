from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError
from facebench.metrics import auc, bootstrap, bootstrap_intervals, equal_error_rate, tar_at_far

TARGETS = (0.0, 0.1, 0.25, 0.5)


def clustered(seed, people=60, each=3, decimals=6):
    """Comparisons whose scores depend on who is compared: all genuine pairs, and as many impostor pairs."""
    draw = np.random.default_rng(seed)
    ease = draw.normal(0, 1, people)
    who = np.repeat(np.arange(people), each)
    other = (who + draw.integers(1, people, who.size)) % people
    genuine = 2 + ease[who] + draw.normal(0, 0.3, who.size)
    impostor = 0.7 * (ease[who] + ease[other]) + draw.normal(0, 0.3, who.size)
    scores = np.concatenate([genuine, impostor]).round(decimals)
    same = np.repeat([True, False], who.size)
    return scores, same, np.concatenate([who, who]), np.concatenate([who, other])


def expanded(scores, weights):
    return np.repeat(scores, weights.astype(int))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 12), st.sampled_from([0, 1, 6]))
def test_one_replicate_is_the_data_repeated(seed, people, decimals):
    scores, same, first, second = clustered(seed, people=people, each=2, decimals=decimals)
    multiplicity = np.bincount(np.random.default_rng(seed).integers(0, people, people), minlength=people)
    weights = np.where(same, multiplicity[first], multiplicity[first] * multiplicity[second])
    genuine, impostor = expanded(scores[same], weights[same]), expanded(scores[~same], weights[~same])
    generator = np.random.default_rng(seed)
    arguments = {"subjects": (first, second), "targets": TARGETS, "samples": 1, "generator": generator}
    if not impostor.size:
        with pytest.raises(MetricError, match="too few people"):
            bootstrap_intervals(scores, same, **arguments)
        return
    found = bootstrap_intervals(scores, same, **arguments)
    assert found.auc.low == found.auc.high == pytest.approx(auc(genuine, impostor), abs=1e-12)
    assert found.eer.low == pytest.approx(equal_error_rate(genuine, impostor).value, abs=1e-12)
    for rule, intervals in (("nearest-all-points", found.tar_reference), ("strict", found.tar_strict)):
        for target, interval in zip(TARGETS, intervals, strict=True):
            assert interval.low == pytest.approx(tar_at_far(genuine, impostor, target=target, rule=rule).tar, abs=1e-12)
    assert found.targets == TARGETS


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_one_replicate_of_pairs_is_the_pairs_repeated(seed):
    scores, same, _, _ = clustered(seed, people=7, decimals=1)
    found = bootstrap_intervals(
        scores, same, subjects=None, targets=[0.2], samples=1, generator=np.random.default_rng(seed)
    )
    draw = np.random.default_rng(seed)
    count = 21
    order = [rows[np.argsort(-scores[rows], kind="stable")] for rows in (np.flatnonzero(same), np.flatnonzero(~same))]
    genuine, impostor = (scores[rows[draw.integers(0, count, count)]] for rows in order)
    assert found.auc.low == pytest.approx(auc(genuine, impostor), abs=1e-12)
    assert found.eer.low == pytest.approx(equal_error_rate(genuine, impostor).value, abs=1e-12)
    strict = tar_at_far(genuine, impostor, target=0.2, rule="strict").tar
    assert found.tar_strict[0].low == pytest.approx(strict, abs=1e-12)
    assert found.auc.method == "pair bootstrap, percentile (identities unknown)"


def test_same_seed_same_intervals_whatever_the_blocks(monkeypatch):
    scores, same, first, second = clustered(1)

    def run():
        generator = np.random.default_rng(11)
        return bootstrap_intervals(
            scores, same, subjects=(first, second), targets=[0.1], samples=50, generator=generator
        )

    whole = run()
    assert whole == run()
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 1)
    assert run() == whole


def test_names_serve_as_subjects_and_order_of_pairs_does_not_matter():
    scores, same, first, second = clustered(2)
    names = np.array([f"person {number:03d}" for number in range(60)])
    order = np.random.default_rng(0).permutation(scores.size)

    def run(rows, left, right):
        generator = np.random.default_rng(3)
        return bootstrap_intervals(
            scores[rows], same[rows], subjects=(left[rows], right[rows]), samples=40, generator=generator
        )

    everything = np.arange(scores.size)
    numbered = run(everything, first, second)
    assert run(everything, names[first], names[second]) == numbered
    shuffled = run(order, first, second)
    assert (shuffled.auc.low, shuffled.auc.high) == pytest.approx((numbered.auc.low, numbered.auc.high), abs=1e-12)


def test_people_give_wider_intervals_than_pairs_and_cover_the_estimate():
    scores, same, first, second = clustered(5, people=150, each=12)
    kwargs = {"samples": 400, "targets": [0.05]}
    people = bootstrap_intervals(scores, same, subjects=(first, second), generator=np.random.default_rng(0), **kwargs)
    alone = bootstrap_intervals(scores, same, subjects=None, generator=np.random.default_rng(0), **kwargs)
    assert people.auc.method == "subject bootstrap, percentile"
    assert people.auc.samples == 400
    for kind in ("auc", "eer"):
        wide, narrow = getattr(people, kind), getattr(alone, kind)
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert people.auc.low < auc(scores[same], scores[~same]) < people.auc.high
    assert people.eer.low < equal_error_rate(scores[same], scores[~same]).value < people.eer.high
    point = tar_at_far(scores[same], scores[~same], target=0.05, rule="strict").tar
    assert people.tar_strict[0].low < point < people.tar_strict[0].high


def test_intervals_cover_about_as_often_as_they_say():
    # Independent pairs, so the pair bootstrap must cover the true AUC: 0.5 for two equal distributions.
    draw = np.random.default_rng(9)
    same = np.repeat([True, False], 60)
    covered = 0
    for _ in range(150):
        found = bootstrap_intervals(draw.normal(size=120), same, subjects=None, samples=200, level=0.9, generator=draw)
        covered += found.auc.low <= 0.5 <= found.auc.high
    assert 120 <= covered <= 148


def test_refusals():
    scores, same, first, second = clustered(0, people=5)
    draw = np.random.default_rng(0)
    with pytest.raises(MetricError, match=r"contradict each other in 1 pairs; found label True for 0 and 1 at index 0"):
        wrong = second.copy()
        wrong[0] = 1
        bootstrap_intervals(scores, same, subjects=(first, wrong), generator=draw)
    with pytest.raises(MetricError, match="one subject a pair"):
        bootstrap_intervals(scores, same, subjects=(first[:-1], second[:-1]), generator=draw)
    with pytest.raises(MetricError, match="at least one replicate"):
        bootstrap_intervals(scores, same, subjects=None, samples=0, generator=draw)
    with pytest.raises(MetricError, match="0 impostor"):
        bootstrap_intervals([1.0], [1], subjects=None, generator=draw)
    with pytest.raises(MetricError, match="use more identities"):
        bootstrap_intervals([1.0, 0.5], [1, 0], subjects=([0, 1], [0, 2]), generator=draw)
