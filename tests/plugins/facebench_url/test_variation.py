"""Variation augmentation: how often, how strongly, and that the marks say what was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from facebench import ConfigError, Preprocess
from facebench.demo import Nuisance, render
from facebench_url import variation
from facebench_url.variation import BLOCKS, DIVISORS, Variation, sigma_of

LOW, HIDDEN, TURNED = range(3)
ODD = Preprocess(color="bgr", mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0))


@dataclass(frozen=True)
class Options:
    variation: float = 1.0
    blur_kernel_least: int = 3
    blur_kernel_most: int = 11
    resample: float = 0.0
    blocks_least: int = 1
    blocks_most: int = 10
    pose: str = "pose_2d_approx"
    yaw_least: float = 40.0
    yaw_most: float = 60.0


class Only:
    """A generator that lets one variation strike every face, and draws the rest as usual."""

    def __init__(self, column, seed=0):
        self.column, self.usual, self.first = column, np.random.default_rng(seed), True

    def random(self, size):
        if not self.first:
            return self.usual.random(size)
        self.first = False
        found = np.ones(size)
        found[self.column] = -1
        return found

    def __getattr__(self, name):
        return getattr(self.usual, name)


class Pictures:
    """Profiles of every second face of a training set."""

    def __init__(self, count, size=112):
        self.available = np.arange(count) % 2 == 0
        self.size = size

    def images(self, rows):
        assert self.available[rows].all()
        found = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        found[...] = rows[:, None, None, None]
        found[..., 0] = 200
        return found


def faces(count=12, height=28, width=21, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=draw, dtype=dtype) * 2 - 1


def varied(images, column, *, seed=0, preprocess=None, options=None, **more):
    vary = Variation(options or Options(), preprocess or Preprocess(), **more)
    return vary(images, Only(column, seed), np.arange(len(images)))


def demo(count=4):
    pixels = render(range(count), [0] * count, nuisance=Nuisance())
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_each_strikes_independently_with_its_probability():
    count, share = 4000, 0.3
    images = faces(count, 7, 7, dtype=torch.float32)
    vary = Variation(Options(variation=share), Preprocess())
    found, marks = vary(images, np.random.default_rng(1), np.arange(count))
    assert marks.shape == (count, 3) and marks.dtype == torch.float32 and set(marks.unique().tolist()) == {0, 1}
    # Four standard deviations of a binomial share, of one and of two at once.
    for chance, shares in (
        (share, marks.mean(0)),
        (share**2, (marks * marks.roll(1, dims=1)).mean(0)),
        (share**3, marks.prod(1).mean(0, keepdim=True)),
    ):
        assert (shares - chance).abs().max() < 4 * np.sqrt(chance * (1 - chance) / count)
    assert torch.equal((found != images).flatten(1).any(1), marks.any(1))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all(share):
    images = faces()
    found, marks = Variation(Options(variation=share), Preprocess())(images, np.random.default_rng(2), np.arange(12))
    assert (marks == share).all()
    assert (found != images).flatten(1).any(1).double().mean() == share


def test_the_generator_decides_everything():
    vary, images = Variation(Options(variation=0.5, resample=0.5), Preprocess()), faces(64)
    one, same, other = (vary(images, np.random.default_rng(seed), np.arange(64)) for seed in (3, 3, 4))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1]) and not torch.equal(one[0], other[0])


@pytest.mark.parametrize("column", [LOW, HIDDEN, TURNED])
def test_the_given_faces_are_left_alone(column):
    images = faces()
    kept = images.clone()
    found, marks = varied(images, column)
    assert torch.equal(images, kept) and found.data_ptr() != images.data_ptr()
    assert found.dtype == images.dtype and found.shape == images.shape
    assert marks.tolist() == [[float(one == column) for one in range(3)]] * 12


def test_memory_order_is_kept_and_does_not_matter():
    images = faces(32)
    last = images.to(memory_format=torch.channels_last)
    vary = Variation(Options(variation=0.6), Preprocess())
    one, other = (vary(given, np.random.default_rng(5), np.arange(32))[0] for given in (images, last))
    assert torch.equal(one, other)
    assert one.is_contiguous() and other.is_contiguous(memory_format=torch.channels_last)


def test_dtypes_are_kept():
    images = faces(8, 112, 112)
    exact = Variation(Options(), Preprocess())(images, np.random.default_rng(0), np.arange(8))[0]
    for dtype, error in ((torch.float32, 1e-2), (torch.bfloat16, 3e-2)):
        found = Variation(Options(), Preprocess())(images.to(dtype), np.random.default_rng(0), np.arange(8))[0]
        assert found.dtype == dtype
        assert (found.double() - exact).abs().mean() < error


def test_windows_are_odd_and_their_width_is_opencvs():
    assert [round(sigma_of(window), 6) for window in (3, 5, 7, 9, 11)] == [0.8, 1.1, 1.4, 1.7, 2.0]
    impulse = torch.zeros(300, 3, 31, 31, dtype=torch.float64)
    impulse[:, :, 15, 15] = 1
    found = varied(impulse, LOW)[0]
    windows = (found[:, 0, 15] > 0).sum(1)
    assert torch.equal(windows, (found[:, 2, :, 15] > 0).sum(1))
    assert set(windows.tolist()) == {3, 5, 7, 9, 11}
    assert windows.double().mean().item() == pytest.approx(7, abs=4 * np.sqrt(8 / 300))
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(300, 3, dtype=torch.float64))
    ratio = found[:, 0, 15, 16] / found[:, 0, 15, 15]
    np.testing.assert_allclose(
        np.sqrt(-0.5 / np.log(np.asarray(ratio))), [sigma_of(window) for window in windows.tolist()]
    )
    images = faces(300, 31, 31)
    blurred = varied(images, LOW)[0]
    for face in range(4):
        window = windows[face].item()
        taps = np.exp(-0.5 * ((np.arange(window) - window // 2) / sigma_of(window)) ** 2)
        expected = np.asarray(images[face])
        for axis in (1, 2):
            expected = correlate1d(expected, taps / taps.sum(), axis=axis, mode="mirror")
        np.testing.assert_allclose(blurred[face], expected, atol=1e-12)


def test_resampled_faces_are_shrunk_and_enlarged():
    images = faces(60, 24, 36)
    found = varied(images, LOW, options=Options(resample=1.0))[0]
    expected = [
        torch.nn.functional.interpolate(
            torch.nn.functional.interpolate(
                images, size=(round(24 / by), round(36 / by)), mode="bilinear", antialias=True
            ),
            size=(24, 36),
            mode="bilinear",
        )
        for by in DIVISORS
    ]
    fits = torch.stack([(found - one).abs().amax((1, 2, 3)) < 1e-9 for one in expected])
    assert (fits.sum(0) == 1).all() and fits.any(1).all()
    some = varied(images, LOW, options=Options(resample=0.5), seed=3)[0]
    resampled = torch.stack([(some - one).abs().amax((1, 2, 3)) < 1e-9 for one in expected]).any(0)
    assert 0.2 < resampled.double().mean() < 0.8


@pytest.mark.parametrize("preprocess", [Preprocess(), ODD])
def test_some_blocks_become_black(preprocess):
    images = faces(400, 28, 21)
    found = varied(images, HIDDEN, preprocess=preprocess)[0]
    gone = (found != images).any(1)
    black = (0 - torch.tensor(preprocess.mean)) / torch.tensor(preprocess.std)
    struck = gone[:, None].expand_as(found)
    assert torch.equal(found[struck], black.double().view(3, 1, 1).expand_as(found)[struck])
    assert torch.equal(found[~struck], images[~struck])
    blocks = gone.view(400, BLOCKS, 4, BLOCKS, 3).double().mean((2, 4))
    assert set(blocks.unique().tolist()) == {0, 1}
    counts = blocks.sum((1, 2))
    assert set(counts.tolist()) == set(range(1, 11))
    assert counts.mean().item() == pytest.approx(5.5, abs=4 * np.sqrt(8.25 / 400))
    assert gone.double().mean((1, 2)).min() >= 1 / 49 - 1e-12 and gone.double().mean((1, 2)).max() <= 10 / 49 + 1e-12
    share = 5.5 / 49
    assert (blocks.mean(0) - share).abs().max() < 5 * np.sqrt(share * (1 - share) / 400)


def test_sides_that_seven_does_not_divide():
    found = varied(faces(200, 30, 25), HIDDEN)[0]
    gone = (found == -1).all(1).double().mean((1, 2))
    assert 3 * 4 / 750 - 1e-9 <= gone.min() and gone.max() <= 10 * 5 * 4 / 750


def test_heads_turn_by_angles_of_the_range_to_both_sides(monkeypatch):
    seen = []
    monkeypatch.setattr(variation, "turned", lambda given, yaw: seen.append(yaw) or given)
    varied(faces(400, 7, 7), TURNED)
    degrees = seen[0].rad2deg()
    assert 40 <= degrees.abs().min() < 41 and 59 < degrees.abs().max() <= 60
    assert (degrees > 0).double().mean().item() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 400))


def test_bgr_networks_get_the_same_faces():
    images = demo()
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (ODD.mean, ODD.std))
    given = ((images + 1) * 127.5).flip(1).sub(mean).div(std)
    for column in (LOW, HIDDEN, TURNED):
        expected = (varied(images, column)[0] + 1) * 127.5
        found = (varied(given, column, preprocess=ODD)[0] * std + mean).flip(1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("preprocess", [Preprocess(), ODD])
def test_profiles_stand_in_for_the_faces_that_have_one(preprocess):
    images, indices = faces(6, 112, 112, dtype=torch.float32), np.array([4, 1, 2, 3, 4, 9])
    vary = Variation(Options(pose="profiles"), preprocess, profiles=Pictures(10))
    found, marks = vary(images, Only(TURNED), indices)
    assert marks[:, TURNED].tolist() == [1, 0, 1, 0, 1, 0] and not marks[:, :TURNED].any()
    for face, index in enumerate(indices.tolist()):
        rgb = (200, index, index)
        colour = torch.tensor(rgb[::-1] if preprocess.color == "bgr" else rgb)
        shown = ((colour - torch.tensor(preprocess.mean)) / torch.tensor(preprocess.std)).view(3, 1, 1)
        expected = images[face] if index % 2 else shown.expand(3, 112, 112)
        torch.testing.assert_close(found[face], expected)


def test_profiles_are_fitted_to_the_network():
    found, _ = varied(faces(2, 56, 48)[:1], TURNED, options=Options(pose="profiles"), profiles=Pictures(2))
    assert found.shape == (1, 3, 56, 48) and len(found.flatten(2).unique()) == 2


def test_pose_can_be_off():
    images = faces()
    found, marks = varied(images, TURNED, options=Options(pose="off"))
    assert torch.equal(found, images) and not marks.any()


def test_mined_labels_follow_the_marks():
    mined = np.array([[0.0, 1.0], [np.nan, 0.25], [0.5, np.nan]], dtype=np.float32)
    vary = Variation(Options(variation=0.0), Preprocess(), mined=mined)
    _, marks = vary(faces(4), np.random.default_rng(0), np.array([2, 1, 0, 1]))
    assert marks.shape == (4, 5) and marks.dtype == torch.float32 and not marks[:, :3].any()
    np.testing.assert_array_equal(marks[:, 3:], mined[[2, 1, 0, 1]])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options(blur_kernel_least=4), "windows are odd"),
        (Options(blur_kernel_most=1), "windows are odd"),
        (Options(blocks_least=11), "blocks"),
        (Options(blocks_most=50), "49 blocks"),
        (Options(yaw_least=61.0), "less than 90 degrees"),
        (Options(yaw_most=90.0), "less than 90 degrees"),
        (Options(pose="profiles"), "needs a table"),
    ],
)
def test_options_that_mean_nothing(options, told):
    with pytest.raises(ConfigError, match=told):
        Variation(options, Preprocess())
