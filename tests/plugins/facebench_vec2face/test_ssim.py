from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench_vec2face.ssim import ssim


def plain(one, other):
    """The definition, window by window, of two pictures (C, H, W) in [0, 1]."""
    offsets = np.arange(11) - 5
    bell = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()
    found = []
    for x, y in zip(one, other, strict=True):
        for top in range(x.shape[0] - 10):
            for left in range(x.shape[1] - 10):
                a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                common = (window * (a - mean_a) * (b - mean_b)).sum()
                found.append(
                    (2 * mean_a * mean_b + 1e-4)
                    * (2 * common + 9e-4)
                    / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
                )
    return np.mean(found)


@pytest.mark.parametrize("size", [(11, 11), (16, 21), (32, 13)])
def test_against_the_definition(size):
    random = np.random.default_rng(0)
    one = random.uniform(-1, 1, (3, 3, *size))
    other = np.clip(one + random.normal(0, 0.3, one.shape), -1, 1)
    wanted = [plain((x + 1) / 2, (y + 1) / 2) for x, y in zip(one, other, strict=True)]
    np.testing.assert_allclose(ssim(torch.from_numpy(one), torch.from_numpy(other)).numpy(), wanted, rtol=1e-9)
    single = ssim(torch.from_numpy(one).float(), torch.from_numpy(other).float())
    np.testing.assert_allclose(single.numpy(), wanted, rtol=1e-4)


def test_equal_pictures_have_1_and_negatives_less():
    pictures = torch.rand(2, 3, 24, 24, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(ssim(pictures, pictures), torch.ones(2, dtype=torch.float64))
    assert (ssim(pictures, -pictures) < 0).all()
    assert torch.equal(ssim(pictures, -pictures), ssim(-pictures, pictures))


def test_flat_pictures_differ_by_their_brightness():
    dark, bright = torch.full((1, 1, 12, 12), -0.5).double(), torch.full((1, 1, 12, 12), 0.5).double()
    wanted = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(dark, bright).item() == pytest.approx(wanted)


def test_gradient():
    torch.manual_seed(0)
    one = (torch.rand(1, 2, 12, 13, dtype=torch.float64) * 2 - 1).requires_grad_()
    other = (torch.rand(1, 2, 12, 13, dtype=torch.float64) * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(ssim, (one, other))


def test_gradient_of_flat_pictures_is_finite():
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    ssim(flat, torch.zeros(1, 3, 16, 16)).sum().backward()
    assert flat.grad.isfinite().all()
