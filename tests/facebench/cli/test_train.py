from __future__ import annotations

import json

import pytest

from facebench.checkpoints import read_checkpoint


def told(said):
    """The one line of an error."""
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1, said.err
    return said.err.removeprefix("facebench: ").rstrip()


def test_it_says_where_the_checkpoint_lies(toys, call, tmp_path):
    said = call("train", "--plugin", "tiny")
    assert (said.code, said.err) == (0, "")
    (run,) = (tmp_path / "work" / "runs").iterdir()
    assert said.out == f"checkpoint: runs/{run.name}/checkpoint\n"
    assert call("train", "--plugin", "tiny").out == said.out.rstrip() + " (reused)\n"
    evaluated = call("run", "--plugin", "tiny", "--weights", run / "checkpoint", "--protocol", "toy", "--no-report")
    assert evaluated.code == 0


def test_json_is_one_document(toys, call, tmp_path):
    said = call("train", "--plugin", "tiny", "--json", "--validate", "toy", "--validate", "other")
    assert said.err == ""
    document = json.loads(said.out)
    checkpoint = read_checkpoint(tmp_path / "work" / document["checkpoint"])
    assert document["sha256"] == checkpoint.sha256
    assert document["embedding_size"] == checkpoint.embedding_size == 8
    assert document["recipe"]["fingerprint"] == checkpoint.recipe.fingerprint
    assert {"loss", "learning_rate", "toy/accuracy", "other/accuracy"} <= set(document["last_epoch"])
    assert document["reused"] is False
    again = json.loads(call("train", "--plugin", "tiny", "--json", "--validate", "toy").out)
    assert (again["reused"], again["sha256"]) == (True, document["sha256"])
    assert again["last_epoch"] == pytest.approx(document["last_epoch"])


def test_quiet_says_nothing(toys, call):
    said = call("train", "--plugin", "tiny", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_flags_reach_the_settings(toys, call, tmp_path):
    first = json.loads(call("train", "--plugin", "tiny", "--json").out)
    start = tmp_path / "work" / first["checkpoint"]
    said = call(
        *("train", "--plugin", "tiny", "--finetune", start, "--set", "finetune.classes=kept", "--seed", "3"),
        *("--validate", "toy", "--set", "trainer.epochs=1", "--out", tmp_path / "here", "--cache", tmp_path / "there"),
        "--json",
    )
    document = json.loads(said.out)
    assert document["recipe"]["start"] == first["sha256"]
    (run,) = (tmp_path / "here").iterdir()
    config = (run / "config.toml").read_text()
    for line in ("seed = 3", "epochs = 1", 'classes = "kept"', f'weights = "{start}"'):
        assert line in config
    assert [entry.name for entry in (tmp_path / "there").iterdir()] == ["training"]
    again = call("train", "--config", run / "config.toml", "--out", tmp_path / "here", "--cache", tmp_path / "there")
    assert again.out == f"checkpoint: {run / 'checkpoint'} (reused)\n"


def test_run_takes_the_same_flags(toys, call, tmp_path):
    start = json.loads(call("train", "--plugin", "tiny", "--json").out)["checkpoint"]
    said = call(
        *("run", "--plugin", "tiny", "--protocol", "toy", "--finetune", start, "--validate", "toy", "--no-report"),
        *("--set", "trainer.keep=best", "--set", "trainer.epochs=1"),
    )
    assert said.code == 0
    assert "tinier + plain, fine-tuned from " in said.out
    assert "warning: the network was chosen as the best of its epochs on toy itself" in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no method given; choose one with --plugin"),
        (("--plugin", "arcfase"), "unknown method (trainer, generator or embedder) 'arcfase'; did you mean 'arcface'?"),
        (("--plugin", "onnx"), "unknown trainer 'onnx'; offered: arcface"),
        (("--plugin", "arcface", "--validate", "lwf"), "unknown protocol 'lwf'; did you mean 'lfw'?"),
        (("--plugin", "arcface", "--validate", "lfw", "--data-root", "."), "data for 'lfw' not found; looked for "),
        (("--plugin", "arcface", "--finetune", "absent"), "weights absent not found; give a checkpoint folder"),
        (("--plugin", "arcface", "--finetune", "."), "no checkpoint in .: checkpoint.json is missing"),
        (
            ("--plugin", "arcface", "--set", "finetune.class=kept"),
            "unknown option in 'finetune': 'class'; did you mean",
        ),
        (("--plugin", "arcface", "--set", "trainer.keep=best"), "trainer.keep = 'best' needs something to judge by"),
        (("--plugin", "arcface", "--set", "protocols=['lfw']"), "protocols = ['lfw'] does not apply"),
        (("--plugin", "arcface", "--set", "weights=x.pth"), "weights = x.pth does not apply"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, tmp_path, arguments, said):
    assert told(call("train", *arguments)).startswith(said)
    assert list((tmp_path / "work").iterdir()) == []


def test_weights_are_given_to_run(call):
    said = call("train", "--plugin", "arcface", "--weights", "x.pth")
    assert said.code == 2
    assert "No such option" in said.err


def test_help_shows_how_to_launch(call):
    for command in ("run", "train"):
        assert f"torchrun --nproc-per-node 4 -m facebench {command}" in call(command, "--help").out
