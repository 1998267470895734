from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from facebench import ConfigError
from facebench_confidence.ladders import Rung, blurred, damaged, occluded, order_of, rungs_of
from facebench_confidence.options import ConfidenceOptions

BLUR = (1.0, 2.0, 4.5, 8.0)
OCCLUSION = (4, 8, 20, 49)
FROZEN = [3, 44, 1, 46, 40, 16]


def hidden(image):
    return (image == 0).all(axis=2)


def roughness(image):
    return float(np.abs(np.diff(image.astype(np.float64), axis=1)).mean())


def test_levels_are_spelt_as_they_are():
    names = [rung.name for rung in rungs_of((1, 4.5), (8,))]
    assert names == ["clean", "blur-1", "blur-4.5", "occlusion-8"]


def test_the_foot_is_the_picture_itself(kit):
    image = kit.textured(1)[0]
    assert damaged(image, Rung("clean", 0.0), key="a", seed=0) is image


def test_stronger_blur_leaves_less(kit):
    image = kit.textured(1)[0]
    left = [roughness(image), *(roughness(blurred(image, sigma)) for sigma in BLUR)]
    assert left == sorted(left, reverse=True)
    assert len(set(left)) == len(left)


def test_blur_is_the_gaussian_it_says():
    """A bright dot on black becomes the bell curve, by its own formula."""
    image = np.zeros((111, 111, 3), dtype=np.uint8)
    image[45:66, 45:66] = 255
    sigma = 3.0
    own = sigma * 111 / 112
    steps = np.arange(-15, 16)
    bell = np.exp(-(steps**2) / (2 * own**2))
    line = np.convolve((np.abs(np.arange(111) - 55) <= 10).astype(float), bell / bell.sum(), mode="same")
    wanted = 255 * np.outer(line, line)
    assert np.abs(blurred(image, sigma)[:, :, 1] - wanted).max() <= 1.0


def test_blur_grows_with_the_picture(kit):
    small = kit.textured(1)[0]
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(blurred(large, 4.0)[::2, ::2].astype(int) - blurred(small, 4.0)).mean() < 1.0


def test_blur_keeps_flat_pictures_and_edges():
    flat = np.full((50, 40, 3), 200, dtype=np.uint8)
    assert np.array_equal(blurred(flat, 8.0), flat)


@pytest.mark.parametrize("size", [(112, 112), (100, 90), (224, 224)])
def test_occlusion_hides_so_many_of_49_blocks(kit, size):
    image = kit.textured(1, height=size[0], width=size[1])[0]
    order = order_of("a", 0)
    for count in (*OCCLUSION, 1):
        shown = occluded(image, order[:count])
        share = hidden(shown).mean()
        assert share == pytest.approx(count / 49, abs=0.01)
        assert np.array_equal(shown[~hidden(shown)], image[~hidden(shown)])
    one = hidden(occluded(kit.textured(1)[0], np.array([8])))
    assert np.array_equal(np.argwhere(one)[[0, -1]], [[16, 16], [31, 31]])


def test_stronger_occlusion_hides_all_that_weaker_does(kit):
    image = kit.textured(1)[0]
    shown = [damaged(image, Rung("occlusion", level), key="a", seed=0) for level in OCCLUSION]
    for weak, strong in pairwise(shown):
        assert hidden(strong)[hidden(weak)].all()
        assert hidden(strong).sum() > hidden(weak).sum()
    assert hidden(shown[-1]).all()


def test_blocks_depend_on_face_and_seed_alone():
    assert np.array_equal(order_of("a", 0), order_of("a", 0))
    assert sorted(order_of("a", 0)) == list(range(49))
    assert not np.array_equal(order_of("a", 0), order_of("b", 0))
    assert not np.array_equal(order_of("a", 0), order_of("a", 1))
    # Frozen: other blocks would be another data set under the same fingerprint.
    assert order_of("6000000/000", 0)[:6].tolist() == FROZEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"blur": (0.0, 1.0)},
        {"blur": (2.0, 1.0)},
        {"blur": (1.0, 33.0)},
        {"blur": (1.0, 1.0000001)},
        {"occlusion": (4, 4)},
        {"occlusion": (50,)},
        {"occlusion": (0, 3)},
    ],
)
def test_ladders_that_do_not_rise_are_refused(wrong):
    with pytest.raises(ConfigError, match="must hold rising levels above 0 and up to"):
        ConfidenceOptions(**wrong)
