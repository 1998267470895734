from __future__ import annotations

import json
import pickle
import re

import jsonschema
import pytest

from facebench.results import Result
from facebench.testing import TinyBackbone

SMALL = [
    *("--set", "protocol.pairs.folds=2", "--set", "protocol.pairs.samples=10", "--set", "protocol.pairs.far=[0.5]"),
    *("--set", "embedder.mean=127.5", "--set", "embedder.std=128"),
]


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def evaluate(call, model, data):
    """Evaluates the small network on the small pairs."""

    def run(*more):
        return call(
            "run", "--plugin", "onnx", "--weights", model, "--protocol", "pairs", "--data-root", data, *SMALL, *more
        )

    return run


def told(said, code=2):
    """The one line of an error."""
    assert said.code == code
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("facebench: ")
    return said.err.removeprefix("facebench: ").rstrip()


# What a run says.


def test_a_run_says_its_numbers_and_where_they_lie(evaluate, tmp_path):
    said = evaluate()
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("pairs: onnx, model.onnx\n  12 images") or "images, 8 pairs, 4 genuine" in said.out
    assert re.search(
        r"^  accuracy +\d+\.\d{3} % +(\[.*\] Student t over folds +)?reference, mirror sum$", said.out, re.M
    )
    assert "warning: the list does not say who is shown" in said.out
    run = tmp_path / "work" / re.search(r"^run: +(\S+)", said.out, re.M)[1]
    assert everything(run)[0] == "config.toml"
    assert {"figures/pairs-roc.svg", "results/pairs.json", "results/pairs.scores.npz", "run.log"} <= set(
        everything(run)
    )
    pages = re.findall(r"^leaderboard: (\S+)", said.out, re.M)
    assert pages
    assert all((tmp_path / "work" / page).is_file() for page in pages)
    assert not [name for name in everything(tmp_path / "work") if "/." in name]  # nothing half-written


def test_again_it_says_that_it_reused(evaluate):
    evaluate()
    assert " (reused: pairs)" in evaluate("--no-report").out
    assert " (reused: pairs)" not in evaluate("--no-report", "--fresh").out


def test_json_is_an_array_of_results_and_nothing_else(evaluate, tmp_path):
    said = evaluate("--json")
    assert said.err == ""
    documents = json.loads(said.out)
    assert len(documents) == 1
    jsonschema.validate(documents[0], Result.model_json_schema())
    (stored,) = (tmp_path / "work" / "runs").glob("*/results/pairs.json")
    assert documents[0] == json.loads(stored.read_text())


def test_json_of_several_protocols(toys, call):
    said = call("run", "--plugin", "means", "--protocol", "toy", "--protocol", "other", "--json")
    assert [document["protocol"] for document in json.loads(said.out)] == ["toy", "other"]


def test_quiet_says_nothing(evaluate):
    said = evaluate("--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert json.loads(evaluate("--quiet", "--json").out)


def test_no_report_leaves_the_leaderboard_alone(evaluate, tmp_path):
    said = evaluate("--no-report")
    assert "leaderboard" not in said.out
    assert not (tmp_path / "work" / "leaderboard").exists()


def test_a_spoilt_old_result_does_not_spoil_a_run(evaluate, tmp_path):
    old = tmp_path / "work" / "runs" / "20200101-000000-x-0123456789abcdef" / "results"
    old.mkdir(parents=True)
    (old / "pairs.json").write_text("{}")
    said = evaluate()
    assert said.code == 0
    assert said.err.startswith("facebench: warning: leaderboard not updated: ")


def test_flags_reach_the_settings(toys, call, tmp_path):
    said = call(
        *("run", "--plugin", "tiny", "--protocol", "toy", "--backbone", "small", "--loss", "plain", "--seed", "3"),
        *("--train-data", "demo", "--set", "trainer.epochs=1", "--set", "backbone.width=4", "--out", tmp_path / "here"),
        *("--cache", tmp_path / "there", "--device", "cpu"),
    )
    assert said.code == 0
    (run,) = (tmp_path / "here").iterdir()
    config = (run / "config.toml").read_text()
    for line in ("seed = 3", 'device = "cpu"', "epochs = 1", "width = 4", 'name = "small"'):
        assert line in config
    assert sorted(entry.name for entry in (tmp_path / "there").iterdir()) == ["embeddings", "training"]
    again = call("run", "--config", run / "config.toml", "--out", tmp_path / "here", "--cache", tmp_path / "there")
    assert "(reused: toy)" in again.out


# What can be wrong, told in one line, and nothing left behind.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--protocol", "lfw"), "no method given; choose one with --plugin"),
        (("--plugin", "arcface"), "no protocol given"),
        (("--plugin", "arcfase", "--protocol", "lfw"), "unknown method (trainer, generator or embedder) 'arcfase'; did you mean 'arcface'?"),
        (("--plugin", "arcface", "--protocol", "lwf"), "unknown protocol 'lwf'; did you mean 'lfw'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--loss", "arcfac"), "unknown loss 'arcfac'; did you mean 'arcface'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--backbone", "iresnet5"), "unknown backbone 'iresnet5'; did you mean"),
        (("--plugin", "arcface", "--protocol", "lfw", "--train-data", "dem"), "unknown dataset 'dem'; did you mean 'demo'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--no-plugin", "onx"), "unknown plugin to leave out 'onx'; did you mean 'onnx'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--no-plugin", "arcface"), "unknown method (trainer, generator or embedder) 'arcface'"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "loss.margn=1"), "unknown option in 'loss': 'margn'; did you mean 'margin'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "sed=1"), "unknown option 'sed'; did you mean 'seed'?"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "loss.margin=wide"), "loss.margin = 'wide': input should be a valid number"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "trainer.epochs=1.5"), "trainer.epochs = 1.5: input should be a valid integer"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "protocol.lfw.far=[2]"), "far must hold different rates between 0 and 1"),
        (("--plugin", "arcface", "--protocol", "lfw", "--set", "nonsense"), "--set 'nonsense': expected KEY=VALUE"),
        (("--plugin", "arcface", "--protocol", "lfw", "--seed", "-1"), "seed = -1: input should be greater than or equal to 0"),
        (("--plugin", "arcface", "--protocol", "lfw", "--device", "tpu"), "device = 'tpu': "),
        (("--plugin", "arcface", "--protocol", "lfw", "--config", "absent.toml"), "configuration file absent.toml does not exist"),
        (("--plugin", "arcface", "--protocol", "lfw", "--data-root", "absent"), "data root absent is not a folder; give --data-root DIR"),
        (("--plugin", "arcface", "--protocol", "lfw", "--data-root", "."), "data for 'lfw' not found; looked for "),
        (("--plugin", "arcface", "--protocol", "lfw", "--weights", "absent.pth"), "weights absent.pth not found; give a checkpoint folder"),
        (("--plugin", "onnx", "--protocol", "lfw", "--weights", "absent.onnx"), ""),
        (("--plugin", "onnx", "--protocol", "lfw"), "--plugin onnx needs --weights FILE"),
        (("--plugin", "onnx", "--protocol", "lfw", "--weights", "x", "--loss", "arcface"), "section 'loss' does not apply"),
        (("--plugin", "arcface", "--protocol", "lfw", "--train-data", "./absent"), "absent: no such file or folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(call, tmp_path, arguments, said):
    assert told(call("run", *arguments)).startswith(said)
    assert everything(tmp_path / "work") == []
    assert not [path for path in (tmp_path / "work").rglob("*") if path.name.startswith("2")]


def test_cuda_that_is_not_there(call, monkeypatch, tmp_path):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = told(
        call("run", "--plugin", "arcface", "--protocol", "lfw", "--device", "cuda", "--set", "train_data.identities=2")
    )
    assert said == "device 'cuda' was asked for, but torch sees no CUDA device; use --device cpu"
    assert everything(tmp_path / "work") == []


def test_a_data_root_in_the_environment(call, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_DATA", str(tmp_path / "absent"))
    assert told(call("run", "--plugin", "arcface", "--protocol", "lfw")).startswith(
        f"data root {tmp_path / 'absent'} is"
    )


def test_a_picture_cut_short(evaluate, data, tmp_path):
    path = data / "images" / "b" / "1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    said = told(evaluate())
    assert "b/1" in said
    assert everything(tmp_path / "work") == []


def test_a_pair_that_names_an_absent_picture(evaluate, data, tmp_path):
    (data / "images" / "d" / "1.jpg").unlink()
    line = (data / "pairs.txt").read_text().splitlines().index("d/0 d/1 1") + 1
    assert told(evaluate()).startswith(f"{data / 'pairs.txt'}, line {line}: no picture 'd/1' in images (1 of ")
    assert everything(tmp_path / "work") == []


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pack_that_would_run_code_is_refused_and_does_not_run(evaluate, data, tmp_path, protocol):
    mark = tmp_path / "it ran"
    pack = data / "pairs.bin"
    pack.write_bytes(pickle.dumps(([Bomb(mark), Bomb(mark)], [True]), protocol=protocol))
    said = told(evaluate())
    assert said.startswith(f"{pack}: ")
    assert "exec" in said
    assert not mark.exists()
    assert everything(tmp_path / "work") == []


def test_weights_that_would_run_code_are_refused_and_do_not_run(call, tmp_path):
    import torch

    mark = tmp_path / "it ran"
    torch.save({"layers.0.weight": Bomb(mark)}, tmp_path / "w.pth")
    said = told(call("run", "--plugin", "arcface", "--protocol", "lfw", "--weights", tmp_path / "w.pth"))
    assert "reading it could run code" in said
    assert not mark.exists()
    assert everything(tmp_path / "work") == []


def test_weights_of_another_network(call, tmp_path):
    import torch

    torch.save(TinyBackbone().state_dict(), tmp_path / "w.pth")
    said = told(
        call(
            "run", "--plugin", "arcface", "--backbone", "tinynet", "--protocol", "lfw", "--weights", tmp_path / "w.pth"
        )
    )
    assert "weights do not fit the network" in said
    assert everything(tmp_path / "work") == []


def test_a_pack_cut_short(evaluate, data, tmp_path):
    (data / "pairs.bin").write_bytes(pickle.dumps(([b"x", b"y"], [True]), protocol=2)[:-4])
    assert told(evaluate()).startswith(f"{data / 'pairs.bin'}: ")
    assert everything(tmp_path / "work") == []


def test_a_place_that_cannot_be_written(evaluate, tmp_path):
    (tmp_path / "file").write_text("")
    assert told(evaluate("--out", tmp_path / "file")).startswith("cannot make the run folder ")
    assert told(evaluate("--cache", tmp_path / "file")).startswith("cannot make the folder ")


def test_a_bug_keeps_its_traceback(toys, call, monkeypatch):
    def broken(*arguments, **more):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("facebench.runner.run", broken)
    with pytest.raises(ZeroDivisionError):
        call("run", "--plugin", "means", "--protocol", "toy")


def test_an_interruption_is_told_in_a_sentence(toys, call, monkeypatch):
    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("facebench.runner.run", interrupted)
    said = call("run", "--plugin", "means", "--protocol", "toy")
    assert said.code == 1
    assert said.out == ""
    assert said.err.strip() == "facebench: interrupted; the same command continues where it stopped"


def test_a_leaderboard_that_is_newer_than_all_results_is_left(evaluate, tmp_path):
    evaluate()
    pages = sorted((tmp_path / "work" / "leaderboard").iterdir())
    before = [page.stat().st_mtime_ns for page in pages]
    said = evaluate()
    assert [page.stat().st_mtime_ns for page in pages] == before
    assert all(f"leaderboard: leaderboard/{page.name}" in said.out for page in pages)
    pages[0].unlink()
    evaluate()
    assert pages[0].is_file()


def test_a_result_from_elsewhere_updates_the_leaderboard(evaluate, tmp_path):
    evaluate()
    work = tmp_path / "work"
    page = work / "leaderboard" / "leaderboard.md"
    (stored,) = work.glob("runs/*/results/*.json")
    other = work / "runs" / "another" / "results" / "pairs.json"
    other.parent.mkdir(parents=True)
    other.write_text(stored.read_text().replace('"model": "', '"model": "another '))
    before = page.stat().st_mtime_ns
    evaluate()
    assert page.stat().st_mtime_ns > before
