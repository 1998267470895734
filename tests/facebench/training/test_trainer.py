from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from toy_training import LEFT, QUICK, Interrupted, Stop, fit, table

from facebench.checkpoints import load_weights, read_checkpoint
from facebench.contracts import Features, LossOutput
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.schedules import TrainerOptions
from facebench.store import locked
from facebench.testing import TinyBackbone, TinyLoss, ToyFaces, toy_faces, toy_job
from facebench.training import ClassifierTrainer


def test_learns_to_tell_the_toys_apart(tmp_path):
    faces = toy_faces(per_class=16)
    _, backbone, told = fit(tmp_path, epochs=6, dataset=faces)
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1][1]["loss"] < 0.5 * told[0][1]["loss"]
    backbone.eval()
    images = torch.from_numpy(faces.batch(np.arange(len(faces)))).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    with torch.no_grad():
        vectors = nn.functional.normalize(backbone(images).vectors)
    similar = (vectors @ vectors.T).fill_diagonal_(-2)
    nearest = similar.argmax(1)
    assert np.mean(faces.labels[nearest.numpy()] == faces.labels) > 0.9


def test_values_of_an_epoch_are_told_and_tabled(tmp_path):
    _, _, told = fit(tmp_path)
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row, (_, values) in zip(rows, told, strict=True):
        assert set(row) == {"epoch", *values}
        assert set(values) == {"loss", "gradient_norm", "learning_rate", "images_per_second"}
        assert {name: float(row[name]) for name in values} == dict(values)
    assert told[1][1]["learning_rate"] == pytest.approx(0.05 / 8)


def test_the_seed_decides_and_nothing_else(tmp_path):
    one = fit(tmp_path / "one")[0]
    torch.manual_seed(77)
    np.random.seed(77)
    drawn = torch.rand(3)
    torch.manual_seed(77)
    two = fit(tmp_path / "two", workers=3)[0]
    assert one.sha256 == two.sha256
    assert fit(tmp_path / "three", seed=1)[0].sha256 != one.sha256
    torch.manual_seed(77)
    job = toy_job(tmp_path / "four", options=TrainerOptions(**QUICK))
    state = torch.get_rng_state()
    ClassifierTrainer(job.options).fit(job)
    assert torch.equal(torch.get_rng_state(), state)  # What the caller draws next is the caller's.
    assert drawn.shape == (3,)


def test_a_finished_folder_is_returned_at_once(tmp_path):
    checkpoint = fit(tmp_path)[0]
    again, _, told = fit(tmp_path)
    assert again == checkpoint == read_checkpoint(tmp_path) and told == []
    assert sorted(path.name for path in tmp_path.iterdir()) == LEFT


def test_no_epochs_leave_the_network_as_it_was_built(tmp_path):
    checkpoint, _, told = fit(tmp_path, epochs=0)
    fresh = toy_job(tmp_path, options=None).backbone.state_dict()
    other = TinyBackbone()
    load_weights(checkpoint.folder, other)
    assert told == [] and all(torch.equal(value, fresh[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("at", [0, 1, 4, 5, 7])
def test_interrupted_anywhere_it_ends_the_same(tmp_path, optimizer, at):
    common = {"optimizer": optimizer, "save_seconds": 0.0, "warmup_epochs": 0.5, "learning_rate": 0.01}
    perturb = lambda images, draws, rows: (images + 0.1 * float(draws.normal()), None)  # noqa: E731
    whole = fit(tmp_path / "whole", perturb=perturb, **common)[0]
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", perturb=perturb, change={"progress": Stop(at)}, **common)
    second = Stop(100)
    parts, _, told = fit(tmp_path / "parts", perturb=perturb, change={"progress": second}, **common)
    assert parts.sha256 == whole.sha256
    assert (second.total, second.start) == (64, 8 * at)  # The step that was interrupted after its work is done again.
    assert [epoch for epoch, _ in told] == [1, 2][at >= 5 :] if at != 4 else [1, 2]
    for one, two in zip(table(tmp_path / "whole"), table(tmp_path / "parts"), strict=True):
        assert {**one, "images_per_second": ""} == {**two, "images_per_second": ""}


def test_interrupted_while_telling_it_does_not_repeat_an_epoch(tmp_path):
    def fail(epoch, values):
        raise Interrupted

    with pytest.raises(Interrupted):
        fit(tmp_path, change={"epoch_ended": fail})
    (tmp_path / "metrics.csv").unlink()
    _, _, told = fit(tmp_path)
    assert [epoch for epoch, _ in told] == [2]
    assert [row["epoch"] for row in table(tmp_path)] == ["1", "2"]


KILLED = """
import sys, time
from pathlib import Path
from facebench.schedules import TrainerOptions
from facebench.testing import toy_faces, toy_job
from facebench.training import ClassifierTrainer
options = TrainerOptions(epochs=6, batch_size=8, learning_rate=0.05, workers=2, save_seconds=0.0)
job = toy_job(Path(sys.argv[1]), options=options, dataset=toy_faces(per_class=10))
print("ready", flush=True)
print(ClassifierTrainer(options).fit(job).sha256, flush=True)
"""


def start(folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.stdout.readline() == "ready\n"
    began = time.monotonic()
    expected = whole.communicate()[0]
    seconds = time.monotonic() - began
    assert whole.returncode == 0 and len(expected) == 65
    moments, kills = random.Random(5), 0
    for _ in range(3):
        process = start(tmp_path / "parts")
        assert process.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.1, 0.4) * seconds)
        process.kill()
        process.communicate()
        kills += process.returncode != 0
    assert kills >= 2
    last = start(tmp_path / "parts")
    assert last.communicate()[0] == "ready\n" + expected and last.returncode == 0
    for one, two in zip(table(tmp_path / "whole"), table(tmp_path / "parts"), strict=True):
        assert {**one, "images_per_second": ""} == {**two, "images_per_second": ""}
    left = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert left == LEFT


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(FacebenchError, match="another process is training"):
        fit(tmp_path)
    fit(tmp_path)


def test_another_trainings_folder_is_refused(tmp_path):
    fit(tmp_path / "finished")
    with pytest.raises(ConfigError, match="holds another training"):
        fit(tmp_path / "finished", seed=1)
    with pytest.raises(Interrupted):
        fit(tmp_path / "underway", save_seconds=0.0, change={"progress": Stop(2)})
    with pytest.raises(ConfigError, match="holds another training"):
        fit(tmp_path / "underway", seed=1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: next(folder.glob("state-*.safetensors")).write_bytes(b"short"),
        lambda folder: next(folder.glob("state-*.safetensors")).unlink(),
    ],
)
def test_a_damaged_state_is_told(tmp_path, damage):
    with pytest.raises(Interrupted):
        fit(tmp_path, save_seconds=0.0, change={"progress": Stop(2)})
    damage(tmp_path)
    with pytest.raises(DataError, match="state of the training cannot be read"):
        fit(tmp_path)


def test_labels_are_checked_before_anything_else(tmp_path):
    faces = toy_faces()
    low, high = faces.labels.copy(), faces.labels.copy()
    low[3], high[5] = -1, 4
    for labels, key in ((low, faces.keys[3]), (high, faces.keys[5])):
        broken = toy_faces()
        broken.labels = labels
        with pytest.raises(DataError, match=key):
            fit(tmp_path, dataset=broken, change={"num_classes": 4})
    with pytest.raises(DataError, match="at least 2"):
        fit(tmp_path, change={"num_classes": 1})
    assert list(tmp_path.iterdir()) == []


class Bursting(TinyLoss):
    """Gives NaN after some steps."""

    steps = 0

    def forward(self, batch, features):
        output = super().forward(batch, features)
        self.steps += 1
        return LossOutput(output.total * float("nan")) if self.steps == 6 else output


def test_a_loss_that_is_not_finite_stops_the_training_and_saves_nothing_of_it(tmp_path):
    told = r"loss is nan in epoch 2, step 2 \(faces toy/\d/\d+, .* and 4 more; all of them in .*stopped.json"
    with pytest.raises(FacebenchError, match=told):
        fit(tmp_path, loss=Bursting, save_seconds=0.0)
    assert not (tmp_path / "checkpoint.json").exists()
    stopped = json.loads((tmp_path / "stopped.json").read_text())
    assert (stopped["epoch"], stopped["step"], stopped["values"]["loss"]) == (2, 2, "nan")
    assert len(stopped["faces"]) == 8 and set(stopped["faces"]) < set(toy_faces().keys)
    assert fit(tmp_path)[0].sha256 == fit(tmp_path / "whole")[0].sha256


@pytest.mark.parametrize(("count", "batches"), [(16, [8, 8]), (17, [8, 8]), (18, [8, 8, 2]), (5, [5])])
def test_a_remainder_counts_unless_it_is_one_face(tmp_path, count, batches):
    faces = toy_faces(num_classes=2, per_class=9)
    part = ToyFaces(faces.batch(np.arange(count)), faces.labels[:count], 0)
    seen = []

    class Watching(TinyLoss):
        def forward(self, batch, features):
            seen.append(len(batch.labels))
            return super().forward(batch, features)

    fit(tmp_path, dataset=part, loss=Watching, epochs=1, change={"num_classes": 2})
    assert seen == batches


class Still(nn.Module):
    """Passes the mean of each channel through one weight."""

    embedding_size = 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, images):
        return Features(images[:, :, :, : images.shape[3] // 2].mean((2, 3)) * self.weight)


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_flips_as_often_as_told_and_differently_each_epoch(tmp_path, flip, share):
    images = np.zeros((64, 112, 112, 3), np.uint8)
    images[:, :, 56:] = 255  # Dark on the left, unless mirrored.
    faces = ToyFaces(images, np.arange(64) % 2, 0)
    epochs = []

    class Watching(TinyLoss):
        def forward(self, batch, features):
            bright = batch.images[:, 0, 0, 0] > 0
            epochs.append(dict(zip(batch.labels.tolist(), bright.tolist(), strict=False)) and bright.float())
            return super().forward(batch, features)

    fit(tmp_path, dataset=faces, backbone=Still, loss=Watching, batch_size=64, flip=flip)
    found = [float(bright.mean()) for bright in epochs]
    assert found == pytest.approx([share, share], abs=0.2 if flip == 0.5 else 0)
    if flip == 0.5:
        assert not torch.equal(epochs[0], epochs[1])


def test_the_loss_finds_the_undisturbed_images_beside_the_disturbed(tmp_path):
    seen = []

    class Watching(TinyLoss):
        def forward(self, batch, features):
            seen.append(torch.equal(batch.images, batch.source + 1))
            return super().forward(batch, features)

    fit(tmp_path, loss=Watching, perturb=lambda images, draws, rows: (images + 1, None))
    assert seen and all(seen)


def test_bfloat16_reaches_the_network_and_not_the_loss(tmp_path):
    seen = set()

    class Watching(TinyBackbone):
        def forward(self, images):
            features = super().forward(images)
            seen.add(features.vectors.dtype)
            return features

    class Asking(TinyLoss):
        def forward(self, batch, features):
            assert features.vectors.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
            return super().forward(batch, features)

    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32), ("auto", torch.float32)):
        seen.clear()
        fit(tmp_path / precision, backbone=Watching, loss=Asking, precision=precision, epochs=1)
        assert seen == {dtype}


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_the_networks_gradient_is_clipped_and_the_centres_are_not(tmp_path, clip):
    before = toy_job(tmp_path, options=None)
    weights = {name: value.detach().clone() for name, value in before.backbone.named_parameters()}
    centres = before.loss.centres.detach().clone()
    losses = []

    def loss(classes, size):
        losses.append(TinyLoss(classes, size))
        return losses[-1]

    rate = {"learning_rate": 1.0, "schedule": "constant", "momentum": 0.0, "weight_decay": 0.0}
    options = {"epochs": 1, "batch_size": 32, "clip_gradient": clip}
    _, backbone, told = fit(tmp_path, loss=loss, **rate, **options)
    moved = (
        sum(float((value.detach() - weights[name]).square().sum()) for name, value in backbone.named_parameters())
        ** 0.5
    )
    norm = told[0][1]["gradient_norm"]
    assert norm > 0.01 and moved == pytest.approx(clip or norm, rel=1e-2)
    assert float((losses[0].centres.detach() - centres).norm()) > 0.01


def test_an_unreadable_face_stops_the_training_and_its_threads(tmp_path):
    class Torn(ToyFaces):
        def batch(self, indices):
            if 20 in indices:
                raise DataError("face toy/20 cannot be decoded")
            return super().batch(indices)

        def __getitem__(self, index):
            if index == 20:
                raise DataError("face toy/20 cannot be decoded")
            return super().__getitem__(index)

    faces = toy_faces()
    torn = Torn(faces.batch(np.arange(32)), faces.labels, 0)
    with pytest.raises(DataError, match="toy/20"):
        fit(tmp_path, dataset=torn)
