from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from facebench.errors import MetricError
from facebench.metrics import frechet as module
from facebench.metrics.frechet import Moments, frechet_distance, moments


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 7), st.sampled_from([0.0, 1e4]))
def test_moments_are_those_of_numpy(seed, count, size, far):
    vectors = np.random.default_rng(seed).normal(size=(count, size)) + far
    before, module._BLOCK_BYTES = module._BLOCK_BYTES, 100
    try:
        found = moments(vectors)
    finally:
        module._BLOCK_BYTES = before
    assert found.count == count
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(vectors, rowvar=False).reshape(size, size), atol=1e-7)


def test_rows_choose():
    vectors = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    some = moments(vectors, rows=[8, 1, 4])
    np.testing.assert_allclose(some.mean, vectors[[1, 4, 8]].mean(axis=0), atol=1e-6)
    assert some.count == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_distance_is_the_formula(seed, size):
    random = np.random.default_rng(seed)
    one, other = (random.normal(size=(40, size)) @ random.normal(size=(size, size)) + random.normal() for _ in range(2))
    first, second = moments(one), moments(other)
    root = sqrtm(first.covariance @ second.covariance)
    wanted = ((first.mean - second.mean) ** 2).sum() + np.trace(
        first.covariance + second.covariance - 2 * np.real(root)
    )
    assert frechet_distance(first, second) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert frechet_distance(second, first) == pytest.approx(frechet_distance(first, second), rel=1e-9, abs=1e-9)


def test_of_diagonal_gaussians_it_is_known():
    one = Moments(9, np.array([0.0, 1.0]), np.diag([4.0, 1.0]))
    other = Moments(9, np.array([3.0, 1.0]), np.diag([1.0, 9.0]))
    assert frechet_distance(one, other) == pytest.approx(9 + 1 + 4)


def test_fewer_vectors_than_dimensions_are_no_trouble():
    random = np.random.default_rng(0)
    few, other = random.normal(size=(5, 64)), random.normal(size=(7, 64))
    assert frechet_distance(moments(few), moments(few)) == pytest.approx(0, abs=1e-6)
    found = frechet_distance(moments(few), moments(other))
    # The root's trace, through the vectors themselves.
    a, b = (v - v.mean(axis=0) for v in (few, other))
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(4 * 6)
    apart = ((few.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    assert found == pytest.approx(apart + (a**2).sum() / 4 + (b**2).sum() / 6 - 2 * common, rel=1e-6)
    still = np.ones((3, 4))
    assert frechet_distance(moments(still), moments(still + 1)) == pytest.approx(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moments([[1.0, 2.0]]), "at least 2 vectors"),
        (lambda: moments(np.ones((4, 2)), rows=[1]), "at least 2 vectors; found 1"),
        (lambda: moments([[1.0], [np.inf]]), "finite"),
        (lambda: frechet_distance(moments(np.ones((3, 2))), moments(np.ones((3, 3)))), "found 2 and 3"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(MetricError, match=message):
        call()
