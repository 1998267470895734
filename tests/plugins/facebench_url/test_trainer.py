from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_training import Interrupted, Stop

from facebench import ConfigError
from facebench.contracts import Features
from facebench.testing import TinyBackbone, TinyLoss, toy_faces, toy_job
from facebench_url import trainer
from facebench_url.plugin import facebench_losses, facebench_trainers

LOSSES = {spec.name: spec for spec in facebench_losses()}
TRAINERS = {spec.name: spec for spec in facebench_trainers() if spec.name != "url-attributes"}
QUICK = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "workers": 1, "save_seconds": 0.0}


class Confident(TinyBackbone):
    """Predicts confidences of four blocks from its vectors."""

    def __init__(self):
        super().__init__()
        self.confidence = torch.nn.Sequential(torch.nn.Linear(16, 4), torch.nn.Softplus())

    def forward(self, images):
        vectors = super().forward(images).vectors
        return Features(vectors, self.confidence(vectors) + 1)


def loss_of(**chosen):
    spec = LOSSES["url"]
    return lambda classes, size: spec.build(classes, size, spec.options(**({"blocks": 4} | chosen)))


def fit(folder, name="url", *, loss=None, backbone=Confident, change=None, told=None, **options):
    spec = TRAINERS[name]
    chosen = spec.options(**({"aggregate_epochs": 2} if name == "url" else {}) | QUICK | options)
    heard = (lambda epoch, values: told.append((epoch, values))) if told is not None else (lambda *_: None)
    job = toy_job(
        folder, options=chosen, dataset=toy_faces(), loss=loss or loss_of(), backbone=backbone, epoch_ended=heard
    )
    job = dataclasses.replace(job, **(change or {}))
    return spec.build(chosen).fit(job), job


def test_two_parts_leave_one_checkpoint(tmp_path):
    told = []
    checkpoint, job = fit(tmp_path, told=told)
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert "adversarial" in told[0][1] and "pairs" in told[1][1] and "pairs" not in told[0][1]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "checkpoint.json",
        "classes-0.safetensors",
        "classes.json",
        "metrics-confidence.csv",
        "metrics.csv",
        "weights.safetensors",
    ]
    with (tmp_path / "metrics-confidence.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert fit(tmp_path)[0] == checkpoint, "what is finished is not trained again"
    for name, value in load_file(tmp_path / "weights.safetensors").items():
        assert torch.equal(value, job.backbone.state_dict()[name])


def test_the_second_part_changes_the_confidences_alone(tmp_path):
    fit(tmp_path / "two")
    fit(tmp_path / "one", aggregate_epochs=0)
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert changed and all(name.startswith("confidence.") for name in changed)


@pytest.mark.parametrize("at", [2, 7])
def test_either_part_is_continued(tmp_path, at):
    whole = fit(tmp_path / "whole")[0]
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", change={"progress": Stop(at)})
    assert not (tmp_path / "parts" / "checkpoint.json").exists()
    assert fit(tmp_path / "parts")[0].sha256 == whole.sha256


def test_a_call_that_is_killed_while_both_parts_are_put_together_is_continued(tmp_path, monkeypatch):
    whole = fit(tmp_path / "whole")[0]

    def killed(*_given, **_more):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", killed)
        with pytest.raises(Interrupted):
            fit(tmp_path / "parts")
    assert fit(tmp_path / "parts")[0].sha256 == whole.sha256
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "parts")]
    assert names[0] == names[1]


def test_a_network_without_a_head_is_refused_before_nothing_is_left(tmp_path):
    with pytest.raises(ConfigError, match=r"trainer\.aggregate_epochs=0"):
        fit(tmp_path, loss=TinyLoss, backbone=TinyBackbone)
    assert not (tmp_path / "checkpoint.json").exists()


class Watching(TinyLoss):
    """Keeps the marks it was shown, and whether each face was changed."""

    def __init__(self, num_classes, embedding_size):
        super().__init__(num_classes, embedding_size)
        self.seen = []

    def forward(self, batch, features):
        changed = (batch.images != batch.source).flatten(1).any(dim=1)
        self.seen += [(mark.clone(), bool(any_)) for mark, any_ in zip(batch.marks, changed, strict=True)]
        return super().forward(batch, features)


def test_marks_say_what_was_done(tmp_path):
    _, job = fit(tmp_path, "url-va", loss=Watching, variation=0.5)
    marks = torch.stack([mark for mark, _ in job.loss.seen])
    assert marks.shape == (len(toy_faces()), 3) and 0.3 < marks.mean() < 0.7
    assert all(bool(mark.any()) or not changed for mark, changed in job.loss.seen)
    assert sum(changed for _, changed in job.loss.seen) > 0.6 * len(marks)


def test_without_variations_the_stock_training(tmp_path):
    one, _ = fit(tmp_path / "one", "url-va", loss=TinyLoss, backbone=TinyBackbone, variation=0.0)
    two, _ = fit(tmp_path / "two", "url-va", loss=TinyLoss, backbone=TinyBackbone, variation=0.5)
    assert one.sha256 != two.sha256


def test_mined_variations_reach_the_loss(tmp_path):
    faces = toy_faces()
    lines = [f"{key},{index % 2},0.25" for index, key in enumerate(faces.keys)]
    table = tmp_path / "mined.csv"
    table.write_text("path,smiling,young\n" + "\n".join(lines) + "\n")
    _, job = fit(tmp_path / "a", "url-va", loss=Watching, mined=str(table))
    marks = torch.stack([mark for mark, _ in job.loss.seen])
    assert marks.shape[1] == 5 and set(marks[:, 3].tolist()) == {0.0, 1.0} and bool((marks[:, 4] == 0.25).all())
    fit(tmp_path / "b", loss=loss_of(mined=2), mined=str(table))
    with pytest.raises(ConfigError, match=r"loss\.mined is 3; the table of trainer\.mined has 2 columns"):
        fit(tmp_path / "c", loss=loss_of(mined=3), mined=str(table))
    with pytest.raises(ConfigError, match=r"loss\.mined is 3; the table of trainer\.mined has 0 columns"):
        fit(tmp_path / "d", loss=loss_of(mined=3))


def test_what_a_name_stands_for():
    found = {
        name: (
            spec.backbone_options.get("confidence", 0),
            LOSSES[spec.loss].options().confident,
            LOSSES[spec.loss].options().decorrelate,
            bool(spec.options().aggregate_epochs),
            spec.options().variation,
        )
        for name, spec in TRAINERS.items()
    }
    assert found == {
        "url-va": (0, False, False, False, 0.3),
        "url-ci": (1, True, False, False, 0.3),
        "url-me": (16, True, False, False, 0.3),
        "url-de": (16, True, True, False, 0.3),
        "url": (16, True, True, True, 0.3),
    }
    for spec in TRAINERS.values():
        blocks = LOSSES[spec.loss].options().blocks
        assert blocks == max(spec.backbone_options.get("confidence", 0), 1)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"yaw_least": 70.0}, "yaw_least is above trainer.yaw_most"),
        ({"blur_kernel_most": 10}, "must be odd"),
        ({"pose": "profiles"}, "go together"),
        ({"profiles": "x.csv"}, "go together"),
    ],
)
def test_options_that_contradict_one_another(values, match):
    with pytest.raises(ConfigError, match=match):
        TRAINERS["url"].options(**values)


def test_the_confidences_tell_varied_faces_after_training(tmp_path):
    """A mean over the toys: the head sees the same maps as the vectors do."""
    _, job = fit(tmp_path)
    with torch.no_grad():
        images = torch.from_numpy(toy_faces().batch(np.arange(8))).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
        features = job.backbone.eval()(images)
    assert features.confidence.shape == (8, 4) and bool((features.confidence > 0).all())
