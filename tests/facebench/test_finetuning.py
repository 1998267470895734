"""Trainings that start from weights: which network, which class centres, under which name."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from facebench import Preprocess
from facebench.checkpoints import read_checkpoint
from facebench.config import load
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.planning import make

# Nothing moves: what comes out is what went in.
STILL = ("trainer.epochs=0",)


@pytest.fixture
def trained(bench):
    return bench.train("trainer.epochs=1", "backbone.width=5").checkpoint


def weights_in(folder):
    return load_file(folder / "weights.safetensors")


def start(checkpoint, **more):
    return {"finetune": {"weights": checkpoint.folder, **more}}


# The network.


def test_the_network_starts_from_the_weights(bench, trained):
    tuned = bench.train(*STILL, **start(trained)).checkpoint
    before, after = weights_in(trained.folder), weights_in(tuned.folder)
    assert all(torch.equal(before[name], after[name]) for name in before)
    moved = bench.train("trainer.epochs=1", **start(trained)).checkpoint
    assert not torch.equal(before["layers.9.weight"], weights_in(moved.folder)["layers.9.weight"])


def test_the_recipe_and_the_model_say_where_it_started(bench, trained):
    outcome = bench.run(*STILL, **start(trained))
    stored = read_checkpoint(outcome.folder / "checkpoint")
    assert stored.recipe.start == trained.sha256
    assert trained.recipe.start == ""
    words = f"tinier + plain, fine-tuned from {trained.sha256[:8]} on demo (backbone.width=5, trainer.epochs=0)"
    assert outcome.results[0].subject.model == words
    given = bench.run(weights=outcome.folder / "checkpoint").results[0].subject
    assert given.model == f"tinier + plain, fine-tuned from {trained.sha256[:8]} on demo"


def test_the_checkpoint_names_its_backbone(bench, trained):
    for weights in (trained.folder, trained.folder / "weights.safetensors"):
        plan = bench.plan(finetune={"weights": weights})
        assert plan.backbone.resolved == {"name": "tinier", "width": 5, "factor": 1.0}
    again = bench.plan("backbone.factor=2", "backbone.name=tinier", **start(trained))
    assert again.backbone.resolved == {"name": "tinier", "width": 5, "factor": 2.0}


def test_a_file_needs_the_backbone_named(bench, trained, tmp_path):
    file = tmp_path / "loose.safetensors"
    shutil.copy(trained.folder / "weights.safetensors", file)
    tuned = bench.train(*STILL, "backbone.width=5", finetune={"weights": file}).checkpoint
    assert torch.equal(weights_in(tuned.folder)["layers.9.weight"], weights_in(trained.folder)["layers.9.weight"])
    assert tuned.recipe.start == trained.sha256
    with pytest.raises(DataError, match="weights do not fit the network"):
        bench.train("backbone.width=4", finetune={"weights": file})
    assert len(bench.runs) == 2


def test_a_checkpoint_brings_its_preprocessing(bench, trained):
    document = json.loads((trained.folder / "checkpoint.json").read_text())
    document["preprocess"]["mean"] = [1.0, 2.0, 3.0]
    plain = bench.train(*STILL, **start(trained)).checkpoint
    (trained.folder / "checkpoint.json").write_text(json.dumps(document))
    tuned = bench.train(*STILL, **start(trained)).checkpoint
    assert tuned.preprocess == Preprocess(size=(32, 32), mean=(1.0, 2.0, 3.0))
    assert tuned.recipe.fingerprint != plain.recipe.fingerprint


# The class centres.


def test_class_centres_are_new_or_kept(bench, trained):
    centres = {"before": load_file(trained.folder / "classes-0.safetensors")["loss/centres"]}
    for classes in ("new", "kept"):
        folder = bench.train(*STILL, **start(trained, classes=classes)).checkpoint.folder
        centres[classes] = load_file(folder / "classes-0.safetensors")["loss/centres"]
    assert torch.equal(centres["kept"], centres["before"])
    assert not torch.equal(centres["new"], centres["before"])
    said = bench.run(*STILL, **start(trained, classes="kept")).results[0].subject.model
    assert said.endswith("(backbone.width=5, trainer.epochs=0, finetune.classes=kept)")


def test_kept_centres_bring_their_loss(bench):
    folder = bench.train(*STILL, "loss.name=square", "loss.margin=0.2").checkpoint.folder
    plan = bench.plan(finetune={"weights": folder, "classes": "kept"})
    assert plan.loss.resolved == {"name": "square", "margin": 0.2}
    assert bench.plan(finetune={"weights": folder}).loss.resolved == {"name": "plain", "margin": 0.3}
    with pytest.raises(ConfigError, match=r"loss 'plain' does not fit .*checkpoint, which holds 'square'; leave it"):
        bench.plan("loss.name=plain", finetune={"weights": folder, "classes": "kept"})


def test_kept_centres_of_other_people_are_refused(bench, trained):
    with pytest.raises(DataError, match="class centres do not fit"):
        bench.train("train_data.identities=5", **start(trained, classes="kept"))
    (trained.folder / "classes.json").unlink()
    with pytest.raises(DataError, match="holds no class centres"):
        bench.train(**start(trained, classes="kept"))
    assert len(bench.runs) == 1


# Under which name.


def test_the_start_decides_the_fingerprints(bench, trained, tmp_path):
    other = tmp_path / "other.safetensors"
    tensors = weights_in(trained.folder)
    save_file({**tensors, "layers.9.bias": tensors["layers.9.bias"] + 1}, other)
    asked = [
        {},
        start(trained),
        start(trained, classes="kept"),
        {"finetune": {"weights": other}},
    ]
    trainings = [bench.train(*STILL, "backbone.width=5", **more).checkpoint.recipe.fingerprint for more in asked]
    runs = [bench.plan(*STILL, "backbone.width=5", **more).fingerprint() for more in asked]
    assert len(set(trainings)) == len(set(runs)) == 4


def test_moved_weights_are_the_same_weights(bench, trained, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder, moved)
    one, two = (bench.plan(finetune={"weights": folder}) for folder in (trained.folder, moved))
    assert one.fingerprint() == two.fingerprint()
    for name in ("classes.json", "classes-0.safetensors"):
        (moved / name).unlink()
    assert bench.plan(finetune={"weights": moved}).fingerprint() == one.fingerprint()
    assert bench.plan(weights=moved).fingerprint() == bench.plan(weights=trained.folder).fingerprint()


def test_a_stored_configuration_starts_from_the_same_weights(bench, trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained.folder.parent)
    tuned = bench.train(*STILL, finetune={"weights": "checkpoint", "classes": "kept"})
    settings = load(tuned.folder / "config.toml", flags={"out": tmp_path / "runs"})
    assert settings.finetune.weights == trained.folder
    plan = make(settings, bench.host.catalog, evaluates=False)
    assert tuned.folder.name.endswith(plan.fingerprint())


# What cannot be meant.


@pytest.mark.parametrize(
    ("changes", "flags", "said"),
    [
        ((), {"finetune": {"classes": "kept"}}, "finetune.classes = 'kept' does not apply without weights; say --fi"),
        ((), {"finetune": {"classes": "old"}}, "finetune.classes = 'old': input should be 'new' or 'kept'"),
        ((), {"finetune": {"weight": "x"}}, "unknown option in 'finetune': 'weight'; did you mean 'weights'?"),
        ((), {"finetune": {"weights": "absent"}}, "weights absent not found; give a checkpoint folder"),
        (("trainer.keep=best",), {}, "trainer.keep = 'best' needs something to judge by; name a protocol with --va"),
        ((), {"validation": ("toyy",)}, "unknown protocol 'toyy'; did you mean 'toy'?"),
        ((), {"plugin": "means", "finetune": {"weights": "x"}}, "section 'finetune' does not apply: 'means' brings"),
        ((), {"plugin": "means", "validation": ("toy",)}, "section 'validation' does not apply: 'means' brings"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(bench, changes, flags, said):
    with pytest.raises(FacebenchError) as error:
        bench.plan(*changes, **flags)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_given_weights_are_not_fine_tuned(bench, trained):
    for section, more in (("finetune", start(trained)), ("validation", {"validation": ("toy",)})):
        with pytest.raises(ConfigError, match=f"section '{section}' does not apply: weights are given, so nothing"):
            bench.plan(weights=trained.folder, **more)


def test_another_backbone_than_the_checkpoints_is_refused(bench, trained):
    for more in (start(trained), {"weights": trained.folder}):
        with pytest.raises(ConfigError, match=r"backbone 'small' does not fit .*, which holds 'tinier'; leave it out"):
            bench.plan("backbone.name=small", **more)


def test_centres_come_with_a_checkpoint_folder(bench, trained, tmp_path):
    file = tmp_path / "w.safetensors"
    shutil.copy(trained.folder / "weights.safetensors", file)
    with pytest.raises(ConfigError, match=r"finetune.classes = 'kept' needs a checkpoint folder, .*; .*w.safetensors"):
        bench.plan(finetune={"weights": file, "classes": "kept"})
