from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError
from facebench.metrics import score_pairs, scoring


def vectors(count, dim=16, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((count, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def row_wise(table, first, second):
    return np.einsum("pd,pd->p", table[first].astype(np.float64), table[second].astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 10**6))
def test_is_the_row_wise_product(count, pairs, seed):
    draw = np.random.default_rng(seed)
    table, first, second = vectors(count, seed=seed), *draw.integers(0, count, (2, pairs))
    scores = score_pairs(table, first, second)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, row_wise(table, first, second), atol=1e-6)


@pytest.mark.parametrize("thin", [0, 10**9], ids=["by pair", "by block"])
def test_both_ways_agree_whatever_the_block(monkeypatch, thin):
    monkeypatch.setattr(scoring, "_THIN", thin)
    draw = np.random.default_rng(0)
    table, first, second = vectors(90), draw.integers(0, 40, 3000), draw.integers(30, 90, 3000)
    whole = score_pairs(table, first, second)
    monkeypatch.setattr(scoring, "_PRODUCT_BYTES", 4 * 60 * 7)
    monkeypatch.setattr(scoring, "_GATHER_PAIRS", 101)
    np.testing.assert_allclose(score_pairs(table, first, second), whole, atol=3e-7)
    np.testing.assert_allclose(whole, row_wise(table, first, second), atol=1e-6)


def test_equal_pairs_score_equal():
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 37, 9000), draw.integers(9, 53, 9000)
    scores = score_pairs(vectors(53, 96), first, second)
    low, high = np.minimum(first, second), np.maximum(first, second)
    # Rows that occur on both sides may be named in either order.
    for cell in np.unique(53 * low + high):
        assert np.unique(scores[53 * low + high == cell]).size == 1


def test_training_shortcuts_do_not_leak_in():
    draw = np.random.default_rng(0)
    table, first, second = vectors(64, 256), draw.integers(0, 64, 2000), draw.integers(0, 64, 2000)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = score_pairs(table, first, second)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.is_grad_enabled()
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_allclose(scores, row_wise(table, first, second), atol=1e-6)


def test_read_only_vectors(tmp_path):
    np.save(tmp_path / "v.npy", vectors(10))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    np.testing.assert_allclose(score_pairs(mapped, [0, 1], [0, 1]), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((vectors(5), [0, 5], [0, 1]), "first rows must lie between 0 and 4; found 5"),
        ((vectors(5), [0, 1], [0, -1]), "second rows must lie between 0 and 4; found -1"),
        ((vectors(5), [0, 1], [0]), "2 first and 1 second"),
        ((vectors(5), [], []), "list of integers"),
        ((vectors(5), [0.0], [1.0]), "list of integers"),
        ((np.full((2, 2), np.nan), [0], [1]), "finite"),
        ((np.full((2, 2), 1e30), [0], [1]), "overflow"),
        ((np.full((2, 2), 1e300), [0], [1]), "finite"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(MetricError, match=message):
        score_pairs(*arguments)


def test_unknown_device():
    with pytest.raises(MetricError, match="device 'nonsense' cannot be used"):
        score_pairs(vectors(3), [0], [1], device="nonsense")
