from __future__ import annotations

import itertools
import math
import signal
import subprocess
import sys
import time

import numpy as np
import persim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist, squareform

from facebench.errors import MetricError
from facebench.metrics import (
    betti_curve,
    bottleneck,
    diagrams,
    matched_bottleneck,
    matched_wasserstein,
    persistence,
    persistence_entropy,
    total_persistence,
    wasserstein,
)


def circle(count):
    angles = 2 * np.pi * np.arange(count) / count
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.fixture
def elsewhere(monkeypatch):
    """Even the smallest filtration is given to another process."""
    monkeypatch.setattr(diagrams, "_HERE", 0)


def test_a_circle_has_one_loop_and_a_sphere_one_void():
    count = 12
    points, loops = persistence(circle(count))
    edge = 2 * math.sin(math.pi / count)
    assert points == pytest.approx(np.column_stack([np.zeros(count - 1), np.full(count - 1, edge)]))
    # The loop closes when every point sees one a third of the way round.
    assert loops == pytest.approx(np.array([[edge, math.sqrt(3)]]), rel=1e-6)
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    lower, middle, voids = persistence(octahedron, dimension=2)
    assert len(lower) == 5 and not len(middle)
    assert voids == pytest.approx(np.array([[math.sqrt(2), 2.0]]), rel=1e-6)


@pytest.mark.parametrize("words", ["points", "distances"])
def test_another_process_finds_the_same(monkeypatch, words):
    points = np.random.default_rng(0).standard_normal((40, 3))
    values = points if words == "points" else squareform(pdist(points))
    here = persistence(values, given=words, dimension=2)
    monkeypatch.setattr(diagrams, "_HERE", 0)
    there = persistence(values, given=words, dimension=2)
    assert [len(bars) for bars in here] == [len(bars) for bars in there] and len(here[1]) > 3
    for left, right in zip(here, there, strict=True):
        assert left.dtype == np.float64
        assert np.array_equal(left, right)
        assert np.isfinite(left).all() and (left[:, 0] <= left[:, 1]).all()
        assert left.tolist() == sorted(left.tolist())


def test_dimension_zero_keeps_bars_of_length_zero():
    (bars,) = persistence([[0.0], [0.0], [3.0], [1.0]], dimension=0)
    assert bars.tolist() == [[0, 0], [0, 1], [0, 2]]


def test_time_that_is_up_ends_the_process(elsewhere):
    """Uniformly random distances are the worst case: these would take minutes."""
    pairs = np.random.default_rng(0).random(600 * 599 // 2)
    start = time.monotonic()
    with pytest.raises(MetricError, match=r"H1 of 600 points took longer than 4 s; pass a smaller sample="):
        persistence(squareform(1 + pairs), given="distances", seconds=4)
    assert time.monotonic() - start < 60


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is held where the system has /proc")
def test_memory_that_does_not_suffice(elsewhere):
    pairs = np.random.default_rng(0).random(300 * 299 // 2)
    with pytest.raises(MetricError, match=r"needs more than 1 MiB; pass a smaller sample="):
        persistence(squareform(1 + pairs), given="distances", memory=1 << 20)


@pytest.mark.parametrize(
    ("code", "said"), [(1, "failed with code 1: no such thing"), (-signal.SIGABRT, "needs more than 4096 MiB")]
)
def test_other_ends_of_the_process_are_told(elsewhere, monkeypatch, code, said):
    def ended(command, **_):
        return subprocess.CompletedProcess(command, code, "", "Traceback\nno such thing\n")

    monkeypatch.setattr(subprocess, "run", ended)
    with pytest.raises(MetricError, match=said):
        persistence(circle(8))


@pytest.mark.parametrize(("count", "dimension", "most"), [(2082, 1, 2081), (438, 2, 437), (50_000, 1, 2081)])
def test_sizes_without_hope_are_refused_at_once(count, dimension, most):
    with pytest.raises(MetricError, match=f"out of reach.*sample={most} or less"):
        persistence(np.arange(count, dtype=float)[:, None], dimension=dimension)


@pytest.mark.parametrize("words", ["points", "distances"])
def test_a_sample_is_drawn_by_the_generator(words):
    points = np.random.default_rng(0).standard_normal((50, 3))
    values = points if words == "points" else squareform(pdist(points))

    def drawn(seed, sample=20):
        return persistence(values, given=words, sample=sample, generator=np.random.default_rng(seed))

    chosen = np.sort(np.random.default_rng(1).choice(50, 20, replace=False))
    for found, expected in zip(drawn(1), persistence(points[chosen]), strict=True):
        assert found == pytest.approx(expected, rel=1e-6)
    assert not np.array_equal(drawn(1)[0], drawn(2)[0])
    assert np.array_equal(persistence(values, given=words, sample=50)[1], persistence(values, given=words)[1])
    with pytest.raises(MetricError, match="drawn by a generator"):
        persistence(values, given=words, sample=20)


def test_a_negative_dimension():
    with pytest.raises(MetricError, match="0 or more"):
        persistence(circle(4), dimension=-1)


def some_diagram(most, infinite=False):
    numbers = st.floats(0, 8, width=32) | st.integers(0, 4).map(float)
    bars = st.lists(st.tuples(numbers, numbers).map(sorted).map(list), max_size=most)
    if infinite:
        bars = st.tuples(bars, st.lists(numbers.map(lambda birth: [birth, math.inf]), max_size=2)).map(
            lambda t: t[0] + t[1]
        )
    return bars.map(lambda rows: np.array(rows, dtype=float).reshape(-1, 2))


def best_matching(first, second, step, drop, total):
    """The least total over all matchings, by trying them all."""
    best = math.inf
    for size in range(min(len(first), len(second)) + 1):
        for left in itertools.combinations(range(len(first)), size):
            rest = [drop(bar) for index, bar in enumerate(first) if index not in left]
            for right in itertools.permutations(range(len(second)), size):
                gone = [drop(bar) for index, bar in enumerate(second) if index not in right]
                steps = [step(first[i], second[j]) for i, j in zip(left, right, strict=True)]
                best = min(best, total(steps + rest + gone))
    return best


def half(bar):
    return (bar[1] - bar[0]) / 2


@settings(deadline=None, max_examples=80)
@given(some_diagram(4), some_diagram(4))
def test_bottleneck_is_the_best_of_all_matchings(first, second):
    expected = best_matching(first, second, lambda a, b: np.abs(a - b).max(), half, lambda s: max(s, default=0.0))
    assert bottleneck(first, second) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@settings(deadline=None, max_examples=40)
@given(first=some_diagram(4), second=some_diagram(4))
def test_wasserstein_is_the_best_of_all_matchings(p, first, second):
    expected = best_matching(
        first,
        second,
        lambda a, b: math.dist(a, b) ** p,
        lambda bar: (half(bar) * math.sqrt(2)) ** p,
        lambda steps: sum(steps) ** (1 / p),
    )
    assert wasserstein(first, second, p=p) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(some_diagram(30), some_diagram(30))
def test_persim_finds_the_same(first, second):
    assert bottleneck(first, second) == pytest.approx(persim.bottleneck(first, second), rel=1e-9)
    assert wasserstein(first, second) == pytest.approx(persim.wasserstein(first, second), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(some_diagram(6, infinite=True), some_diagram(6, infinite=True), some_diagram(6, infinite=True))
def test_they_are_distances(first, second, third):
    for distance in (bottleneck, wasserstein, lambda a, b: wasserstein(a, b, p=2)):
        assert distance(first, first) == 0
        assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-9)
        assert distance(first, third) <= (distance(first, second) + distance(second, third)) * (1 + 1e-9) + 1e-9


def test_infinite_bars_are_matched_by_birth_without_a_warning():
    first, second = [[0, math.inf], [5, math.inf], [0, 4]], [[6, math.inf], [0, 4], [0.5, math.inf]]
    assert bottleneck(first, second) == 1
    assert wasserstein(first, second) == 1.5
    assert wasserstein(first, second, p=2) == pytest.approx(math.sqrt(1.25))
    assert bottleneck(first, second[:2]) == wasserstein(first, second[:2]) == math.inf


def test_many_bars_take_no_minutes():
    """A matching that also holds all places on the diagonal can stall at this size."""
    random = np.random.default_rng(0)
    first, second = (np.column_stack([np.zeros(500), random.random(500)]) for _ in range(2))
    assert 0 < bottleneck(first, second) <= matched_bottleneck(first[:, 1], second[:, 1])
    with pytest.raises(MetricError, match="3000 bars"):
        bottleneck(np.tile([[0.0, 1.0]], (2000, 1)), np.tile([[0.0, 1.0]], (1001, 1)))
    assert bottleneck(np.tile([[0.0, 0.0]], (5000, 1)), [[0.0, 1.0]]) == 0.5


lengths = arrays(np.float64, 5, elements=st.floats(0, 100, width=32))


@given(lengths, lengths)
def test_without_a_diagonal_the_sorted_matching_is_the_best(first, second):
    steps = [[abs(a - b) for a, b in zip(first, order, strict=True)] for order in itertools.permutations(second)]
    assert matched_bottleneck(first, second) == min(map(max, steps))
    for p in (1, 2, 3):
        best = min(sum(step**p for step in row) for row in steps) ** (1 / p)
        assert matched_wasserstein(first, second, p=p) == pytest.approx(best, rel=1e-9, abs=1e-12)


@given(some_diagram(12, infinite=True), st.lists(st.floats(0, 9), min_size=1))
def test_betti_curve_counts_bars_alive(diagram, grid):
    expected = [sum(birth <= scale < death for birth, death in diagram) for scale in grid]
    assert betti_curve(diagram, grid).tolist() == expected


def test_sums_of_a_diagram():
    diagram = [[0, 1], [1, 4], [2, 2]]
    assert total_persistence(diagram) == 4
    assert total_persistence(diagram, p=2) == 10
    assert persistence_entropy(diagram) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert persistence_entropy([[0, 2]]) == 0
    assert persistence_entropy([[0, 2]] * 8) == pytest.approx(math.log(8))
    assert total_persistence([]) == 0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: total_persistence([[0, math.inf]]), "found 1 that do not"),
        (lambda: persistence_entropy([[1, 1]]), "no entropy"),
        (lambda: total_persistence([[0, 1]], p=0), "more than 0"),
        (lambda: wasserstein([[0, 1]], [], p=0.5), "1 or more"),
        (lambda: matched_wasserstein([1], [1], p=math.inf), "finite number"),
        (lambda: matched_bottleneck([1, 2], [1]), "equally many"),
        (lambda: bottleneck([[1, 0]], []), "dies no earlier"),
        (lambda: bottleneck([[0, math.nan]], []), "dies no earlier"),
        (lambda: bottleneck([[-math.inf, 0]], []), "finite scale"),
        (lambda: betti_curve([0, 1, 2], [0]), "shape"),
        (lambda: betti_curve([[0, 1]], [math.nan]), "finite"),
    ],
)
def test_what_cannot_be_computed(work, said):
    with pytest.raises(MetricError, match=said):
        work()
