from __future__ import annotations

import shutil

import pytest

from facebench.config import load, to_toml
from facebench.errors import ConfigError, DataError, FacebenchError, UnknownName
from facebench.host import Host
from facebench.plan import checkpoint_folder, content_hash
from facebench.planning import make

# Names.


@pytest.mark.parametrize(
    ("flags", "changes", "said"),
    [
        ({"plugin": ""}, (), "no method given; choose one with --plugin"),
        ({"protocols": ()}, (), "no protocol given"),
        ({"plugin": "tinny"}, (), "unknown method (trainer, generator or embedder) 'tinny'; did you mean 'tiny'?"),
        ({"protocols": ("toyy",)}, (), "unknown protocol 'toyy'; did you mean 'toy'?"),
        ({}, ("backbone.name=smal",), "unknown backbone 'smal'; did you mean 'small'?"),
        ({}, ("loss.name=plane",), "unknown loss 'plane'; did you mean 'plain'?"),
        ({}, ("train_data.name=dmo",), "unknown dataset 'dmo'; did you mean 'demo'?"),
        ({}, ("loss.margn=1",), "unknown option in 'loss': 'margn'; did you mean 'margin'?"),
        ({}, ("trainer.epoch=1",), "unknown option in 'trainer': 'epoch'; did you mean 'epochs'?"),
        ({}, ("protocol.toy.biass=1",), "unknown option in 'protocol.toy': 'biass'; did you mean 'bias'?"),
        ({}, ("protocol.othr.bias=1",), "unknown protocol 'othr'; did you mean 'other'?"),
        ({}, ("loss.margin=wide",), "loss.margin = 'wide': input should be a valid number"),
        ({}, ("backbone.width=0",), "backbone.width = 0: input should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(bench, flags, changes, said):
    with pytest.raises((ConfigError, UnknownName)) as error:
        bench.plan(*changes, **flags)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_protocol_asked_for_twice_is_evaluated_once(bench):
    plan = bench.plan(protocols=("other", "toy", "other"))
    assert [choice.name for choice in plan.protocols] == ["other", "toy"]


# Which options win.


def test_on_demo_faces_a_trainer_takes_its_demo_settings(bench):
    plan = bench.plan()
    assert plan.trains
    assert plan.backbone.resolved == {"name": "tinier", "width": 8, "factor": 1.0}
    assert plan.loss.resolved == {"name": "plain", "margin": 0.3}
    assert (plan.method.options.epochs, plan.method.options.batch_size) == (2, 8)
    assert plan.train_data.resolved == {"name": "demo", "identities": 3}


def test_a_trainer_gives_options_to_whatever_network_is_chosen(bench):
    assert bench.plan("backbone.name=small", plugin="wide").backbone.options.width == 16
    assert bench.plan("backbone.name=small", "backbone.width=4", plugin="wide").backbone.options.width == 4
    assert bench.plan(plugin="wide").backbone.resolved["width"] == 8, "the demo's network has what the demo says"


def test_what_the_user_says_wins_over_the_demo_settings(bench):
    plan = bench.plan("trainer.epochs=5", "backbone.width=4", "train_data.identities=6", "loss.margin=0.1")
    assert plan.method.options.epochs == 5
    assert plan.method.options.batch_size == 8
    assert plan.backbone.resolved == {"name": "tinier", "width": 4, "factor": 1.0}
    assert plan.train_data.options.identities == 6
    assert plan.loss.options.margin == 0.1


def test_another_backbone_drops_the_options_meant_for_the_demos(bench):
    assert bench.plan("backbone.name=small").backbone.resolved == {"name": "small", "width": 16, "factor": 1.0}


def test_without_demo_settings_the_trainers_own_defaults_hold(bench):
    plan = bench.plan(plugin="bare")
    assert plan.backbone.resolved == {"name": "small", "width": 16, "factor": 1.0}
    assert plan.loss.options.margin == 0.5


@pytest.mark.parametrize("path", ["./faces", "/data/faces.tar", "faces.csv", "~", ""])
def test_other_training_data_takes_the_published_defaults(bench, path):
    plan = bench.plan(f"train_data.name='{path}'")
    assert plan.train_data is None
    assert plan.backbone.name == "small"
    assert plan.method.options.epochs == 20


def test_a_path_takes_no_options(bench):
    with pytest.raises(ConfigError, match="train_data is a path and takes no options, found: identities"):
        bench.plan("train_data.name='./faces'", "train_data.identities=3")


# Sections that would do nothing.


@pytest.mark.parametrize("change", ["backbone.name=small", "loss.margin=1", "trainer.epochs=1", "train_data.seed=1"])
def test_an_embedder_refuses_the_sections_of_trainers(bench, change):
    section = change.partition(".")[0]
    with pytest.raises(ConfigError, match=f"section '{section}' does not apply: 'means' brings its own trained"):
        bench.plan(change, plugin="means")


def test_a_trainer_refuses_the_section_of_embedders(bench):
    with pytest.raises(ConfigError, match="section 'embedder' does not apply: 'tiny' is a trainer; use 'trainer'"):
        bench.plan("embedder.scale=2")


@pytest.mark.parametrize("change", ["loss.margin=1", "trainer.epochs=1", "train_data.identities=9"])
def test_given_weights_refuse_what_only_a_training_uses(bench, tmp_path, change):
    section = change.partition(".")[0]
    with pytest.raises(ConfigError, match=f"section '{section}' does not apply: weights are given, so nothing is tr"):
        bench.plan(change, weights=tmp_path / "w.pth")


def test_an_embedder_that_knows_devices_is_told_the_device(bench):
    assert bench.plan(plugin="means").method.options.device == "cpu"
    assert bench.plan(plugin="means", device="cuda").method.options.device == "cuda"
    assert bench.plan("embedder.device=cpu", plugin="means", device="cuda").method.options.device == "cpu"


def test_an_embedder_that_knows_no_devices_refuses_one(bench):
    assert bench.plan(plugin="fixed").method.name == "fixed"
    with pytest.raises(ConfigError, match="--device cuda does not apply: 'fixed' chooses its device itself"):
        bench.plan(plugin="fixed", device="cuda")


# The fingerprint.


def test_what_changes_no_number_changes_no_fingerprint(bench, tmp_path):
    name = bench.plan().fingerprint()
    assert len(name) == 16
    for change in ("embedding.batch_size=3", "embedding.workers=1"):
        assert bench.plan(change).fingerprint() == name
    assert bench.plan(out=tmp_path / "elsewhere", cache=tmp_path / "too").fingerprint() == name
    assert bench.plan("backbone.width=8").fingerprint() == name  # said, but the default


@pytest.mark.parametrize(
    "change",
    [
        "seed=1",
        "embedding.mirror=false",
        "trainer.epochs=3",
        "loss.margin=0.4",
        "backbone.factor=2",
        "backbone.name=small",
        "train_data.identities=5",
        "protocol.toy.bias=1",
        "device=cpu",
    ],
)
def test_what_can_change_a_number_changes_the_fingerprint(bench, change):
    assert bench.plan(change).fingerprint() != bench.plan().fingerprint()


def test_more_protocols_and_another_data_root_are_another_run(bench, tmp_path):
    names = {
        bench.plan().fingerprint(),
        bench.plan(protocols=("toy", "other")).fingerprint(),
        bench.plan(data_root=tmp_path).fingerprint(),
        bench.plan(data_root=tmp_path / "x").fingerprint(),
    }
    assert len(names) == 4


def test_options_of_a_protocol_that_is_not_asked_for_do_not_count(bench):
    assert bench.plan("protocol.other.bias=1").fingerprint() == bench.plan().fingerprint()


def test_weights_count_by_content_and_not_by_name(bench, tmp_path):
    first, second = tmp_path / "a.bin", tmp_path / "b" / "c.bin"
    second.parent.mkdir()
    first.write_text("weights")
    second.write_text("weights")
    name = bench.plan(plugin="means", weights=first).fingerprint()
    assert bench.plan(plugin="means", weights=second).fingerprint() == name
    second.write_text("other weights")
    assert bench.plan(plugin="means", weights=second).fingerprint() != name
    assert bench.plan(plugin="means").fingerprint() != name


def test_the_content_of_a_folder_counts_with_the_names_in_it(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "deep").mkdir(parents=True)
    (one / "deep" / "a").write_text("x")
    (one / "b").write_text("y")
    shutil.copytree(one, two)
    assert content_hash(one) == content_hash(two)
    (two / "b").rename(two / "c")
    assert content_hash(one) != content_hash(two)


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(FacebenchError, match=r"cannot read the weights .*absent: No such file"):
        content_hash(tmp_path / "absent")


# Resolved plans.


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        ({}, ()),
        ({"seed": 3, "protocols": ("other", "toy")}, ("loss.margin=0.1", "protocol.toy.bias=2", "trainer.epochs=1")),
        ({"plugin": "bare"}, ("train_data.name=./faces", "backbone.width=3")),
        ({"plugin": "means", "device": "cuda"}, ("embedder.scale=3",)),
    ],
)
def test_a_resolved_plan_runs_the_same_again(bench, tmp_path, flags, changes):
    plan = bench.plan(*changes, **flags)
    file = tmp_path / "config.toml"
    file.write_text(to_toml(plan.resolved()), encoding="utf-8")
    again = make(load(file), bench.host.catalog)
    assert again.resolved() == plan.resolved()
    assert again.fingerprint() == plan.fingerprint()


def test_paths_in_a_resolved_plan_hold_from_anywhere(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.bin").write_text("w")
    assert bench.plan("train_data.name=./faces").resolved()["train_data"] == {"name": str(tmp_path / "faces")}
    resolved = bench.plan(plugin="means", weights="w.bin", data_root="data").resolved()
    assert (resolved["weights"], resolved["data_root"]) == (str(tmp_path / "w.bin"), str(tmp_path / "data"))


# Weights that say what they are.


def test_the_folder_of_a_checkpoint_is_found_from_the_file_in_it(tmp_path):
    assert checkpoint_folder(tmp_path) == tmp_path
    file = tmp_path / "weights.safetensors"
    assert checkpoint_folder(file) is None
    (tmp_path / "checkpoint.json").write_text("{}")
    assert checkpoint_folder(file) == tmp_path
    assert checkpoint_folder(tmp_path / "other.safetensors") is None


def test_a_folder_that_is_no_checkpoint_is_refused(bench, tmp_path):
    with pytest.raises(DataError, match=r"no checkpoint in .*: checkpoint.json is missing"):
        bench.plan(weights=tmp_path)


def test_a_checkpoint_brings_its_backbone(bench):
    folder = bench.run("backbone.width=5", "backbone.factor=2").folder / "checkpoint"
    for weights in (folder, folder / "weights.safetensors"):
        plan = bench.plan(weights=weights)
        assert plan.backbone.resolved == {"name": "tinier", "width": 5, "factor": 2.0}
        assert not plan.trains
        assert "trainer" not in plan.resolved()
    names = {bench.plan(weights=weights).fingerprint() for weights in (folder, folder / "weights.safetensors")}
    assert len(names) == 1


def test_options_that_cannot_change_a_number_do_not_name_a_run():
    catalog = Host.start(third_party=False).catalog
    flags = {"plugin": "arcface", "protocols": ("lfw",)}
    usual = make(load(flags=flags), catalog)
    hurried = make(load(changes=["trainer.workers=3", "trainer.save_seconds=1"], flags=flags), catalog)
    other = make(load(changes=["trainer.epochs=3"], flags=flags), catalog)
    assert hurried.fingerprint() == usual.fingerprint()
    assert hurried.resolved() != usual.resolved()
    assert other.fingerprint() != usual.fingerprint()
