from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError
from facebench.metrics import dprime
from facebench.metrics import facepairs as module
from facebench.metrics.facepairs import fisher_ratio, genuine_pairs, impostor_pairs, pair_similarities
from facebench.metrics.identities import Groups

MANY = 10**9


def all_pairs(labels, rows):
    """Genuine and impostor pairs by the definition, as sets of two rows."""
    kinds = set(), set()
    for i, j in itertools.combinations(range(len(labels)), 2):
        if labels[i] >= 0 and labels[j] >= 0:
            kinds[int(labels[i] != labels[j])].add(frozenset((int(rows[i]), int(rows[j]))))
    return kinds


def found(pairs):
    sets = [frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    assert len(set(sets)) == len(sets)
    assert all(len(pair) == 2 for pair in sets)
    return set(sets)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-1, 5), min_size=1, max_size=25), st.integers(1, 40), st.integers(0, 99))
def test_pairs_are_those_there_are(labels, most, seed):
    labels = np.array([*labels, 0])
    rows = np.random.default_rng(seed).permutation(len(labels) + 4)[: len(labels)]
    groups = Groups.of(labels, rows=rows)
    who = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    for make, wanted in zip((genuine_pairs, impostor_pairs), all_pairs(labels, rows), strict=True):
        every = make(groups, most=MANY, generator=np.random.default_rng(0))
        assert found(every) == wanted
        some = make(groups, most=most, generator=np.random.default_rng(seed))
        assert found(some) <= wanted
        assert (some.total, len(some.first)) == (len(wanted), min(most, len(wanted)))
        assert [who[row] for row in some.first.tolist()] == groups.ids[some.first_id].tolist()
        assert [who[row] for row in some.second.tolist()] == groups.ids[some.second_id].tolist()


@pytest.mark.parametrize("most", [3, 12])  # far below and near the 28 pairs that there are
def test_every_pair_is_equally_likely(most):
    groups = Groups.of(np.zeros(8, dtype=np.int64))
    random, counts, rounds = np.random.default_rng(5), np.zeros((8, 8)), 4000
    for _ in range(rounds):
        pairs = genuine_pairs(groups, most=most, generator=random)
        counts[pairs.first, pairs.second] += 1
    share = counts[np.triu_indices(8, 1)] / rounds
    assert not np.tril(counts).any()
    sigma = np.sqrt(most / 28 * (1 - most / 28) / rounds)
    np.testing.assert_allclose(share, most / 28, atol=4.5 * sigma)


def test_a_sample_of_very_many_pairs_takes_little():
    groups = Groups.of(np.repeat(np.arange(100_000), 3))
    one, again = (impostor_pairs(groups, most=1000, generator=np.random.default_rng(1)) for _ in range(2))
    assert one.total == 300_000 * 299_999 // 2 - 300_000
    assert np.array_equal(one.first, again.first)
    assert (one.first // 3 != one.second // 3).all()
    assert abs(np.mean(one.first) - 100_000) < 10_000  # the lower of two rows


def test_similarities_are_those_of_the_rows(monkeypatch):
    monkeypatch.setattr(module, "_PAIR_BYTES", 100)
    vectors = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32) * 40
    first, second = np.array([0, 3, 8, 3]), np.array([1, 3, 2, 0])
    wanted = [
        vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
        for i, j in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(pair_similarities(vectors, first, second), wanted, rtol=1e-5)
    assert pair_similarities(vectors, first[:0], second[:0]).shape == (0,)


def test_fisher_ratio_is_half_of_dprime_squared():
    random = np.random.default_rng(3)
    genuine, impostor = random.normal(0.6, 0.1, 50), random.normal(0, 0.2, 70)
    assert fisher_ratio(genuine, impostor) == pytest.approx(dprime(genuine, impostor) ** 2 / 2)
    assert fisher_ratio([1.0, 3.0], [0.0, 0.0]) == pytest.approx(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: genuine_pairs(Groups.of([0, 0]), most=0, generator=np.random.default_rng(0)), "at least one pair"),
        (lambda: fisher_ratio([1.0], [0.5]), "scores that vary"),
        (lambda: fisher_ratio([], [0.5]), "both genuine and impostor"),
        (lambda: pair_similarities(np.zeros((2, 2)), np.array([0]), np.array([1])), "no direction"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(MetricError, match=message):
        call()
