"""Strangers' packages, really installed: one that works, and one for each way of being broken."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import facebench

PACKAGES = Path(__file__).with_name("third_party")


@dataclass(frozen=True)
class Broken:
    """A broken package: its plugin's name, and what must be said of it.

    ``asked`` is a name that only this package would have offered.
    """

    plugin: str
    distribution: str
    reasons: tuple[str, ...]
    asked: str
    kept: tuple[str, ...] = ()


BROKEN = {
    "broken_import": Broken(
        "broken-import",
        "facebench-broken-import 0.1",
        ("import failed: ModuleNotFoundError: No module named 'a_module_that_nobody_has'",),
        asked="broken-import",
    ),
    "broken_hook": Broken(
        "broken-hook",
        "facebench-broken-hook 0.2",
        ("facebench_losses failed: RuntimeError: the licence server",),
        asked="broken-hook",
    ),
    "broken_clash": Broken(
        "arcface",
        "facebench-broken-clash 0.3",
        ("the plugin name 'arcface' is claimed by facebench (facebench_arcface.plugin) and facebench-broken-clash",),
        asked="facebench_broken_clash",
    ),
    "broken_theft": Broken(
        "broken-theft",
        "facebench-broken-theft 0.4",
        ("the loss name 'arcface' is claimed by arcface (facebench", "and broken-theft (facebench-broken-theft 0.4)"),
        asked="broken-theft",
        kept=("own",),
    ),
    "broken_offer": Broken(
        "broken-offer",
        "facebench-broken-offer 0.5",
        (
            "facebench_losses offered a str instead of a LossSpec",
            "facebench_losses offered the name 'Bad Name!'",
            "facebench_protocols offered a LossSpec instead of a ProtocolSpec",
        ),
        asked="broken-offer",
        kept=("survivor",),
    ),
    "broken_spelling": Broken(
        "broken-spelling",
        "facebench-broken-spelling 0.6",
        ("its hooks do not fit: PluginValidationError: unknown hook 'facebench_lossess'",),
        asked="broken-spelling",
    ),
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Installs a package by its folder's name, once, and returns the folder to put on the path."""
    root = tmp_path_factory.mktemp("third party")
    done: dict[str, Path] = {}

    def install(name: str) -> Path:
        if name not in done:
            # A copy, since building leaves files in the source.
            source = shutil.copytree(PACKAGES / name, root / "source" / name)
            done[name] = root / "site" / name
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
            pip += ["--disable-pip-version-check", "--target", str(done[name]), str(source)]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        return done[name]

    return install


@pytest.fixture
def cli(tmp_path):
    """Runs ``facebench`` in a folder of its own, with these folders on the path."""

    def run(*arguments: str, path: tuple[Path, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FACEBENCH_", "PYTHONPATH"))}
        told = os.environ.get("PYTHONPATH")
        environment = kept | {
            "PYTHONPATH": os.pathsep.join([*map(str, path), *([told] if told else [])]),
            "FACEBENCH_CACHE": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "facebench", *arguments],
            cwd=tmp_path,
            env=environment | variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


def fine(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have succeeded."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def one_clear_line(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that must have refused."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("facebench: "), done.stderr
    return lines[0]


def offers(cli, *kind, **given):
    """(Kind, name) to offer, of what third parties and we offer."""
    listed = json.loads(fine(cli("list", *kind, "--json", **given)))
    return {(offer["kind"], offer["name"]): offer for offer in listed}


# The one that works.


def test_a_loss_is_listed_with_its_distribution_and_version(cli, installed):
    listed = fine(cli("list", "losses", path=(installed("facebench_example"),)))
    line = next(line for line in listed.splitlines() if "normface" in line)
    assert "softmax over scaled cosines, without a margin" in line
    assert line.endswith("(facebench-example 1.2.3)")
    assert "arcface" in listed and "problem" not in listed


def test_a_loss_is_listed_for_machines(cli, installed):
    found = offers(cli, path=(installed("facebench_example"),))
    assert found["losses", "normface"] == {
        "kind": "losses",
        "name": "normface",
        "summary": "softmax over scaled cosines, without a margin",
        "plugin": "example",
        "distribution": "facebench-example",
        "version": "1.2.3",
    }
    assert found["trainers", "example"]["distribution"] == "facebench-example"


def test_info_explains_the_loss_and_its_options(cli, installed):
    path = (installed("facebench_example"),)
    (document,) = json.loads(fine(cli("info", "normface", "--json", path=path)))
    scale = next(option for option in document["options"] if option["name"] == "scale")
    assert (scale["name"], scale["type"], scale["default"]) == ("scale", "float", 30.0)
    assert document["cites"] and "NormFace" in document["cites"][0]
    assert "loss.NAME=VALUE" in fine(cli("info", "normface", path=path))


def test_plugins_names_the_hooks_it_fills(cli, installed):
    told = json.loads(fine(cli("plugins", "--json", path=(installed("facebench_example"),))))
    (plugin,) = [plugin for plugin in told["plugins"] if plugin["name"] == "example"]
    assert plugin["hooks"] == ["facebench_losses", "facebench_trainers"]
    assert (plugin["distribution"], plugin["version"]) == ("facebench-example", "1.2.3")
    assert not [problem for problem in told["problems"] if problem["name"] == "example"]


def test_listing_does_not_wait_for_torch(installed):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import facebench_example; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(installed("facebench_example"))], check=True)


@pytest.mark.slow
def test_its_own_tests_pass(installed, tmp_path):
    tests = PACKAGES / "facebench_example" / "test_facebench_example.py"
    environment = os.environ | {"PYTHONPATH": str(installed("facebench_example")), "PYTHONDONTWRITEBYTECODE": "1"}
    pytest_here = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    pytest_here += ["--import-mode=importlib", "-c", os.devnull, str(tests)]
    done = subprocess.run(pytest_here, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


TINY = (
    "--protocol lfw --json --quiet --no-report --device cpu --set trainer.epochs=1 --set trainer.batch_size=16 "
    "--set train_data.identities=8 --set train_data.images=4 --set trainer.workers=1 --set embedding.workers=1"
).split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "distribution"),
    [
        (("--plugin", "arcface", "--loss", "normface", "--backbone", "tinynet"), f"facebench {facebench.__version__}"),
        (("--plugin", "example", "--set", "loss.scale=20"), "facebench-example 1.2.3"),
    ],
    ids=["its loss under our trainer", "its trainer"],
)
def test_a_training_with_a_strangers_loss_ends_in_a_result(cli, installed, tmp_path, method, distribution):
    done = cli("run", *method, *TINY, path=(installed("facebench_example"),))
    (result,) = json.loads(fine(done))
    assert result["subject"]["plugin"] == method[1]
    assert result["subject"]["distribution"] == distribution
    assert result["subject"]["model"].startswith("tinynet + normface")
    assert result["data"]["demo"] is True
    (accuracy, *_) = [metric["value"] for metric in result["metrics"] if metric["name"] == "accuracy"]
    assert 0.4 < accuracy <= 1
    (journal,) = (tmp_path / "cache" / "training").glob("*/metrics.csv")
    header, row = (line.split(",") for line in journal.read_text().splitlines())
    values = dict(zip(header, map(float, row), strict=True))
    # Eight classes at random: the loss of an untrained network is near ln 8 or above.
    assert math.isfinite(values["loss"]) and values["loss"] > 1
    assert -1 <= values["target_cosine"] <= 1


def test_a_wrong_option_of_a_stranger_is_one_clear_line(cli, installed):
    path = (installed("facebench_example"),)
    run = ("run", "--plugin", "arcface", "--loss", "normface", "--protocol", "lfw")
    assert "unknown option in 'loss': 'scal'; did you mean 'scale'?" in one_clear_line(
        cli(*run, "--set", "loss.scal=1", path=path)
    )
    assert "loss.scale = -1: input should be greater than 0" in one_clear_line(
        cli(*run, "--set", "loss.scale=-1", path=path)
    )


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ((), {"FACEBENCH_PLUGINS": "off"}),
        (("--no-plugin", "example"), {}),
    ],
    ids=["FACEBENCH_PLUGINS=off", "--no-plugin"],
)
def test_a_stranger_can_be_left_out(cli, installed, arguments, variables):
    path = (installed("facebench_example"),)
    listed = fine(cli("list", "losses", *arguments, path=path, **variables))
    assert "arcface" in listed and "normface" not in listed
    said = one_clear_line(cli("info", "normface", *arguments, path=path, **variables))
    assert "unknown name 'normface'" in said


def test_what_is_uninstalled_is_gone(cli, installed, tmp_path):
    site = shutil.copytree(installed("facebench_example"), tmp_path / "site")
    assert ("losses", "normface") in offers(cli, "losses", path=(site,))
    shutil.rmtree(site)
    left = offers(cli, "losses", path=(site,))
    assert ("losses", "arcface") in left and ("losses", "normface") not in left


# The broken ones, each alone and all at once, beside the one that works.


@dataclass(frozen=True)
class Site:
    """Broken packages and the path that holds them, with the whole one last."""

    packages: tuple[Broken, ...]
    path: tuple[Path, ...]


def site_of(names, installed):
    return Site(tuple(BROKEN[name] for name in names), tuple(installed(n) for n in (*names, "facebench_example")))


@pytest.fixture(params=[*BROKEN, "all"])
def broken(request, installed):
    """Each broken package alone, and all together."""
    return site_of(BROKEN if request.param == "all" else [request.param], installed)


@pytest.fixture
def all_broken(installed):
    """All broken packages together."""
    return site_of(BROKEN, installed)


def test_everything_else_is_still_listed_and_right(cli, broken):
    alone, beside = offers(cli, path=broken.path[-1:]), offers(cli, path=broken.path)
    kept = {("losses", name) for package in broken.packages for name in package.kept}
    assert set(beside) == set(alone) | kept
    assert all(beside[name] == offer for name, offer in alone.items())
    done = cli("list", path=broken.path)
    assert "normface" in fine(done)
    assert "problem(s) with plugins; see 'facebench plugins'" in done.stderr


def test_plugins_names_plugin_distribution_and_reason(cli, broken):
    shown = fine(cli("plugins", path=broken.path)).partition("problems:")[2].splitlines()
    told = json.loads(fine(cli("plugins", "--json", path=broken.path)))
    for package in broken.packages:
        lines = [line for line in shown if line.startswith(f"  {package.plugin} ({package.distribution}): ")]
        problems = [problem for problem in told["problems"] if package.distribution.startswith(problem["distribution"])]
        assert {problem["name"] for problem in problems} == {package.plugin}
        for reason in package.reasons:
            assert any(reason in line for line in lines), shown
            assert any(reason in problem["reason"] for problem in problems)
    known = {package.distribution.split()[0] for package in broken.packages}
    assert {problem["distribution"] for problem in told["problems"]} == known
    assert {"arcface", "example"} <= {plugin["name"] for plugin in told["plugins"]}


def test_info_still_explains_what_is_whole(cli, broken):
    assert "offered by facebench " in fine(cli("info", "lfw", path=broken.path))


@pytest.mark.slow
def test_doctor_notes_the_problems_and_passes(cli, broken):
    checks = {row["check"]: row for row in json.loads(fine(cli("doctor", "--json", path=broken.path)))}
    assert checks["plugins"]["state"] == "note"
    assert "see 'facebench plugins'" in checks["plugins"]["found"]


@pytest.mark.parametrize("name", BROKEN)
def test_asking_for_what_is_broken_is_one_clear_line(cli, installed, tmp_path, name):
    package, path = BROKEN[name], site_of([name], installed).path
    said = one_clear_line(cli("info", package.asked, path=path))
    assert f"name {package.asked!r} is not available: plugin {package.plugin} ({package.distribution}): " in said
    assert any(reason in said for reason in package.reasons)
    ran = one_clear_line(cli("run", "--plugin", package.asked, "--protocol", "lfw", path=path))
    assert f"{package.asked!r} is not available: plugin {package.plugin} ({package.distribution}): " in ran
    assert not (tmp_path / "runs").exists()


def test_a_name_taken_by_a_stranger_is_still_ours(cli, all_broken):
    (arcface,) = json.loads(fine(cli("info", "arcface", "--kind", "losses", "--json", path=all_broken.path)))
    assert arcface["distribution"].startswith("facebench ")
    assert "additive angular margin" in arcface["summary"]


def test_a_name_that_nobody_knows_mentions_who_may_have_had_it(cli, all_broken):
    said = one_clear_line(cli("info", "early", path=all_broken.path))
    names = ", ".join(sorted(package.plugin for package in all_broken.packages))
    assert said.endswith(f"plugins with problems: {names} (see 'facebench plugins')")


def test_with_third_parties_off_there_are_no_problems(cli, all_broken):
    told = json.loads(fine(cli("plugins", "--json", path=all_broken.path, FACEBENCH_PLUGINS="off")))
    assert told["problems"] == []
    assert {plugin["distribution"] for plugin in told["plugins"]} == {"facebench"}


def test_broken_plugins_can_be_left_out_by_name(cli, all_broken):
    names = [package.plugin for package in all_broken.packages if package.plugin != "arcface"]
    left_out = [word for name in names for word in ("--no-plugin", name)]
    told = json.loads(fine(cli("plugins", "--json", *left_out, path=all_broken.path)))
    assert {problem["name"] for problem in told["problems"]} == {"arcface"}
    assert not {plugin["name"] for plugin in told["plugins"]} & set(names)
