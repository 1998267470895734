from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from facebench.augment import Augment
from facebench.augmentations import AugmentOptions

STEPS = ["crop", "low_resolution", "photometric", "grey", "blur", "erasing"]
LUMA = np.array([0.299, 0.587, 0.114])


def noise(count, height=24, width=24, seed=0):
    """Pictures without black and white, so that nothing is clipped and black is always new."""
    pixels = np.random.default_rng(seed).integers(60, 140, (count, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def augmented(pixels, seed=0, **chosen):
    torch.manual_seed(seed)
    return Augment(AugmentOptions(**chosen))(pixels).numpy()


def rectangle(mask):
    """Height and width of the only rectangle of True, which must be one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert mask.sum() == high * wide
    return high, wide, rows[0], columns[0]


def test_nothing_chosen_changes_nothing():
    pixels = noise(3)
    augment = Augment(AugmentOptions(flip=0.5))
    before = torch.get_rng_state()
    found = augment(pixels)
    assert not augment.active
    assert found.dtype == torch.float32 and torch.equal(found, pixels.float())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("chosen", "needed"), [({}, False), ({"crop": 0.5, "low_resolution": 1}, False), ({"grey": 0.1}, True)]
)
def test_kornia_is_imported_only_where_it_is_needed(chosen, needed):
    code = (
        "import sys, torch\nfrom facebench.augment import Augment\nfrom facebench.augmentations import AugmentOptions\n"
        f"augment = Augment(AugmentOptions(**{chosen!r}))\naugment(torch.zeros(2, 8, 8, 3, dtype=torch.uint8))\n"
        f"assert augment.active == {bool(chosen)}\nassert ('kornia' in sys.modules) == {needed}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("step", STEPS)
def test_a_step_strikes_its_share_of_the_faces_and_leaves_the_others_exactly_alone(step):
    pixels = noise(600)
    kept = pixels.clone()
    augment = Augment(AugmentOptions(**{step: 0.3}))
    assert augment.active
    torch.manual_seed(5)
    found = augment(pixels)
    floats = pixels.float()
    augment(floats)
    assert torch.equal(floats, pixels.float())
    assert torch.equal(pixels, kept), "the caller's pictures were changed"
    assert found.shape == pixels.shape and found.dtype == torch.float32
    changed = (found != pixels.float()).flatten(1).any(1).sum().item()
    assert abs(changed - 180) < 5 * (600 * 0.3 * 0.7) ** 0.5


@pytest.mark.parametrize("step", [*STEPS, "all"])
def test_equal_seeds_give_equal_pictures_and_each_face_its_own(step):
    chosen = dict.fromkeys(STEPS, 0.7) if step == "all" else {step: 1.0}
    pixels = noise(1).repeat(16, 1, 1, 1)
    first = augmented(pixels, seed=1, **chosen)
    assert np.array_equal(first, augmented(pixels, seed=1, **chosen))
    if step != "grey":  # which has nothing to draw
        assert not np.array_equal(first, augmented(pixels, seed=2, **chosen))
        assert len({face.tobytes() for face in first}) >= 14


@pytest.mark.parametrize("size", [(24, 24), (20, 28), (1, 1), (112, 96)])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_any_size_and_number_stays_in_range(size, count):
    pixels = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8)
    found = augmented(pixels, hue=0.1, **dict.fromkeys(STEPS, 1.0))
    assert found.shape == (count, *size, 3) and np.isfinite(found).all()
    assert found.size == 0 or (found.min() >= 0 and found.max() <= 255)


def test_a_crop_keeps_a_rectangle_in_its_place_on_black():
    pixels = noise(400, 40, 40)
    found = augmented(pixels, crop=1.0)
    parts, tops, lefts = [], [], []
    for before, after in zip(pixels.numpy(), found, strict=True):
        mask = after.any(2)
        high, wide, top, left = rectangle(mask)
        assert np.array_equal(after[mask], before[mask])
        whole = high == wide == 40
        # Sides are rounded to whole pixels.
        assert whole or (3 / 4) * (high - 0.5) / (high + 0.5) - 0.06 < wide / high < 4 / 3 + 0.1
        parts.append(high * wide / 1600)
        if high < 40:
            tops.append((top, 40 - top - high))
        if wide < 40:
            lefts.append((left, 40 - left - wide))
    assert 0.17 < min(parts) < 0.25 and max(parts) == 1
    # Uniform from 0.2 to 1, less the largest that fit seldom, and with a few whole faces instead.
    assert 0.5 < np.mean(parts) < 0.65
    for places in (np.array(tops), np.array(lefts)):
        assert (places.min(0) == 0).all() and (places.max(0) > 12).all()
        assert abs((places[:, 0] - places[:, 1]).mean()) < 2


def test_the_smallest_crop_is_the_users():
    pixels = noise(200, 40, 40)
    found = augmented(pixels, crop=1.0, crop_area=0.7)
    assert found.any(3).mean((1, 2)).min() > 0.66
    assert np.array_equal(augmented(pixels, crop=1.0, crop_area=1.0)[0], pixels[0].numpy())


def test_low_resolution_removes_detail_in_place():
    columns, rows = np.meshgrid(np.arange(48), np.arange(48))
    bump = 200 * np.exp(-((columns - 23.5) ** 2 + (rows - 23.5) ** 2) / 60)
    pixels = torch.from_numpy(np.repeat(bump[None, :, :, None].round().astype(np.uint8), 300, 0).repeat(3, 3))
    found = augmented(pixels, low_resolution=1.0)[..., 0].astype(np.float64)
    weight = found.sum((1, 2))
    for places in (columns, rows):
        centres = (found * places).sum((1, 2)) / weight
        assert abs(centres.mean() - 23.5) < 0.1, "faces move"
    assert np.abs(weight / pixels[0, ..., 0].sum().item() - 1).max() < 0.25
    edges = torch.randint(0, 2, (200, 30, 30, 3)).mul(255).byte()
    found = augmented(edges, low_resolution=1.0)
    assert found.min() == 0 and found.max() == 255, "an interpolation overshoots"
    detail = np.abs(np.diff(augmented(noise(300, 48, 48), low_resolution=1.0), axis=2)).mean((1, 2, 3))
    assert detail.mean() < 0.7 * np.abs(np.diff(noise(300, 48, 48).numpy().astype(float), axis=2)).mean()


def test_the_lowest_resolution_is_the_users():
    pixels = noise(40, 48, 48)
    one = augmented(pixels, low_resolution=1.0, low_resolution_side=0.01)
    fine = augmented(pixels, low_resolution=1.0, low_resolution_side=0.99)
    few = [len(np.unique(face[:, :, 0].round())) for face in one]
    assert min(few) == 1, "the smallest face is one pixel"
    error = np.abs(fine - pixels.numpy()).mean((1, 2, 3))
    assert error.max() < np.abs(one - pixels.numpy()).mean((1, 2, 3)).mean()


OFF = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def factors(before, after, centre):
    """The f of ``after = centre + f (before - centre)`` for each face, which must hold for all of its pixels."""
    away = (before - centre).reshape(len(before), -1)
    moved = (after - centre).reshape(len(before), -1)
    found = (away * moved).sum(1) / (away * away).sum(1)
    np.testing.assert_allclose(moved, found[:, None] * away, atol=0.02)
    return found


def test_brightness_contrast_and_saturation_are_what_their_help_says():
    pixels = noise(200)
    before = pixels.numpy().astype(np.float64)
    luma = before @ LUMA
    centres = {
        "brightness": np.zeros((200, 1, 1, 1)),
        "contrast": luma.mean((1, 2))[:, None, None, None],
        "saturation": luma[..., None],
    }
    for name, centre in centres.items():
        after = augmented(pixels, photometric=1.0, **(OFF | {name: 0.5})).astype(np.float64)
        found = factors(before, after, centre)
        assert 0.5 <= found.min() < 0.55 and 1.45 < found.max() <= 1.5
        weaker = factors(before, augmented(pixels, photometric=1.0, **(OFF | {name: 0.1})).astype(np.float64), centre)
        assert 0.9 - 1e-6 <= weaker.min() and weaker.max() <= 1.1 + 1e-6


def test_hue_turns_colours_and_leaves_grey_alone():
    pixels = noise(50)
    grey = pixels[..., :1].expand(-1, -1, -1, 3)
    np.testing.assert_allclose(augmented(grey, photometric=1.0, hue=0.2, **OFF), grey.numpy(), atol=0.01)
    found = augmented(pixels, photometric=1.0, hue=0.2, **OFF)
    assert np.abs(found - pixels.numpy()).mean() > 2
    np.testing.assert_allclose(found.max(3), pixels.numpy().max(3), atol=0.01)  # value and saturation stay
    np.testing.assert_allclose(found.min(3), pixels.numpy().min(3), atol=0.01)


def test_photometric_without_strength_does_nothing():
    np.testing.assert_allclose(augmented(noise(4), photometric=1.0, **OFF), noise(4).numpy(), atol=1e-3)


def test_grey_is_the_luma():
    found = augmented(noise(4), grey=1.0)
    expected = noise(4).numpy() @ LUMA
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], expected, atol=0.01)


def test_blur_smooths_and_is_bounded_by_its_sigma():
    flat = torch.full((2, 9, 9, 3), 77, dtype=torch.uint8)
    np.testing.assert_allclose(augmented(flat, blur=1.0, blur_sigma=6.0), 77, atol=0.01)
    point = torch.zeros((200, 41, 41, 3), dtype=torch.uint8)
    point[:, 20, 20] = 255
    found = augmented(point, blur=1.0, blur_sigma=3.0)[..., 1].astype(np.float64)
    np.testing.assert_allclose(found.sum((1, 2)), 255, rtol=1e-4)
    spread = (found * (np.arange(41) - 20) ** 2).sum((1, 2)) / 255
    # A Gaussian cut at three sigma or more has at most a few per cent less variance.
    assert spread.max() <= 9 and spread.max() > 8 and spread.min() < 0.5


def test_erasing_blackens_one_rectangle_and_touches_nothing_else():
    pixels = noise(300, 40, 40)
    found = augmented(pixels, erasing=1.0, erasing_area=0.2)
    parts = []
    for before, after in zip(pixels.numpy(), found, strict=True):
        mask = ~after.any(2)
        high, wide, _, _ = rectangle(mask)
        np.testing.assert_allclose(after[~mask], before[~mask], atol=1e-3)
        parts.append(high * wide / 1600)
    assert 0.01 < min(parts) < 0.05 and 0.17 < max(parts) < 0.22
