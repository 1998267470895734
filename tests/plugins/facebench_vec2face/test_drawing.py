"""The options of drawing: the paper's defaults, the rescaled threshold, and what is refused."""

from __future__ import annotations

import math

import pytest

from facebench import ConfigError
from facebench.declare import described, unusable
from facebench_vec2face import drawing
from facebench_vec2face.drawing import DrawingOptions


def test_the_defaults_are_those_of_the_release():
    chosen = DrawingOptions()
    assert chosen.sigmas == (0.3, 0.5, 0.7) and chosen.shares == (0.4, 0.4, 0.2)
    assert (chosen.mask_min, chosen.mask_max, chosen.mask_mean, chosen.mask_std) == (0.1, 1.0, 0.15, 0.25)
    assert (chosen.identity_weight, chosen.quality_weight, chosen.pose_weight) == (100, 1, 1)
    assert (chosen.identity_limit, chosen.quality_limit, chosen.pose_limit) == (0.3, 1, 5)
    assert chosen.attrop == "off" and chosen.attrop_rate == 0.1 and chosen.hinge == 0


def test_every_option_explains_itself():
    assert unusable(DrawingOptions) == ""
    assert all(text for _, _, _, text in described(DrawingOptions))


@pytest.mark.parametrize(("size", "stated"), [(512, 0.30), (256, 0.42), (128, 0.60), (64, 0.85)])
def test_the_threshold_follows_the_size(size, stated):
    found = DrawingOptions().threshold_for(size)
    assert found == pytest.approx(stated, abs=0.005)
    assert found * math.sqrt(size) == pytest.approx(6.8, abs=0.02)


def test_the_threshold_stays_below_1():
    assert DrawingOptions().threshold_for(16) == 0.95
    assert DrawingOptions(threshold=0.98).threshold_for(16) == 0.98
    assert DrawingOptions(threshold=0.98).threshold_for(2048) == 0.49


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sigmas": (0.3,)}, "go together"),
        ({"sigmas": (0.3, -0.1, 0.2)}, "between 0 and 10"),
        ({"sigmas": (0.3, 11.0, 0.2)}, "between 0 and 10"),
        ({"shares": (0.4, 0.4, 0.1)}, "sum to 1"),
        ({"shares": (0.7, 0.5, -0.2)}, "0 or more"),
        ({"mask_min": 0.6, "mask_max": 0.5}, "mask_min is above"),
        ({"hinge": 0.5}, "generation.hinge"),
        ({"attrop": "identities", "quality_estimator": "off"}, "steers quality"),
        ({"attrop": "images", "quality_estimator": "off"}, "quality and pose"),
        ({"quality_checkpoint": "there", "quality_estimator": "toy_brightness"}, "feature_norm"),
    ],
)
def test_what_cannot_be_meant(wrong, said):
    with pytest.raises(ConfigError, match=said):
        DrawingOptions(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"pose": 91},
        {"mask_std": 0},
        {"attrop_steps": -1},
        {"mask_ratio": 1.1},
        {"attrop": "some"},
        {"pose_estimator": "a.b.c"},
        {"sigmas": (), "shares": ()},
        {"shrinkage": 2},
    ],
    ids=str,
)
def test_ranges(wrong):
    with pytest.raises(ValueError):
        DrawingOptions(**wrong)


def test_steering_one_attribute_needs_one_estimator():
    assert DrawingOptions(attrop="images", quality_estimator="off", pose_estimator="toy_yaw").attrop == "images"
    assert DrawingOptions(attrop="images").quality_estimator == "feature_norm"
    assert DrawingOptions(hinge=0.3).hinge == 0.3


def test_streams_differ():
    streams = [drawing.CANDIDATES, drawing.ORDER, drawing.NOISE, drawing.MASKS, drawing.STEERING]
    assert len(set(streams)) == len(streams)
