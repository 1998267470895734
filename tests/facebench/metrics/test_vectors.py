from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from facebench.errors import MetricError, UnknownName
from facebench.metrics import fold_accuracy, fuse, pair_distances, unit, xnorm


@pytest.fixture(scope="module")
def features(flip_case):
    """Features of the golden images and of their mirror images, through the golden projection."""
    images, same, projection, case = flip_case

    def embed(pixels):
        flat = (pixels.astype(np.float32) / 255 - 0.5) / 0.5
        return (flat.reshape(len(pixels), -1) @ projection).astype(np.float64)

    return embed(images), embed(images[..., ::-1]), same, case


def test_golden_flip(features):
    plain, mirrored, same, case = features
    assert xnorm(plain, mirrored) == pytest.approx(case["xnorm"], rel=1e-6)
    embeddings = unit(fuse(plain, mirrored, how="sum"))
    np.testing.assert_allclose(embeddings[0, :4], case["first_embedding_head"], atol=1e-5)
    np.testing.assert_allclose(embeddings[-1, :4], case["last_embedding_head"], atol=1e-5)
    accuracy = fold_accuracy(pair_distances(embeddings[0::2], embeddings[1::2]), same)
    assert accuracy.folds == pytest.approx(case["fold_accuracy"], abs=1e-12)
    assert accuracy.mean == pytest.approx(case["accuracy_mean"], abs=1e-12)


def test_xnorm_of_one_and_of_both():
    assert xnorm([[3.0, 4.0], [0.0, 1.0]]) == 3.0
    assert xnorm([[3.0, 4.0]], [[0.0, 1.0]]) == 3.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_is_scikit_learns_normalize(dtype):
    vectors = np.random.default_rng(0).normal(size=(50, 33)).astype(dtype)
    scaled = unit(vectors)
    assert scaled.dtype == dtype
    np.testing.assert_allclose(scaled, normalize(vectors), rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(unit(fuse(vectors, vectors)), scaled, rtol=8 * np.finfo(dtype).eps)


def test_unit_survives_lengths_that_float32_squares_do_not():
    vectors = np.array([[3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32)
    np.testing.assert_allclose(unit(vectors), [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_fusions():
    plain, mirrored = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])
    assert fuse(plain, mirrored).tolist() == [[11.0, 22.0]]
    assert fuse(plain, mirrored, how="concat").tolist() == [[1.0, 2.0, 10.0, 20.0]]
    assert fuse(plain, None, how="none") is plain


def test_distances_are_the_references_bit_for_bit():
    draw = np.random.default_rng(4)
    first, second = (unit(draw.normal(size=(1000, 129))) for _ in range(2))
    np.testing.assert_array_equal(pair_distances(first, second), np.sum(np.square(np.subtract(first, second)), 1))
    np.testing.assert_allclose(1 - pair_distances(first, second) / 2, np.sum(first * second, axis=1), atol=1e-14)


def test_distances_of_float32_run_in_float64():
    draw = np.random.default_rng(5)
    first, second = (draw.normal(size=(700, 64)).astype(np.float32) for _ in range(2))
    exact = pair_distances(first.astype(np.float64), second.astype(np.float64))
    np.testing.assert_array_equal(pair_distances(first, second), exact)


def test_refusals():
    good = np.ones((3, 2))
    with pytest.raises(MetricError, match="found 1 of 3, the first is row 1"):
        unit([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    with pytest.raises(MetricError, match="one shape"):
        pair_distances(good, np.ones((2, 2)))
    with pytest.raises(MetricError, match="one shape"):
        fuse(good, np.ones((3, 3)))
    with pytest.raises(MetricError, match="needs the mirrored"):
        fuse(good, None)
    with pytest.raises(UnknownName, match="did you mean 'sum'"):
        fuse(good, good, how="summ")
    with pytest.raises(MetricError, match="row 2"):
        xnorm([[1.0], [1.0], [np.nan]])
