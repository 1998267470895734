from __future__ import annotations

import numpy as np
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


def test_leaves_the_pictures_alone():
    images = torch.full((1, 2, 2, 3), 7, dtype=torch.uint8)
    to_input(images, Preprocess())
    assert images.eq(7).all()
