"""Vectors of pictures: lengths, cosines, exact shares, and random numbers that know their place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench import ConfigError
from facebench_vec2face.perturbation import allocate, at_cosine, perturb, perturbed, picture_seeds, sigmas_of

SIGMAS, SHARES = (0.3, 0.5, 0.7), (0.4, 0.4, 0.2)
PAPER = {"sigmas": SIGMAS, "shares": SHARES}


def people(count, size=512, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def cosines(one, other):
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@given(st.integers(0, 500), st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda shares: sum(shares) > 0.01))
def test_shares_become_whole_pictures(images, shares):
    counts = allocate(images, shares)
    assert counts.sum() == images and (counts >= 0).all()
    assert (np.abs(counts - images * np.array(shares) / sum(shares)) < 1 + 1e-6).all()


@pytest.mark.parametrize(
    ("images", "counts"), [(50, (20, 20, 10)), (12, (5, 5, 2)), (4, (2, 1, 1)), (1, (1, 0, 0)), (0, (0, 0, 0))]
)
def test_the_papers_shares(images, counts):
    # The released code cuts 12 rows down to 10 noises, and fails.
    assert tuple(allocate(images, SHARES)) == counts


def test_a_share_without_pictures_gets_none():
    assert tuple(allocate(7, (1.0, 0.0))) == (7, 0)


def test_every_identity_has_the_exact_shares_in_an_order_of_its_own():
    each = np.stack([sigmas_of(identity, 50, **PAPER, seed=3) for identity in range(20)])
    for row in each:
        assert [int((row == sigma).sum()) for sigma in SIGMAS] == [20, 20, 10]
    assert len(np.unique(each, axis=0)) == 20


def test_lengths_are_kept():
    vectors = people(4) * np.array([[1], [0.1], [30], [1e-3]], dtype=np.float32)
    found = perturbed(vectors, first=0, images=6, **PAPER, seed=0)
    assert found.vectors.dtype == np.float32 and found.vectors.shape == (24, 512)
    wanted = np.repeat(np.linalg.norm(vectors.astype(float), axis=1), 6)
    np.testing.assert_allclose(np.linalg.norm(found.vectors.astype(float), axis=1), wanted, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.2, 0.3, 0.5, 0.7, 0.9])
def test_cosines_follow_sigma(sigma):
    random = np.random.default_rng(1)
    vectors = people(20)
    vectors *= np.sqrt(512) / np.linalg.norm(vectors, axis=1, keepdims=True)
    moved = np.stack([perturb(vector, np.full(50, sigma), random) for vector in vectors])
    assert cosines(moved, vectors[:, None]).mean() == pytest.approx(1 / np.sqrt(1 + sigma**2), abs=0.01)
    assert cosines(moved[:, :25], moved[:, 25:]).mean() == pytest.approx(1 / (1 + sigma**2), abs=0.01)


def test_sigma_0_changes_nothing():
    (vector,) = people(1)
    np.testing.assert_allclose(perturb(vector, np.zeros(2), np.random.default_rng(0)), [vector, vector], rtol=1e-6)


def test_a_vector_without_length_keeps_none():
    assert not perturb(np.zeros(8, np.float32), np.array([0.5]), np.random.default_rng(0)).any()


def test_portions_do_not_matter():
    vectors = people(7, 16)
    whole = perturbed(vectors, first=0, images=5, **PAPER, seed=9)
    parts = [perturbed(vectors[a:b], first=a, images=5, **PAPER, seed=9) for a, b in ((0, 3), (3, 4), (4, 7))]
    np.testing.assert_array_equal(whole.vectors, np.concatenate([part.vectors for part in parts]))
    np.testing.assert_array_equal(whole.sigmas, np.concatenate([part.sigmas for part in parts]))
    other = perturbed(vectors, first=0, images=5, **PAPER, seed=10)
    assert not np.isclose(other.vectors, whole.vectors).all(axis=1).any()


def test_more_pictures_change_no_noise_of_the_earlier_ones():
    vectors = people(2, 16)
    few, many = (perturbed(vectors, first=4, images=m, sigmas=(0.5,), shares=(1,), seed=0) for m in (3, 8))
    np.testing.assert_array_equal(few.vectors.reshape(2, 3, 16), many.vectors.reshape(2, 8, 16)[:, :3])


def test_nobody_is_nothing():
    assert perturbed(people(0, 8), first=0, images=5, **PAPER, seed=0).vectors.shape == (0, 8)
    assert picture_seeds(0, first=0, images=5, seed=0).shape == (0,)
    assert perturbed(people(2, 8), first=0, images=0, **PAPER, seed=0).vectors.shape == (0, 8)


def test_seeds_of_pictures_know_their_place():
    whole = picture_seeds(6, first=0, images=8, seed=1).reshape(6, 8)
    assert whole.dtype == np.int64 and whole.min() >= 0 and len(np.unique(whole)) == 48
    np.testing.assert_array_equal(picture_seeds(2, first=3, images=5, seed=1).reshape(2, 5), whole[3:5, :5])
    assert not np.isin(picture_seeds(6, first=0, images=8, seed=1, stream=99), whole).any()


@given(st.integers(2, 64), st.floats(-1, 1), st.integers(0, 100))
def test_at_an_exact_cosine(size, cosine, seed):
    (vector,) = people(1, size, seed)
    found = at_cosine(vector, cosine, np.random.default_rng(seed)).astype(float)
    assert cosines(found, vector.astype(float)) == pytest.approx(cosine, abs=1e-6)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(vector.astype(float)), rel=1e-6)


@pytest.mark.parametrize(("vector", "cosine"), [([1, 0], 1.5), ([0, 0], 0.5), ([1], 0.5), ([np.nan, 1], 0.5)], ids=str)
def test_no_vector_at_that_cosine(vector, cosine):
    with pytest.raises(ConfigError, match="does not exist"):
        at_cosine(np.array(vector, dtype=np.float32), cosine, np.random.default_rng(0))
