"""``train``, the first half of a run: the folder it leaves, what it tells, and what it refuses."""

from __future__ import annotations

import pytest

import facebench.api
from facebench.checkpoints import read_checkpoint
from facebench.config import load
from facebench.errors import ConfigError, DataError, UnknownName
from facebench.planning import make
from facebench.store import find_results


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def call(bench, plugin="tiny", **more):
    places = {"out": bench.folder / "runs", "cache": bench.folder / "cache"}
    return facebench.api.train(plugin, host=bench.host, quiet=True, **{**places, **more})


# What it leaves.


def test_a_training_leaves_a_checkpoint_in_a_folder(bench):
    trained = bench.train()
    assert everything(trained.folder) == [
        "checkpoint/checkpoint.json",
        "checkpoint/classes-0.safetensors",
        "checkpoint/classes.json",
        "checkpoint/weights.safetensors",
        "config.toml",
        "run.log",
    ]
    assert trained.checkpoint == read_checkpoint(trained.folder / "checkpoint")
    assert {"loss", "learning_rate"} <= set(trained.values)
    assert not trained.reused
    assert bench.told == [("started", "tiny", True, True), ("epoch", 1, True), ("epoch", 2, True), ("ended", [])]


def test_the_same_training_again_is_found(bench):
    first = bench.train()
    second = bench.train()
    assert (second.folder, second.checkpoint) == (first.folder, first.checkpoint)
    assert second.reused
    assert second.values == pytest.approx(first.values)
    third = bench.train(fresh=True)
    assert not third.reused
    assert third.checkpoint.sha256 == first.checkpoint.sha256


def test_a_run_finds_what_was_trained_and_evaluates_the_same(bench):
    trained = bench.train()
    bench.told.clear()
    outcome = bench.run()
    assert not [event for event in bench.told if event[0] == "epoch"]
    assert outcome.folder != trained.folder
    assert outcome.results[0].subject.weights == trained.checkpoint.sha256
    given = bench.run(weights=trained.checkpoint.folder)
    assert given.results[0].metrics == outcome.results[0].metrics
    assert len(find_results([bench.folder / "runs"])) == 2


def test_its_configuration_trains_the_same_again(bench):
    trained = bench.train("seed=3", "loss.margin=0.1")
    settings = load(trained.folder / "config.toml")
    assert settings.protocols == ()
    assert trained.folder.name.endswith(make(settings, bench.host.catalog, evaluates=False).fingerprint())


def test_a_training_that_cannot_begin_leaves_no_folder(bench):
    with pytest.raises(DataError):
        bench.train(f"train_data.name={bench.folder / 'absent'}")
    assert bench.runs == []


# What it refuses.


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"plugin": ""}, "no method given; choose one with --plugin"),
        (
            {"plugin": "means"},
            "unknown trainer 'means'; offered: bare, tiny, wide; 'means' brings its own trained weights",
        ),
        ({"plugin": "tinny"}, "unknown method (trainer, generator or embedder) 'tinny'; did you mean 'tiny'?"),
        (
            {"protocols": ("toy",)},
            "protocols = ['toy'] does not apply: a training evaluates nothing; use 'facebench run",
        ),
        ({"weights": "w.pth"}, "weights = w.pth does not apply: to train on from them use --finetune PATH"),
        ({"protocol": {"toyy": {}}}, "unknown protocol 'toyy'; did you mean 'toy'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(bench, flags, said):
    with pytest.raises((ConfigError, UnknownName)) as error:
        bench.train(**flags)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
    assert bench.runs == []


# From Python.


def test_it_is_the_same_training_as_from_the_command_line(bench):
    assert call(bench, seed=4).folder == bench.train("seed=4").folder


def test_settings_changes_and_files_reach_it(bench, tmp_path):
    (tmp_path / "c.toml").write_text("seed = 9\n")
    trained = call(bench, config=tmp_path / "c.toml", changes={"trainer": {"epochs": 1}}, backbone={"width": 3})
    assert trained.checkpoint.embedding_size == 3
    assert "seed = 9" in (trained.folder / "config.toml").read_text()


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: {"weights": path}])
def test_weights_to_start_from(bench, form):
    first = call(bench)
    tuned = call(bench, finetune=form(first.checkpoint.folder), changes={"trainer": {"epochs": 0}})
    assert tuned.checkpoint.recipe.start == first.checkpoint.sha256


def test_protocols_to_watch(bench):
    assert "toy/accuracy" in call(bench, validate="toy").values
    both = call(bench, validate=["toy", "other"], fresh=True)
    assert {"toy/accuracy", "other/accuracy"} <= set(both.values)


def test_run_takes_the_same(bench):
    places = {"out": bench.folder / "runs", "cache": bench.folder / "cache", "quiet": True}
    first = call(bench).checkpoint
    kept = {"weights": first.folder, "classes": "kept"}
    changes = {"trainer": {"epochs": 1, "keep": "best"}}
    outcome = facebench.api.run(
        "tiny", "toy", host=bench.host, finetune=kept, validate="toy", changes=changes, **places
    )
    (result,) = outcome.results
    assert "finetune.classes=kept, validation=toy" in result.subject.model
    assert len(result.warnings) == 1
