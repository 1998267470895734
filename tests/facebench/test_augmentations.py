from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from facebench.augmentations import AugmentOptions
from facebench.config import build_options
from facebench.declare import described, option, options, undecided, unusable
from facebench.errors import ConfigError

PROBABILITIES = ["flip", "crop", "low_resolution", "photometric", "grey", "blur", "erasing"]


def test_only_mirroring_happens_unless_chosen():
    chosen = AugmentOptions()
    assert {name: getattr(chosen, name) for name in PROBABILITIES} == {**dict.fromkeys(PROBABILITIES, 0.0), "flip": 0.5}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_are_probabilities(name):
    for value in (0, 0.5, 1):
        assert getattr(build_options(AugmentOptions, {name: value}, "trainer"), name) == value
    for value in (-0.01, 1.01):
        with pytest.raises(ConfigError, match=rf"trainer\.{name}"):
            build_options(AugmentOptions, {name: value}, "trainer")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_area", 0),
        ("crop_area", 1.1),
        ("low_resolution_side", 0),
        ("low_resolution_side", 1.1),
        ("brightness", 1.1),
        ("contrast", -0.1),
        ("saturation", 2),
        ("hue", 0.6),
        ("blur_sigma", 0.1),
        ("blur_sigma", 11),
        ("erasing_area", 0.02),
        ("erasing_area", 1.1),
    ],
)
def test_strengths_have_limits(name, value):
    with pytest.raises(ConfigError, match=rf"trainer\.{name}"):
        build_options(AugmentOptions, {name: value}, "trainer")


def test_every_option_is_explained_and_decides():
    assert unusable(AugmentOptions) == ""
    assert all(text for _, _, _, text in described(AugmentOptions))
    assert undecided(AugmentOptions) == set()


def test_a_trainer_inherits_them():
    @options
    class Training(AugmentOptions):
        epochs: int = option(default=20, help="passes", ge=0)

    chosen = build_options(Training, {"crop": 0.2, "epochs": 3}, "trainer")
    assert isinstance(chosen, AugmentOptions)
    assert dataclasses.asdict(chosen) == {**dataclasses.asdict(AugmentOptions(crop=0.2)), "epochs": 3}


def test_options_do_not_wait_for_torch():
    code = "import sys, facebench.augmentations\nassert not {'torch', 'kornia', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
