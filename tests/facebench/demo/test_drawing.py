from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import facebench.demo
from facebench.demo import (
    IDENTITY_PARAMETERS,
    NUISANCE_PARAMETERS,
    Nuisance,
    draw,
    drawing,
    identity_parameters,
    nuisance_parameters,
    pose,
    render,
)
from facebench.demo.canvas import WHOLE, Traits
from facebench.demo.nuisance import NUISANCE_TABLE
from facebench.demo.parameters import IDENTITY_TABLE
from facebench.errors import ConfigError

PEOPLE = np.arange(12)
FIRST = np.zeros_like(PEOPLE)
EXTREME = Nuisance(pose=3.0, turn=55.0, expression=3.0, misalignment=3.0, age=1.0, occlusion=0.5, glasses=0.5)
RESOLVED = {"turn-side", "occlusion", "low-resolution"}  # used up before drawing


PINNED = "4ef98b466bbdf757bcb6feba8287de36bb6609b6c10747184a48521208b65b99"
"""SHA-256 of the pictures that `pinned` draws; whoever changes a picture changes `DEMO_VERSION` with it."""


def pinned() -> np.ndarray:
    return render(np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10), seed=1, nuisance=Nuisance.hard())


def test_pictures_are_the_same_on_every_machine():
    pictures = pinned()
    assert pictures.shape == (40, 112, 112, 3)
    assert pictures.dtype == np.uint8
    assert hashlib.sha256(pictures.tobytes()).hexdigest() == PINNED


def test_pictures_do_not_depend_on_vector_instructions():
    program = (
        "import hashlib, numpy as np; from facebench.demo import Nuisance, render; "
        "print(hashlib.sha256(render(np.repeat(np.arange(10), 4), np.tile(np.arange(4), 10), seed=1, "
        "nuisance=Nuisance.hard()).tobytes()).hexdigest())"
    )
    features = "X86_V3 X86_V4 AVX2 FMA3 AVX512F ASIMDHP ASIMDDP ASIMDFHM SVE"
    plain = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": features,
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(facebench.__path__[0]).parent), os.environ.get("PYTHONPATH")])
        ),
    }
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=plain, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == PINNED


def test_only_exactly_rounded_arithmetic_is_used():
    inexact = {"sin", "cos", "tan", "exp", "log", "power", "arctan2", "hypot", "dot", "matmul", "einsum", "sum", "mean"}
    inexact |= {"tensordot", "inner", "convolve", "interp", "cbrt", "exp2", "log2", "tanh", "linalg", "fft", "random"}
    for path in Path(facebench.demo.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
                assert node.attr not in inexact, f"{path.name}:{node.lineno} uses np.{node.attr}"
            assert not isinstance(node, ast.MatMult), path.name


def test_a_picture_is_the_same_in_any_company(monkeypatch):
    rng = np.random.default_rng(0)
    identities, images = rng.integers(0, 50, 37), rng.integers(0, 9, 37)
    together = render(identities, images, nuisance=Nuisance.hard())
    for index in (0, 5, 17, 36):
        alone = render(identities[[index]], images[[index]], nuisance=Nuisance.hard())
        assert np.array_equal(alone[0], together[index])
    order = rng.permutation(37)
    assert np.array_equal(render(identities[order], images[order], nuisance=Nuisance.hard()), together[order])
    monkeypatch.setattr(drawing, "BLOCK", 7)
    assert np.array_equal(render(identities, images, nuisance=Nuisance.hard()), together)


@pytest.mark.parametrize("nuisance", [Nuisance(), EXTREME], ids=["normal", "extreme"])
def test_no_feature_is_cut_off_by_its_window(monkeypatch, nuisance):
    identities, images = np.arange(64) // 2, np.arange(64) % 2
    with_windows = render(identities, images, nuisance=nuisance)
    monkeypatch.setattr(pose, "_windows", lambda column, row: dict.fromkeys(["whole", *pose.BOXES], WHOLE))
    assert np.array_equal(render(identities, images, nuisance=nuisance), with_windows)


@pytest.mark.parametrize("index", range(len(IDENTITY_PARAMETERS)), ids=IDENTITY_PARAMETERS)
def test_every_identity_parameter_can_be_seen(index):
    parameter = IDENTITY_TABLE[index]
    people, even = identity_parameters(PEOPLE), nuisance_parameters(PEOPLE, FIRST, nuisance=Nuisance.none())
    pictures = []
    for value in (parameter.low, parameter.high):
        people[:, index] = value
        pictures.append(draw(people, even).astype(int))
    assert np.abs(pictures[1] - pictures[0]).max() >= 12


@pytest.mark.parametrize("index", range(len(NUISANCE_PARAMETERS)), ids=NUISANCE_PARAMETERS)
def test_every_nuisance_parameter_can_be_seen(index):
    parameter = NUISANCE_TABLE[index]
    if parameter.name in RESOLVED:
        pytest.skip("decides another parameter and is not drawn itself")
    everything = Nuisance(occlusion=1.0, glasses=1.0, low_resolution=0.5)
    people, values = identity_parameters(PEOPLE), nuisance_parameters(PEOPLE, FIRST, nuisance=everything)
    pictures = []
    for value in (parameter.low, parameter.high):
        values[:, index] = 20 + 60 * value if parameter.name == "coarseness" else value
        pictures.append(draw(people, values).astype(int))
    assert np.abs(pictures[1] - pictures[0]).max() >= 3


def test_faces_lie_where_an_aligner_puts_them():
    people, even = (
        identity_parameters(np.arange(40)),
        nuisance_parameters(np.arange(40), np.zeros(40, int), nuisance=Nuisance.none()),
    )
    traits = Traits(people, even)
    view = pose.look(traits)
    spacing, mouth, zero = traits["eye-spacing"], traits["mouth-height"], np.zeros((40, 1, 1), np.float32)
    places = [
        (-spacing, zero),
        (spacing, zero),
        (zero, traits["nose-length"]),
        (-traits["mouth-width"], mouth),
        (traits["mouth-width"], mouth),
    ]
    for (x, y), (column, row) in zip(places, pose.LANDMARKS, strict=True):
        seen_column, seen_row = view.lens.pixels(x, y)
        assert np.abs(seen_column - column).max() < 5
        assert np.abs(seen_row - row).max() < 5
        assert abs(float(seen_column.mean()) - column) < 1.5
        assert abs(float(seen_row.mean()) - row) < 1.5


@pytest.mark.parametrize("yaw", [-0.9, -0.3, 0.0, 0.4, 1.0])
def test_pixels_and_places_are_inverse(yaw):
    values = nuisance_parameters(PEOPLE, FIRST)
    values[:, NUISANCE_PARAMETERS.index("yaw")] = yaw
    view = pose.look(Traits(identity_parameters(PEOPLE), values))
    column, row = view.lens.pixels(view.x, view.y)
    steps = np.arange(112)
    assert np.abs(column[:, ::2, ::2] - steps[::2]).max() < 0.02
    assert np.abs(row[:, ::2, ::2] - steps[::2, None]).max() < 0.02


def test_the_polynomial_sine_is_the_sine():
    angle = np.linspace(-1, 1, 101, dtype=np.float32)
    assert np.abs(pose.sine(angle) - np.sin(angle.astype(float))).max() < 4e-6


def test_a_turn_squeezes_the_far_half():
    people, values = identity_parameters([0]), nuisance_parameters([0], [0], nuisance=Nuisance.none())
    values[:, NUISANCE_PARAMETERS.index("yaw")] = 0.5
    traits = Traits(people, values)
    lens = pose.look(traits).lens
    left, middle, right = (
        float(lens.pixels(np.full((1, 1, 1), x, np.float32), np.zeros((1, 1, 1), np.float32))[0][0, 0, 0])
        for x in (-30, 0, 30)
    )
    assert right - middle < 0.75 * (middle - left)


def test_low_resolution_removes_detail():
    fine, coarse = (
        render(PEOPLE, FIRST, nuisance=Nuisance(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, p, (14, 14))).astype(float)
        for p in (0.0, 1.0)
    )
    detail = [np.abs(np.diff(picture, axis=2)).mean() for picture in (fine, coarse)]
    assert detail[1] < 0.7 * detail[0]
    assert np.abs(fine.mean(axis=(1, 2)) - coarse.mean(axis=(1, 2))).max() < 3


def test_wrong_tables_are_refused():
    with pytest.raises(ConfigError, match="parameters, not"):
        draw(identity_parameters([1]), nuisance_parameters([1, 2], [0, 0]))
