from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from facebench.errors import MetricError
from facebench.metrics import distance_matrix
from facebench.metrics.distances import lengths_between, measured_on_device

DTYPES = (np.float32, np.float64)
KINDS = ("spread", "far from the origin", "clusters", "far clusters", "duplicates", "tiny", "huge")


def cloud(kind, count, dimensions, dtype, seed):
    draw = np.random.default_rng(seed)
    points = draw.standard_normal((count, dimensions))
    centres = draw.integers(0, max(1, count // 4), count)
    if kind == "far from the origin":
        points += 500
    elif kind == "clusters":
        points = 10 * points[centres] + 0.01 * draw.standard_normal(points.shape)
    elif kind == "far clusters":
        points = 0.01 * points + np.where(centres % 2, 1000, -1000)[:, None]
    elif kind == "duplicates":
        points = points[centres]
    elif kind in ("tiny", "huge"):
        points *= 1e-25 if kind == "tiny" else 1e25
    return points.astype(dtype)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 130),
    st.integers(1, 40),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
    st.booleans(),
)
def test_each_distance_is_right_to_a_few_millionths_of_itself(kind, count, dimensions, dtype, seed, device):
    points = cloud(kind, count, dimensions, dtype, seed)
    found = measured_on_device(torch.from_numpy(points))[0].numpy() if device else distance_matrix(points)
    expected = cdist(points.astype(np.float64), points.astype(np.float64))
    # A difference of two float32 numbers is itself rounded, so the reference is right to that only.
    np.testing.assert_allclose(found, expected, rtol=5e-6 if dtype == np.float32 else 1e-8)
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()
    assert np.array_equal(found == 0, expected == 0)


@pytest.mark.parametrize("offset", [0, 300])
def test_points_of_whole_numbers_have_the_rounded_distances(offset):
    points = np.random.default_rng(0).integers(-9, 9, (200, 7)) + offset
    expected = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2).astype(np.float32))
    assert np.array_equal(distance_matrix(points.astype(np.float32)), expected)


def test_large_images_are_measured_to_a_millionth():
    draw = np.random.default_rng(0)
    points = np.tanh(draw.standard_normal((12, 37_632))).astype(np.float32)
    points[3] = points[2] + 1e-4 * draw.standard_normal(37_632).astype(np.float32)
    expected = cdist(points.astype(np.float64), points.astype(np.float64))
    np.testing.assert_allclose(distance_matrix(points), expected, rtol=2e-6)


def test_points_that_are_all_zero_stay_in_their_precision():
    found = distance_matrix(np.zeros((3, 2), dtype=np.float32))
    assert found.dtype == np.float32 and not found.any()


def test_chosen_pairs_need_no_others():
    points = np.random.default_rng(0).standard_normal((50, 3))
    first, second = np.arange(49), np.arange(1, 50)
    assert lengths_between(points, first, second) == pytest.approx(np.linalg.norm(points[1:] - points[:-1], axis=1))
    assert lengths_between(points, first[:0], second[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_tensors_come_back_as_tensors_without_a_gradient(dtype):
    points = torch.randn(9, 4).to(dtype).requires_grad_()
    found = distance_matrix(points)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.dtype == wide and not found.requires_grad
    assert torch.allclose(found, torch.cdist(points.detach().to(wide), points.detach().to(wide)), atol=1e-5)
    assert torch.allclose(measured_on_device(points)[0], found)


@pytest.mark.parametrize(
    "look", [distance_matrix, lambda points: measured_on_device(torch.tensor(points))], ids=["array", "device"]
)
@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[0.0, np.nan]], "finite"),
        ([[0.0, np.inf], [0.0, 0.0]], "finite"),
        ([0.0, 1.0], "shape"),
        (np.zeros((0, 3)), "shape"),
        (np.full((2, 2), 1e300), "scale them"),
        (np.full((2, 2), np.float32(np.inf)), "finite"),
    ],
)
def test_what_has_no_distances(look, points, said):
    with pytest.raises(MetricError, match=said):
        look(np.asarray(points))
