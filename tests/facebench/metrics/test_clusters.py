from __future__ import annotations

import numpy as np
import pytest

from facebench.errors import MetricError
from facebench.metrics import cluster_bootstrap, wilson


def bootstrap(values, people, seed=0, **more):
    return cluster_bootstrap(values, people, generator=np.random.default_rng(seed), **more)


def test_the_same_seed_gives_the_same_interval():
    values, people = np.eye(4)[:, :2], [0, 0, 1, 2]
    assert bootstrap(values, people) == bootstrap(values, people)
    assert bootstrap(values, people) != bootstrap(values, people, seed=1, samples=50)


def test_replicates_are_means_over_the_trials_of_the_people_drawn():
    """Two people: each replicate is one of three means, those of a a, a b and b b."""
    values = np.array([[1.0], [1.0], [1.0], [0.0]])
    (interval,) = bootstrap(values, ["a", "a", "a", "b"], samples=4000, level=0.9)
    assert (interval.low, interval.high) == (0.0, 1.0)
    (middle,) = bootstrap(values, ["a", "a", "a", "b"], samples=4000, level=0.2)
    assert (middle.low, middle.high) == (0.75, 0.75)


def test_trials_that_fail_together_widen_the_interval():
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 20)
    hits = np.repeat(random.random(60) < 0.8, 20).astype(float)
    (interval,) = bootstrap(hits[:, None], people)
    naive = wilson(int(hits.sum()), len(hits))
    assert interval.high - interval.low > 2.5 * (naive.high - naive.low)
    assert "people" in interval.method


def test_coverage_of_a_rate_whose_trials_come_in_families():
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        rates = random.beta(4, 2, 80)
        people = np.repeat(np.arange(80), 5)
        hits = (random.random(400) < rates[people]).astype(float)
        (interval,) = bootstrap(hits[:, None], people, seed=seed, samples=200)
        covered += interval.low <= 4 / 6 <= interval.high
    assert 180 <= covered <= 200


@pytest.mark.parametrize(
    ("values", "people", "said"),
    [
        ([[1.0], [0.0]], [0, 0], "at least 2"),
        ([[1.0], [0.0]], [0], "found 1 people for 2 trials"),
        ([[np.nan], [0.0]], [0, 1], "NaN"),
    ],
)
def test_what_cannot_be_resampled(values, people, said):
    with pytest.raises(MetricError, match=said):
        bootstrap(values, people)
