"""The commands that show and write: list, info, plugins, report, doctor; and the entrance itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import facebench
from facebench.cli import _COMMANDS


def told(said):
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1, said.err
    return said.err.removeprefix("facebench: ").rstrip()


# The entrance.


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), *((name, "--help") for name in ("run", "train", "list", "doctor"))]
)
def test_help(call, arguments):
    said = call(*arguments)
    assert (said.code, said.err) == (0, "")
    assert "Usage: facebench" in said.out
    assert "facebench run" in said.out or arguments[0] in ("train", "list", "doctor")


def test_help_lists_every_command(call):
    said = call("--help")
    for name in _COMMANDS:
        assert f"\n  {name} " in said.out


def test_the_version(call):
    assert call("--version").out == f"facebench, version {facebench.__version__}\n"


@pytest.mark.parametrize(
    ("name", "meant"), [("rnu", "run"), ("lst", "list"), ("docter", "doctor"), ("reports", "report")]
)
def test_an_unknown_command_is_told_with_what_was_meant(call, name, meant):
    assert told(call(name)).startswith(f"unknown command '{name}'; did you mean '{meant}'? offered: ")


def test_help_still_works_after_the_command_list_in_one_process(call):
    """Its module takes the name ``list`` in the package."""
    call("list", "losses")
    assert call("--help").code == 0


def test_an_unknown_flag_is_told(call):
    said = call("run", "--protocl", "lfw")
    assert said.code == 2
    assert "--protocol" in said.err
    assert call("--versoin").code == 2


def test_python_m_facebench():
    done = subprocess.run([sys.executable, "-m", "facebench", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"facebench, version {facebench.__version__}\n")
    done = subprocess.run([sys.executable, "-m", "facebench", "list", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("facebench: unknown kind 'x'")


def test_showing_what_there_is_waits_for_nothing_heavy():
    script = """
import sys
from facebench.cli import cli
for arguments in (["--help"], ["run", "--help"], ["train", "--help"], ["list"], ["info", "arcface"], ["plugins"]):
    cli.main(arguments, standalone_mode=False)
heavy = {"torch", "scipy", "matplotlib", "onnx", "onnxruntime", "pandas"} & set(sys.modules)
sys.exit(", ".join(sorted(heavy)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m facebench list | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


# list


def test_list_shows_every_kind(call):
    said = call("list")
    assert (said.code, said.err) == (0, "")
    for kind in ("trainers", "embedders", "protocols", "backbones", "losses", "datasets", "reports"):
        assert f"\n{kind}:" in f"\n{said.out}"
    assert f"(facebench {facebench.__version__})" in said.out


def test_list_of_one_kind(call):
    said = call("list", "losses")
    assert said.out.startswith("losses:\n")
    assert "\n  arcface " in said.out
    assert "protocols" not in said.out


def test_list_as_json(call):
    found = json.loads(call("list", "--json").out)
    assert {"kind", "name", "summary", "plugin", "distribution", "version"} == set(found[0])
    only = json.loads(call("list", "protocols", "--json").out)
    assert {offer["kind"] for offer in only} == {"protocols"}
    assert {"lfw", "pairs"} <= {offer["name"] for offer in only}
    assert [offer["name"] for offer in only] == sorted(offer["name"] for offer in only)


def test_list_of_an_unknown_kind(call):
    assert told(call("list", "loses")).startswith("unknown kind 'loses'; did you mean 'losses'?")


def test_list_without_a_plugin(call):
    assert "onnx" not in call("list", "embedders", "--no-plugin", "onnx").out


def test_list_mentions_problems_beside_its_output(toys, call):
    from facebench.host import Plugin, Problem

    toys.host.problems.append(Problem(Plugin("bad", "bad", "facebench-bad", "1"), "import failed"))
    said = call("list", "losses", "--json")
    assert json.loads(said.out)
    said = call("list", "losses")
    assert said.err.strip() == "1 problem(s) with plugins; see 'facebench plugins'"
    assert "generators:\n  maker" in call("list").out


# info


def test_info_explains_everything_of_a_name(call):
    said = call("info", "arcface")
    assert "arcface (loss): " in said.out
    assert "arcface (trainer): " in said.out
    assert "cites Deng" in said.out
    assert "options (--set loss.NAME=VALUE):" in said.out
    assert "    margin " in said.out


def test_info_of_one_kind_as_json(call):
    (document,) = json.loads(call("info", "arcface", "--kind", "losses", "--json").out)
    assert (document["name"], document["kind"], document["section"]) == ("arcface", "loss", "loss")
    margin = next(option for option in document["options"] if option["name"] == "margin")
    assert (margin["type"], margin["default"]) == ("float", 0.5)
    assert margin["help"]


def test_info_of_a_protocol_tells_the_layout_and_the_section(call):
    said = call("info", "lfw")
    assert "layout: DATA_ROOT/lfw/lfw.bin" in said.out
    assert "--set protocol.lfw.NAME=VALUE" in said.out


def test_info_of_a_data_set_tells_source_and_licence(call):
    said = call("info", "demo")
    assert "licence: " in said.out
    assert "--set train_data.NAME=VALUE" in said.out


def test_every_name_can_be_explained(call):
    for offer in json.loads(call("list", "--json").out):
        said = call("info", offer["name"], "--kind", offer["kind"])
        assert said.code == 0
        assert offer["summary"] in said.out
        assert json.loads(call("info", offer["name"], "--json").out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("arcfase",), "unknown name 'arcfase'; did you mean 'arcface'?"),
        (("lfw", "--kind", "losses"), "unknown name 'lfw'"),
        (("lfw", "--kind", "loses"), "unknown kind 'loses'; did you mean 'losses'?"),
    ],
)
def test_info_of_nothing(call, arguments, said):
    assert told(call("info", *arguments)).startswith(said)


# plugins


def test_plugins_are_shown_with_their_hooks(call):
    said = call("plugins")
    assert said.code == 0
    assert said.out.startswith("plugin ")
    assert any(line.startswith("arcface ") and "losses, trainers" in line for line in said.out.splitlines())
    found = json.loads(call("plugins", "--json").out)
    assert found["problems"] == []
    arcface = next(plugin for plugin in found["plugins"] if plugin["name"] == "arcface")
    assert arcface["hooks"] == ["facebench_losses", "facebench_trainers"]
    assert arcface["module"] == "facebench_arcface.plugin"


def test_problems_are_shown_with_their_reason(toys, call):
    from facebench.host import Plugin, Problem

    toys.host.problems.append(Problem(Plugin("bad", "bad.plugin", "facebench-bad", "1.2"), "import failed: no torch"))
    assert "\nproblems:\n  bad (facebench-bad 1.2): import failed: no torch\n" in call("plugins").out
    (problem,) = json.loads(call("plugins", "--json").out)["problems"]
    assert (problem["name"], problem["reason"]) == ("bad", "import failed: no torch")


# report


@pytest.fixture
def runs(toys, tmp_path):
    """Two stored results; reports are written by what is really installed."""
    toys.run(plugin="means", protocols=("toy", "other"))
    return tmp_path / "runs"


def test_a_report_names_the_files_it_wrote(runs, call, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    said = call("report", runs, "--format", "markdown", "--out", tmp_path / "pages")
    assert said.code == 0
    files = said.out.splitlines()
    assert files
    assert all((tmp_path / file).is_file() for file in files)
    text = "".join(path.read_text() for path in (tmp_path / "pages").glob("*.md"))
    assert "toy (demo)" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no results at runs: there is no such file or folder"),
        (("absent",), "no results at absent"),
        ((".",), "no results in .; run 'facebench run"),
        ((".", "--format", "htlm"), "unknown report 'htlm'; did you mean 'html'?"),
    ],
)
def test_reports_of_nothing(call, arguments, said, tmp_path):
    assert told(call("report", *arguments)).startswith(said)
    assert list((tmp_path / "work").iterdir()) == []


# doctor


def test_doctor_finds_this_machine_in_order(call, tmp_path):
    said = call("doctor")
    assert said.code == 0
    for check in ("python", "torch", "extra onnx", "data root", "cache", "disk", "plugins"):
        assert check in said.out
    assert str(tmp_path / "cache") in said.out
    found = json.loads(call("doctor", "--json").out)
    assert {tuple(row) for row in found} == {("state", "check", "found")}
    assert {row["state"] for row in found} <= {"ok", "note"}


def test_doctor_says_what_is_wrong(call, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_DATA", str(tmp_path / "absent"))
    said = call("doctor")
    assert said.code == 2
    assert f"FACEBENCH_DATA={tmp_path / 'absent'}: no folder" in said.out
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    said = call("doctor")
    assert said.code == 2
    assert "set FACEBENCH_CACHE" in said.out


def test_doctor_notes_what_could_be_installed(call, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else real(name, *more))
    said = call("doctor")
    assert said.code == 0
    assert "not installed; pip install 'facebench[onnx]'" in said.out


def test_doctor_counts_problems(toys, call):
    from facebench.host import Plugin, Problem

    toys.host.problems.append(Problem(Plugin("bad", "bad", "facebench-bad", "1"), "import failed"))
    said = call("doctor")
    assert said.code == 0
    assert "1 loaded, 1 problem(s): see 'facebench plugins'" in said.out
