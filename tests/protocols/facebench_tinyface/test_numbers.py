from __future__ import annotations

import numpy as np
import pytest

from facebench_tinyface.numbers import Searches, cmc, measure


def searches(random, people=40, most=4):
    ids = np.repeat(np.arange(people), random.integers(1, most, people))
    # A person's probes succeed or fail together.
    place = (random.geometric(0.3, people) - 1)[ids]
    precision = 1.0 / (1 + place)
    return Searches(ids=ids, place=place, reference=precision, usual=precision, gallery=50, mirror="sum")


def test_values_and_counts_by_hand():
    found = Searches(
        ids=np.array([1, 1, 2, 3]),
        place=np.array([0, 4, 5, 0]),
        reference=np.array([1.0, 0.2, 0.1, 0.7]),
        usual=np.array([1.0, 0.3, 0.2, 0.9]),
        gallery=10,
        mirror="none",
    )
    metrics = measure(found, ranks=(1, 5), samples=0, seed=0)
    assert [(one.name, one.rule, one.value) for one in metrics] == [
        ("rank-1", "reference", 0.5),
        ("rank-5", "reference", 0.75),
        ("map", "reference", pytest.approx(0.5)),
        ("map", "usual", pytest.approx(0.6)),
    ]
    assert metrics[1].detail == {"hits": 3, "probes": 4}
    assert all(one.interval is None and one.mirror == "none" for one in metrics)


def test_the_bootstrap_draws_people_with_all_their_probes():
    random = np.random.default_rng(3)
    found = searches(random)
    metric = measure(found, ranks=(1,), samples=4000, seed=5)[0]
    # The same, drawn one by one.
    values, people = found.place == 0, np.unique(found.ids)
    replicates = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(found.ids == who) for who in random.choice(people, len(people))])
        replicates.append(values[rows].mean())
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert metric.interval is not None
    assert metric.interval.low == pytest.approx(low, abs=0.012)
    assert metric.interval.high == pytest.approx(high, abs=0.012)
    assert metric.interval.method == "bootstrap over people, percentile"


def test_dependent_probes_have_wider_intervals_than_independent_ones():
    random = np.random.default_rng(0)
    found = searches(random, people=60, most=6)
    alone = Searches(np.arange(len(found.ids)), found.place, found.reference, found.usual, 50, "sum")
    widths = [
        one.high - one.low
        for one in (measure(case, ranks=(1,), samples=2000, seed=1)[0].interval for case in (found, alone))
        if one is not None
    ]
    assert widths[0] > 1.3 * widths[1]


def test_the_size_of_blocks_changes_nothing(monkeypatch):
    found = searches(np.random.default_rng(2))
    whole = measure(found, ranks=(1, 5), samples=300, seed=9)
    monkeypatch.setattr("facebench.metrics.clusters._BLOCK_BYTES", 24 * 40 * 7)
    assert measure(found, ranks=(1, 5), samples=300, seed=9) == whole


def test_one_person_has_no_interval():
    found = Searches(np.array([1, 1]), np.array([0, 3]), np.ones(2), np.ones(2), 5, "sum")
    assert measure(found, ranks=(1,), samples=100, seed=0)[0].interval is None


def test_the_curve_holds_the_rates():
    found = searches(np.random.default_rng(4))
    curve = cmc(found)
    assert curve.series[0].x == tuple(float(k) for k in range(1, 51))
    assert curve.series[0].y[4] == np.mean(found.place < 5)
