"""Random structure perturbation: how often, how strongly, and that the clean faces stay clean."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from facebench import Preprocess
from facebench_topofr import perturbation
from facebench_topofr.perturbation import Perturbation

NAMES = ("blur", "grey", "jitter", "erasing")


def faces(count=12, height=20, width=16, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=draw, dtype=dtype) * 2 - 1


class Chosen:
    """A generator that strikes every face by one operation, and draws the rest as usual."""

    def __init__(self, number, seed=0):
        self.number, self.usual = number, np.random.default_rng(seed)

    def integers(self, high, *, size):
        return np.full(size, self.number)

    def __getattr__(self, name):
        return getattr(self.usual, name)


def perturbed(images, name, *, seed=0, preprocess=None, **more):
    return Perturbation(1.0, preprocess or Preprocess(), **more)(images, Chosen(NAMES.index(name), seed))


def kind_of(clean, found):
    """What happened to one face of random pixels, None for nothing."""
    if torch.equal(clean, found):
        return None
    if (found == 0).any():
        return "erasing"
    if torch.allclose(found[0], found[1], atol=1e-6) and torch.allclose(found[0], found[2], atol=1e-6):
        return "grey"
    return "jitter" if found.mean() < clean.mean() - 0.2 else "blur"


def test_how_many_faces_are_struck_and_by_what():
    images = faces(4000, 8, 8, dtype=torch.float32)
    found = Perturbation(0.2, Preprocess())(images, np.random.default_rng(1))
    kinds = [kind_of(*pair) for pair in zip(images, found, strict=True)]
    # Four standard deviations of a binomial share.
    assert np.mean([kind is not None for kind in kinds]) == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 4000))
    for name in NAMES:
        assert kinds.count(name) / 4000 == pytest.approx(0.05, abs=4 * np.sqrt(0.0475 / 4000)), name


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all(share):
    images = faces(64)
    found = Perturbation(share, Preprocess())(images, np.random.default_rng(2))
    assert (images != found).flatten(1).any(1).double().mean() == share


def test_the_generator_decides_everything():
    images = faces(64)
    one, same, other = (Perturbation(0.5, Preprocess())(images, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_the_clean_faces_are_left_alone(name):
    images = faces()
    kept = images.clone()
    found = perturbed(images, name)
    assert torch.equal(images, kept) and found.dtype == images.dtype
    assert found.data_ptr() != images.data_ptr() and not torch.equal(found, images)


@pytest.mark.parametrize(("leak", "leaky"), [("none", ()), ("erasing", ("erasing",)), ("all", NAMES)])
def test_what_leaks_into_the_clean_faces(leak, leaky):
    for name in NAMES:
        images = faces()
        kept = images.clone()
        found = perturbed(images, name, leak=leak)
        assert torch.equal(images, found if name in leaky else kept), name


def test_blur_is_gaussian_with_a_width_for_each_face():
    count = 400
    impulse = torch.zeros(count, 3, 21, 21, dtype=torch.float64)
    impulse[:, :, 10, 10] = 1
    found = perturbed(impulse, "blur")
    ratio = found[:, 0, 10, 11] / found[:, 0, 10, 10]
    sigma = np.asarray((-0.5 / ratio.clamp(min=1e-300).log()).sqrt())
    known = np.asarray(ratio > 1e-300)
    assert 0.1 <= sigma[known].min() < 0.3 and 4.8 < sigma.max() <= 5
    assert np.median(sigma) == pytest.approx(2.55, abs=0.4)
    reached = (found[:, 0] > 0).any(0).nonzero()
    assert (reached.min(0).values - 10).tolist() == [-4, -2] and (reached.max(0).values - 10).tolist() == [4, 2]
    images = faces(count, 21, 21)
    blurred = perturbed(images, "blur")
    for face in (0, 7):
        expected = np.asarray(images[face])
        for axis, size in ((1, 9), (2, 5)):
            places = np.arange(size) - size // 2
            window = np.exp(-0.5 * (places / sigma[face]) ** 2)
            expected = correlate1d(expected, window / window.sum(), axis=axis, mode="mirror")
        np.testing.assert_allclose(blurred[face], expected, atol=1e-9)


def test_grey_has_the_luma_in_every_channel():
    images = faces()
    found = perturbed(images, "grey")
    red, green, blue = ((images + 1) / 2).unbind(1)
    expected = (0.2989 * red + 0.587 * green + 0.114 * blue) * 2 - 1
    torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=0, atol=1e-6)


def test_bgr_networks_get_the_same_colours():
    images = faces()
    bgr = Preprocess(color="bgr", mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0))
    mean, std = (torch.tensor(one, dtype=torch.float64).view(3, 1, 1) / 255 for one in (bgr.mean, bgr.std))
    for name in ("grey", "jitter"):
        expected = (perturbed(images, name) + 1) / 2
        given = (((images + 1) / 2).flip(1) - mean) / std
        found = (perturbed(given, name, preprocess=bgr) * std + mean).flip(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def jittered(pixels, order, brightness, contrast, saturation, hue):
    """The four steps on the pixels of one face, (P, 3) in 0..1, with the standard library's colours."""
    luma = np.array([0.2989, 0.587, 0.114])
    for step in order:
        if step == 0:
            pixels = pixels * brightness
        elif step == 1:
            pixels = contrast * pixels + (1 - contrast) * (pixels @ luma).mean()
        elif step == 2:
            pixels = saturation * pixels + (1 - saturation) * (pixels @ luma)[:, None]
        else:
            turned = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels]
            pixels = np.array([colorsys.hsv_to_rgb((h + hue) % 1, s, v) for h, s, v in turned])
        pixels = np.clip(pixels, 0, 1)
    return pixels


def test_jitter_is_four_steps_in_an_order_of_their_own():
    count = 40
    images = faces(count, 5, 6)
    found = perturbed(images, "jitter", seed=9)
    draws = np.random.default_rng(9)
    draws.random(count)
    orders = draws.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    assert len({tuple(order) for order in orders}) > 12
    factors = np.array(
        [draws.uniform(low, high, count) for low, high in ((0.1, 0.5), (0.3, 0.6), (0.2, 0.5), (-0.1, 0.3))]
    )
    for face in range(count):
        pixels = np.asarray((images[face] + 1) / 2).reshape(3, -1).T
        expected = jittered(pixels, orders[face], *factors[:, face]).T.reshape(3, 5, 6)
        np.testing.assert_allclose((found[face] + 1) / 2, expected, atol=1e-5)


def test_erasing_takes_one_rectangle_of_the_stated_size():
    height, width = 112, 100
    images = faces(300, height, width, dtype=torch.float32).abs() + 0.1
    found = perturbed(images, "erasing")
    gone = (found == 0).all(1)
    assert torch.equal(found[~gone[:, None].expand_as(found)], images[~gone[:, None].expand_as(found)])
    high, wide = gone.any(2).sum(1).double(), gone.any(1).sum(1).double()
    assert torch.equal(gone.sum((1, 2)).double(), high * wide)
    assert (high > 0).all()
    area, aspect = high * wide / (height * width), high / wide
    # Sides are rounded to whole pixels.
    assert 0.017 < area.min() < 0.03 and 0.3 < area.max() < 0.345
    assert 0.28 < aspect.min() < 0.35 and 2.9 < aspect.max() < 3.6
    assert area.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.015)
    assert aspect.log().mean().item() == pytest.approx(0, abs=0.12)
    # Rectangles reach every side, and cover the middle most often.
    struck = gone.double().mean(0)
    assert min(side.max() for side in (struck[0], struck[-1], struck[:, 0], struck[:, -1])) > 0
    assert struck[height // 2, width // 2] > 3 * max(struck[0, 0], struck[-1, -1])


def test_no_rectangle_where_none_fits(monkeypatch):
    monkeypatch.setattr(perturbation, "ERASED_AREA", (4.0, 5.0))
    images = faces()
    assert torch.equal(perturbed(images, "erasing"), images)


def test_memory_order_does_not_matter():
    images = faces(32, 24, 24)
    last = images.to(memory_format=torch.channels_last)
    one, other = (Perturbation(1.0, Preprocess())(given, np.random.default_rng(5)) for given in (images, last))
    assert torch.equal(one, other)
