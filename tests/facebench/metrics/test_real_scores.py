"""The published table of a real model on real LFW pairs, digit for digit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facebench.metrics import (
    auc,
    bootstrap_intervals,
    equal_error_rate,
    fold_accuracy,
    fuse,
    pair_distances,
    tar_at_far,
    unit,
    val_at_far,
)

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def lfw():
    root = os.environ.get("FACEBENCH_TEST_DATA")
    if not root:
        pytest.skip("FACEBENCH_TEST_DATA is not set")
    lines = (Path(root) / "lfw" / "pairs.txt").read_text(encoding="utf-8").splitlines()
    folds, size = map(int, lines[0].split())
    first, second = [], []
    for line in lines[1:]:
        cells = line.split("\t")
        left, right = (cells[0], cells[1]), (cells[-2] if len(cells) == 4 else cells[0], cells[-1])
        first.append(left)
        second.append(right)
    assert len(first) == 2 * folds * size == 6000
    same = np.array([a[0] == b[0] for a, b in zip(first, second, strict=True)])
    pack = np.load(Path(root) / "embeddings" / "lfw_mobilefacenet_arcface_ms1m.npz", allow_pickle=False)
    rows = {Path(str(name)).stem: row for row, name in enumerate(pack["names"])}
    left, right = (np.array([rows[f"{name}_{int(number):04d}"] for name, number in side]) for side in (first, second))
    people = tuple(np.array([name for name, _ in side]) for side in (first, second))
    vectors = {
        how: unit(fuse(pack["embedding"].astype(np.float64), pack["embedding_flip"].astype(np.float64), how=how))
        for how in ("none", "sum")
    }
    return {how: (pair_distances(v[left], v[right]), same, people) for how, v in vectors.items()}


@pytest.mark.parametrize(
    ("how", "rule", "mean", "std"),
    [
        ("none", "reference", "99.333", "0.527"),
        ("sum", "reference", "99.450", "0.466"),
        ("none", "strict", "99.317", "0.529"),
        ("sum", "strict", "99.483", "0.425"),
    ],
)
def test_accuracy(lfw, how, rule, mean, std):
    distances, same, _ = lfw[how]
    found = fold_accuracy(distances, same, rule=rule)
    assert (f"{100 * found.mean:.3f}", f"{100 * found.std:.3f}") == (mean, std)
    if rule == "strict":
        assert f"{1 - found.best_threshold / 2:.4f}" == {"none": "0.2703", "sum": "0.2768"}[how]
    if (how, rule) == ("none", "strict"):
        folds = "99.17 99.83 99.17 99.33 98.67 99.83 98.33 99.83 100.00 99.00"
        assert " ".join(f"{100 * value:.2f}" for value in found.folds) == folds


@pytest.mark.parametrize(
    ("how", "area", "tars"), [("none", "0.998958", ("99.37", "98.83")), ("sum", "0.999043", ("99.43", "98.67"))]
)
def test_whole_set(lfw, how, area, tars):
    distances, same, _ = lfw[how]
    genuine, impostor = 1 - distances[same] / 2, 1 - distances[~same] / 2
    assert f"{auc(genuine, impostor):.6f}" == area
    assert f"{100 * equal_error_rate(genuine, impostor).value:.3f}" == "0.667"
    for target, want in zip((1e-2, 1e-3), tars, strict=True):
        assert f"{100 * tar_at_far(genuine, impostor, target=target, rule='strict').tar:.2f}" == want
    assert val_at_far(distances, same, target=1e-3).val > 0.98


def test_intervals_hold_the_values(lfw):
    distances, same, people = lfw["sum"]
    scores = 1 - distances / 2
    found = bootstrap_intervals(scores, same, subjects=people, targets=[1e-2], generator=np.random.default_rng(0))
    assert found.auc.low < auc(scores[same], scores[~same]) < found.auc.high
    assert found.eer.low < equal_error_rate(scores[same], scores[~same]).value < found.eer.high
    assert found.tar_strict[0].low <= 0.9943 <= found.tar_strict[0].high
