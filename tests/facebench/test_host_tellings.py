from __future__ import annotations

import importlib.metadata
import logging
import sys
from types import ModuleType

import pytest
from strangers import Point, bundled, good, module

from facebench import hookimpl
from facebench.errors import ConfigError, UnknownName
from facebench.hooks import RunInfo
from facebench.host import Host

# Tellings.

INFO = RunInfo(plugin="p", protocols=("lfw",), folder=None, config={}, fingerprint="f")


def test_tellings_reach_every_plugin_whatever_the_others_do(caplog):
    heard = []

    def angry(run):
        raise RuntimeError("tracker is down")

    def quitting(run):
        raise SystemExit(1)

    host = Host(
        [
            Point("first", module(facebench_run_started=lambda run: heard.append(("first", run)))),
            Point("angry", module(facebench_run_started=angry)),
            Point("quitting", module(facebench_run_started=quitting)),
            Point("last", module(facebench_run_started=lambda run: heard.append(("last", run)))),
        ]
    )
    with caplog.at_level(logging.WARNING, logger="facebench"):
        host.tell("facebench_run_started", run=INFO)
    assert sorted(heard, key=lambda entry: entry[0]) == [("first", INFO), ("last", INFO)]
    said = {record.message for record in caplog.records}
    assert said == {f"plugin {name} failed in facebench_run_started" for name in ("angry", "quitting")}
    assert all(record.exc_info for record in caplog.records)


def test_a_telling_may_leave_out_arguments():
    heard = []
    short = module(
        facebench_epoch_ended=lambda values: heard.append(values), facebench_run_ended=lambda: heard.append("over")
    )
    host = Host([Point("short", short)])
    host.tell("facebench_epoch_ended", run=INFO, epoch=3, values={"loss": 1.0})
    host.tell("facebench_run_ended", run=INFO, results=())
    assert heard == [{"loss": 1.0}, "over"]


def test_an_interruption_during_a_telling_passes_through():
    def slow(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Host([Point("slow", module(facebench_run_started=slow))]).tell("facebench_run_started", run=INFO)


# Which plugins are asked at all.


@pytest.fixture
def installed(monkeypatch):
    points = [bundled(), good()]
    monkeypatch.setattr("facebench.host.entry_points", lambda *, group: points if group == "facebench" else [])
    monkeypatch.delenv("FACEBENCH_PLUGINS", raising=False)
    return points


def test_start_loads_what_is_installed(installed):
    assert Host.start().catalog.names("losses") == ["fine", "ours"]


def test_a_blocked_plugin_is_never_imported(installed):
    installed.append(Point("trap", AssertionError("imported")))
    host = Host.start(blocked=["good", "trap"])
    assert host.catalog.names("losses") == ["ours"]
    assert host.problems == []


def test_blocking_what_is_not_installed_is_an_error(installed):
    with pytest.raises(UnknownName, match=r"unknown plugin to leave out 'goood'; did you mean 'good'\?"):
        Host.start(blocked=["goood"])


@pytest.mark.parametrize(
    ("told", "third_party"), [("off", False), ("OFF ", False), ("0", False), ("on", True), ("", True), (None, True)]
)
def test_the_environment_switches_third_parties_off(installed, monkeypatch, told, third_party):
    if told is not None:
        monkeypatch.setenv("FACEBENCH_PLUGINS", told)
    assert ("fine" in Host.start().catalog.names("losses")) is third_party


def test_a_caller_decides_over_the_environment(installed, monkeypatch):
    monkeypatch.setenv("FACEBENCH_PLUGINS", "off")
    assert Host.start(third_party=True).catalog.names("losses") == ["fine", "ours"]


def test_a_misspelt_switch_does_not_let_strangers_in(installed, monkeypatch):
    monkeypatch.setenv("FACEBENCH_PLUGINS", "of")
    with pytest.raises(ConfigError, match="FACEBENCH_PLUGINS is 'of'; it must be 'on' or 'off'"):
        Host.start()


def test_an_installation_without_metadata_is_a_plugin_of_unknown_origin(tmp_path, monkeypatch):
    """What an interrupted pip leaves: entry points, a module, and no METADATA."""
    (tmp_path / "halfway_plugin.py").write_text(
        "from facebench import LossSpec, hookimpl\n"
        "@hookimpl\n"
        "def facebench_losses():\n"
        "    return [LossSpec(name='halfway', summary='a loss', build=print)]\n"
    )
    folder = tmp_path / "halfway-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[facebench]\nhalfway = halfway_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        points = [p for p in importlib.metadata.entry_points(group="facebench") if p.name == "halfway"]
        offer = Host(points).catalog.get("losses", "halfway")
    finally:
        sys.modules.pop("halfway_plugin", None)
    assert str(offer.plugin) == "halfway (unknown)"
    assert not offer.plugin.bundled


def test_what_a_plugin_prints_does_not_reach_standard_output(capsys):
    def noisy():
        print("hello from an offer")
        return []

    module = ModuleType("noisy")
    module.facebench_losses = hookimpl(noisy)

    class Point:
        name, value, dist = "noisy", "noisy", None

        def load(self):
            print("hello from an import")
            return module

    Host([Point()])
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "hello from an import" in seen.err
    assert "hello from an offer" in seen.err
