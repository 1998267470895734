"""Several processes train the network that one process trains."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import run_processes
from safetensors.torch import load_file
from shared_training import train

from facebench.resume import load_classes

SCRIPT = Path(__file__).parents[2] / "helpers" / "shared_training.py"

SAMPLED = {"sample_rate": 0.5}
CASES = {
    "exact": {"precision": "float64"},
    "single": {"learning_rate": 0.002},
    "sampled": {"precision": "float64", "loss_options": SAMPLED},
    "sampled-adamw": {"precision": "float64", "loss_options": SAMPLED, "optimizer": "adamw", "learning_rate": 0.002},
    "sampled-all-move": {"precision": "float64", "loss_options": SAMPLED | {"update_unsampled": True}},
    "adamw": {"precision": "float64", "optimizer": "adamw", "learning_rate": 0.002},
    "accumulated": {"precision": "float64", "accumulate": 2},
    "sface": {"precision": "float64", "loss": "sface"},
    "sface-quality": {"precision": "float64", "loss": "sface", "loss_options": {"quality": "norm"}},
    "sface-sampled": {"precision": "float64", "loss": "sface", "loss_options": SAMPLED},
    "subcentres": {"precision": "float64", "loss": "subcentre-arcface", "loss_options": SAMPLED},
    # Structure is aligned within groups of faces, which must not be torn by the split.
    "topofr": {"precision": "float64", "loss": "topofr", "loss_options": {"group_size": 6}, "learning_rate": 0.01},
    "url": {"precision": "float64", "loss": "url", "loss_options": {"blocks": 4, "discriminator_rate": 0.01}},
    "url-sampled": {"precision": "float64", "loss": "url", "loss_options": {"blocks": 4, **SAMPLED}},
    "running-mean": {"precision": "float64", "ema": 0.9},
}
PARTS = {"parts": {"precision": "float64", "loss_options": SAMPLED}}


def outcome(folder):
    """Everything a training leaves: weights, centres, values of each step."""
    saved = load_classes(folder)
    classes = {name: saved.read(f"loss/{name}").numpy() for name in saved.names("loss")}
    weights = {name: value.numpy() for name, value in load_file(folder / "weights.safetensors").items()}
    with (folder / "steps.csv").open() as file:
        losses = np.array([float(row["loss"]) for row in csv.DictReader(file)])
    return {**weights, **classes, "loss of each step": losses}


def assert_equal_outcomes(one, two, tolerance):
    left, right = outcome(one), outcome(two)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_allclose(right[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All cases, trained in two processes; and one training that was interrupted there."""
    folder = tmp_path_factory.mktemp("two")
    parts = {name: {**case, "fuse": 25, "save_seconds": 0} for name, case in PARTS.items()}
    run_processes(SCRIPT, 2, folder, json.dumps(CASES | parts), timeout=400)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_trains(trained, tmp_path, name):
    train(tmp_path / name, **CASES[name])
    assert len(outcome(tmp_path / name)["loss of each step"]) == 50
    # Networks are stored in float32, whatever they were trained in.
    assert_equal_outcomes(tmp_path / name, trained / name, 1e-4 if name == "single" else 1e-6)
    left, right = (outcome(folder / name) for folder in (tmp_path, trained))
    tolerance = 1e-4 if name == "single" else 1e-9
    for what in set(left) - set(load_file(tmp_path / name / "weights.safetensors")):
        np.testing.assert_allclose(right[what], left[what], rtol=tolerance, atol=tolerance, err_msg=what)


@pytest.mark.slow
def test_what_two_processes_began_one_or_three_finish(trained, tmp_path):
    train(tmp_path / "whole", **PARTS["parts"])
    assert not (trained / "parts" / "checkpoint.json").exists() and (trained / "parts" / "state.json").exists()
    for processes in (1, 3):
        shutil.copytree(trained / "parts", tmp_path / str(processes) / "parts")
    train(tmp_path / "1" / "parts", **PARTS["parts"])
    run_processes(SCRIPT, 3, tmp_path / "3", json.dumps(PARTS), timeout=300)
    for processes in (1, 3):
        assert_equal_outcomes(tmp_path / "whole", tmp_path / str(processes) / "parts", 1e-6)
        whole, part = outcome(tmp_path / "whole"), outcome(tmp_path / str(processes) / "parts")
        for what in ("loss of each step", "centres.weight"):
            np.testing.assert_allclose(part[what], whole[what], rtol=1e-9, atol=1e-9)
