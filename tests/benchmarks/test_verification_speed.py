"""Ten-fold verification of 6,000 pairs: the whole table row against a loop over thresholds.

    pytest tests/benchmarks -p no:xdist --benchmark-only

Both do the same work from the same embeddings: distances, accuracy, VAL at two rates, AUC, EER and TAR. The loop is
the plain one that evaluation scripts have: for each fold and each threshold, compare, count, divide. Ours does the
strict accuracy on top, which the loop leaves out. Ours must take at most a tenth of the loop's time.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import KFold

from facebench.metrics import (
    auc,
    bootstrap_intervals,
    equal_error_rate,
    fold_accuracy,
    operating_points,
    pair_distances,
    val_at_far,
)

TARGETS = (1e-2, 1e-3)


@pytest.fixture(scope="module")
def pairs():
    draw = np.random.default_rng(0)
    same = (np.arange(6000) // 300) % 2 == 0
    first, other, noise = (draw.standard_normal((6000, 512)) for _ in range(3))
    second = np.where(same[:, None], first + 4.0 * noise, other)
    first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second))
    return first, second, same


def by_array(first, second, same):
    distances = pair_distances(first, second)
    scores = 1 - distances / 2
    genuine, impostor = scores[same], scores[~same]
    fold_accuracy(distances, same, rule="strict")
    return {
        "accuracy": fold_accuracy(distances, same).mean,
        "val": [val_at_far(distances, same, target=target).val for target in TARGETS],
        "auc": auc(genuine, impostor),
        "eer": equal_error_rate(genuine, impostor).value,
        "tar": [point.tar for point in operating_points(genuine, impostor, targets=TARGETS)],
    }


def accuracy_at(threshold, distances, same):
    accept = distances < threshold
    right = np.sum(np.logical_and(accept, same)) + np.sum(np.logical_and(np.logical_not(accept), np.logical_not(same)))
    return right / distances.size


def rates_at(threshold, distances, same):
    accept = distances < threshold
    true = np.sum(np.logical_and(accept, same))
    false = np.sum(np.logical_and(accept, np.logical_not(same)))
    return true / np.sum(same), false / np.sum(np.logical_not(same))


def by_loop(first, second, same):
    distances = np.sum(np.square(first - second), axis=1)
    folds = list(KFold(10).split(distances))
    accuracies, values = [], {target: [] for target in TARGETS}
    for train, test in folds:
        grid = np.arange(0, 4, 0.01)
        right = [accuracy_at(threshold, distances[train], same[train]) for threshold in grid]
        accuracies.append(accuracy_at(grid[np.argmax(right)], distances[test], same[test]))
    for target in TARGETS:
        for train, test in folds:
            grid = np.arange(0, 4, 0.001)
            far = np.array([rates_at(threshold, distances[train], same[train])[1] for threshold in grid])
            last = np.flatnonzero(far <= target)[-1]
            threshold = grid[last] + (target - far[last]) * 0.001 / (far[last + 1] - far[last])
            values[target].append(rates_at(threshold, distances[test], same[test])[0])
    far, tar, _ = roc_curve(same, 1 - distances / 2)
    return {
        "accuracy": np.mean(accuracies),
        "val": [np.mean(values[target]) for target in TARGETS],
        "auc": roc_auc_score(same, 1 - distances / 2),
        "eer": far[np.argmin(np.abs(1 - tar - far))],
        "tar": [tar[::-1][np.argmin(np.abs(far[::-1] - target))] for target in TARGETS],
    }


@pytest.fixture(scope="module")
def loop(pairs):
    start = time.perf_counter()
    row = by_loop(*pairs)
    return row, time.perf_counter() - start


@pytest.mark.benchmark(group="ten-fold verification, 6,000 pairs x 512")
def test_by_array(benchmark, pairs, loop):
    row = benchmark(by_array, *pairs)
    reference, seconds = loop
    for name in ("accuracy", "val", "auc", "tar"):
        assert row[name] == pytest.approx(reference[name], abs=1e-12)
    assert row["eer"] == pytest.approx(reference["eer"], abs=1e-3)
    if benchmark.stats is not None:
        ratio = seconds / benchmark.stats.stats.median
        benchmark.extra_info["times faster than the loop"] = round(ratio, 1)
        assert ratio >= 10


@pytest.mark.benchmark(group="ten-fold verification, 6,000 pairs x 512")
def test_by_loop(benchmark, pairs):
    benchmark.pedantic(by_loop, args=pairs, rounds=1, iterations=1)


@pytest.mark.benchmark(group="bootstrap")
@pytest.mark.parametrize("known", [True, False], ids=["subjects", "pairs"])
def test_bootstrap(benchmark, pairs, known):
    """A thousand replicates of every statistic must take less than a second and a half."""
    first, second, same = pairs
    scores = 1 - pair_distances(first, second) / 2
    draw = np.random.default_rng(1)
    left = draw.integers(0, 4000, 6000)
    subjects = (left, np.where(same, left, (left + 1) % 4000)) if known else None

    def run():
        return bootstrap_intervals(scores, same, subjects=subjects, targets=TARGETS, generator=np.random.default_rng(0))

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 1.5
