"""Invariant structure alignment against values of the released code, scipy's single linkage and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage

from facebench_topofr.alignment import align

A = [(0, 0), (1, 0), (3, 0), (3, 4), (0, 2.5), (10, 0)]
B = [(0, 0), (0, 2), (1.5, 0), (4, 0), (4, 1), (0, 5)]
WAYS = [(matching, norm) for matching in ("sorted", "symmetric") for norm in ("none", "max")]


def as_images(points):
    """Images whose scaled distances are those of the points."""
    points = torch.as_tensor(points, dtype=torch.float64)
    return (points * 2 * math.sqrt(points.shape[1]))[:, :, None, None]


def random_pair(count=9, seed=0, size=6):
    draw = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, 4, 4, generator=draw, dtype=torch.float64) * 2 - 1
    return images, torch.randn(count, size, generator=draw, dtype=torch.float64)


def test_planar_points():
    vectors = torch.tensor(B, dtype=torch.float64)
    found = align(as_images(A), vectors)
    assert found.discrepancy.item() * 6 == pytest.approx(17.229490, abs=1e-6)
    assert found.shared.item() == pytest.approx(2 / 5)
    found = align(as_images(A), vectors, matching="symmetric")
    assert found.discrepancy.item() * 6 == pytest.approx(29.817959, abs=1e-6)


def test_images_and_the_gradient_of_the_released_code():
    images = torch.tensor([(-1, -1), (1, -1), (1, 1), (0.5, 0)], dtype=torch.float64).reshape(4, 1, 1, 2)
    vectors = torch.diag(torch.tensor([1.0, 2, 3], dtype=torch.float64))
    vectors = torch.cat([torch.zeros(1, 3, dtype=torch.float64), vectors]).requires_grad_()
    found = align(images, vectors)
    assert found.discrepancy.item() == pytest.approx(2.130694, abs=1e-6)
    found.discrepancy.backward()
    rows = [[-0.302358, -0.802358, -1.181311], [0.302358, 0, 0], [0, 0.802358, 0], [0, 0, 1.181311]]
    np.testing.assert_allclose(vectors.grad, rows, atol=1e-6)


def test_lengths_are_the_heights_of_single_linkage():
    images, vectors = random_pair(40)
    heights = [linkage(np.asarray(points.flatten(1)), "single")[:, 2] for points in (images, vectors)]
    expected = ((heights[0] / math.sqrt(4 * 48) - heights[1]) ** 2).sum() / 40
    assert align(images, vectors).discrepancy.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("matching", "norm"), WAYS)
def test_gradient_against_finite_differences(matching, norm):
    images, vectors = random_pair()

    def value(points):
        return align(images, points, matching=matching, latent_norm=norm).discrepancy

    assert torch.autograd.gradcheck(value, vectors.requires_grad_())


@pytest.mark.parametrize(("matching", "norm"), WAYS)
def test_equal_embeddings_get_no_gradient_and_no_nan(matching, norm):
    images, vectors = random_pair()
    equal = vectors[:1].repeat(9, 1).requires_grad_()
    found = align(images, equal, matching=matching, latent_norm=norm)
    found.discrepancy.backward()
    assert not equal.grad.any()
    assert torch.stack([found.discrepancy, found.scale_free, found.shared]).isfinite().all()


def test_an_edge_of_length_0_gets_no_gradient():
    images, vectors = random_pair()
    vectors[4] = vectors[2]
    vectors.requires_grad_()
    align(images, vectors).discrepancy.backward()
    assert vectors.grad.isfinite().all() and vectors.grad.any()


def test_images_that_are_equal():
    _, vectors = random_pair()
    vectors.requires_grad_()
    found = align(torch.zeros(9, 3, 4, 4), vectors, latent_norm="max")
    found.discrepancy.backward()
    assert vectors.grad.isfinite().all() and found.discrepancy.isfinite()


@pytest.mark.parametrize("matching", ["sorted", "symmetric"])
def test_what_shrinking_embeddings_changes(matching):
    images, vectors = random_pair(30)
    plain, small = (align(images, vectors * factor, matching=matching) for factor in (1, 0.01))
    assert small.discrepancy < plain.discrepancy / 5
    torch.testing.assert_close(small.scale_free, plain.scale_free)
    assert small.shared == plain.shared
    plain, small = (
        align(images, vectors * factor, matching=matching, latent_norm="max").discrepancy for factor in (1, 0.01)
    )
    torch.testing.assert_close(small, plain)


@pytest.mark.parametrize("matching", ["sorted", "symmetric"])
def test_scale_free_is_the_least_over_all_scales(matching):
    images, vectors = random_pair(20)
    scales = np.geomspace(0.01, 0.3, 400)
    tried = [align(images, vectors * scale, matching=matching).discrepancy.item() for scale in scales]
    assert align(images, vectors, matching=matching).scale_free.item() == pytest.approx(min(tried), rel=1e-3)


def test_the_same_points_have_the_same_shape():
    images, _ = random_pair(20)
    found = align(images, images.flatten(1) / math.sqrt(4 * 48))
    assert found.discrepancy.item() == pytest.approx(0, abs=1e-24)
    assert found.shared == 1


def test_unrelated_batches_share_few_edges():
    images, vectors = random_pair(128, size=64)
    assert align(images, vectors).shared < 0.1


@pytest.mark.parametrize(("matching", "norm"), WAYS)
def test_groups_are_aligned_one_by_one(matching, norm):
    images, vectors = random_pair(15)
    whole = align(images, vectors, matching=matching, latent_norm=norm, group_size=6)
    parts = [
        align(images[part], vectors[part], matching=matching, latent_norm=norm)
        for part in (slice(6), slice(6, 12), slice(12, None))
    ]
    for name in ("discrepancy", "scale_free", "shared"):
        values = [getattr(part, name).item() for part in parts]
        assert getattr(whole, name).item() == pytest.approx(np.average(values, weights=[6, 6, 3]))


def test_a_group_of_one_has_no_shape():
    images, vectors = random_pair(1)
    found = align(images, vectors.requires_grad_())
    assert found.discrepancy.item() == found.shared.item() == 0


def test_images_get_no_gradient_and_half_precision_is_left():
    images, vectors = random_pair()
    images = images.float().requires_grad_()
    found = align(images, vectors.bfloat16().requires_grad_())
    found.discrepancy.backward()
    assert images.grad is None and found.discrepancy.dtype == torch.float32
