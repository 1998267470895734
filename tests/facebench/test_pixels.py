from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench.contracts import Preprocess
from facebench.pixels import to_input


def test_is_colour_order_mean_and_std_in_the_networks_order():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    plain = to_input(torch.from_numpy(images), Preprocess())
    assert plain.shape == (2, 3, 4, 5) and plain.dtype == torch.float32
    np.testing.assert_allclose(
        plain.numpy(), (images.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5, rtol=1e-6
    )
    mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    other = to_input(torch.from_numpy(images), Preprocess(color="bgr", mean=mean, std=std)).numpy()
    for channel in range(3):
        expected = (images[..., 2 - channel].astype(np.float32) - mean[channel]) / std[channel]
        np.testing.assert_allclose(other[:, channel], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_leaves_the_pictures_alone(dtype, color):
    images = torch.full((1, 2, 2, 3), 7, dtype=dtype)
    to_input(images, Preprocess(color=color))
    assert images.eq(7).all()


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_floats_of_the_same_range_give_the_same_to_the_last_bit(color):
    """Whatever way they lie in memory."""
    images = torch.randint(0, 256, (3, 6, 5, 3), dtype=torch.uint8)
    preprocess = Preprocess(color=color, mean=(127.5, 120.0, 110.3), std=(128.0, 57.1, 60.0))
    expected = to_input(images, preprocess)
    planes = images.float().permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    for floats in (images.float(), planes):
        found = to_input(floats, preprocess)
        assert torch.equal(found, expected) and found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
    between = to_input(images.float() + 0.25, preprocess)
    torch.testing.assert_close(
        between - expected, (0.25 / torch.tensor(preprocess.std)).view(1, 3, 1, 1).expand_as(between), rtol=0, atol=1e-6
    )
