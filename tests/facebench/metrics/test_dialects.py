from __future__ import annotations

import numpy as np
import pytest

from facebench.errors import MetricError, UnknownName
from facebench.metrics import DIALECTS, dialect_accuracy

EXACT = {"rel": 0, "abs": 1e-12}


@pytest.fixture(scope="module")
def lfw(pair_cases):
    case = pair_cases["pairs_lfw"]
    return case.embeddings[0::2], case.embeddings[1::2], case.same, case.expected


def test_golden_magface(lfw):
    first, second, same, expected = lfw
    found = dialect_accuracy(first, second, same, rule="magface")
    assert found.mean == pytest.approx(expected["magface_angle_minus_mean"]["mean"], **EXACT)
    assert found.std == pytest.approx(expected["magface_angle_minus_mean"]["std"], **EXACT)


def test_golden_facex_zoo(lfw):
    first, second, same, expected = lfw
    found = dialect_accuracy(first, second, same, rule="facex-zoo")
    wanted = expected["facexzoo_youden_1000_steps"]
    assert found.mean == pytest.approx(wanted["mean"], **EXACT)
    assert found.standard_error == pytest.approx(wanted["standard_error"], **EXACT)


def test_golden_xqlfw(lfw):
    first, second, same, expected = lfw
    found = dialect_accuracy(first, second, same, rule="xqlfw")
    wanted = expected["xqlfw_cosine_2000_steps"]
    assert found.mean == pytest.approx(wanted["mean"], **EXACT)
    assert found.folds == pytest.approx(wanted["fold"], **EXACT)
    assert found.thresholds == pytest.approx(wanted["threshold"], **EXACT)


def loop(rule, left, right, same, fold):
    """The same, one threshold after another."""
    accuracies = []
    for k in np.unique(fold):
        train = fold != k
        if rule == "facex-zoo":
            score = np.sum(left.astype(np.float32) * right.astype(np.float32), axis=1)
            low, high = score[train].min(), score[train].max()
            grid = [low + step * (high - low) / 1000 for step in range(1000)]
            gain = [np.mean(score[train & same] > t) - np.mean(score[train & ~same] > t) for t in grid]
            t = grid[int(np.argmax(gain))]
            right_ones = ((score > t) & same) | ((score < t) & ~same)
        else:
            if rule == "xqlfw":
                distance, grid = 1 - np.sum(left * right, axis=1), np.arange(0, 2, 0.001)
            else:
                centre = np.concatenate([left[train], right[train]]).mean(axis=0)
                a, b = left - centre, right - centre
                cosine = np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
                distance, grid = np.arccos(np.clip(cosine, -1, 1)) / np.pi, np.arange(0, 4, 0.01)
            t = grid[int(np.argmax([np.mean((distance[train] < t) == same[train]) for t in grid]))]
            right_ones = (distance < t) == same
        accuracies.append(np.mean(right_ones[~train]))
    return accuracies


@pytest.mark.parametrize("rule", DIALECTS)
@pytest.mark.parametrize("seed", range(3))
def test_against_a_loop_over_thresholds(rule, seed):
    random = np.random.default_rng(seed)
    left = random.standard_normal((90, 6))
    same = random.random(90) < 0.5
    right = np.where(same[:, None], left + random.standard_normal((90, 6)), random.standard_normal((90, 6)))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    fold = random.permutation(np.arange(90) % 3)
    found = dialect_accuracy(left, right, same, rule=rule, folds=fold)
    assert found.folds == pytest.approx(loop(rule, left, right, same, fold), **EXACT)
    assert found.std == pytest.approx(np.std(found.folds), **EXACT)


def test_an_equal_score_is_wrong_on_both_sides_in_facex_zoo():
    vectors = np.ones((8, 3))
    found = dialect_accuracy(vectors, vectors, [1, 0] * 4, rule="facex-zoo", folds=2)
    assert found.folds == (0.0, 0.0)


def test_what_cannot_be_measured():
    vectors = np.ones((4, 3))
    with pytest.raises(UnknownName, match="did you mean 'magface'"):
        dialect_accuracy(vectors, vectors, [1, 0, 1, 0], rule="magfase", folds=2)
    with pytest.raises(MetricError):
        dialect_accuracy(vectors * np.nan, vectors, [1, 0, 1, 0], rule="xqlfw", folds=2)
    with pytest.raises(MetricError):
        dialect_accuracy(vectors, vectors, [1, 0, 1], rule="xqlfw", folds=2)
