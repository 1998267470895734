from __future__ import annotations

import importlib.metadata
import logging
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from facebench import BackboneSpec, LossSpec, NoOptions, TrainerSpec, hookimpl, option, options
from facebench.errors import ConfigError, PluginError, UnknownName
from facebench.hooks import RunInfo
from facebench.host import Host, Plugin


@options
class SomeOptions:
    """Options as authors write them."""

    margin: float = option(default=0.5, help="a number")


@dataclass
class Point:
    """An entry point, as far as the host looks at it."""

    name: str
    found: object
    distribution: str = "stranger"
    version: str = "2.0"
    value: str = field(default="")

    def __post_init__(self):
        self.value = self.value or f"{self.distribution}_{self.name}".replace("-", "_")
        self.dist = SimpleNamespace(name=self.distribution, version=self.version)

    def load(self):
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


def build(*arguments):
    raise AssertionError("nothing is built when offers are listed")


def loss(name="plain", **changed):
    return LossSpec(**{"name": name, "summary": "a loss", "build": build, **changed})


def module(**functions):
    """A plugin module whose functions are marked with ``hookimpl``."""
    made = ModuleType("made")
    for name, function in functions.items():
        setattr(made, name, hookimpl(function))
    return made


def offering(*specs, kind="losses"):
    return module(**{f"facebench_{kind}": lambda: list(specs)})


def good(name="good", distribution="good-dist", offered="fine"):
    return Point(name, offering(loss(offered)), distribution)


def bundled(name="ours", *specs):
    return Point(name, offering(*(specs or (loss("ours"),))), "facebench", "0.1.0")


def reasons(host):
    return {problem.plugin.name: problem.reason for problem in host.problems}


def test_an_offer_is_found_with_the_plugin_it_came_from():
    host = Host([good()])
    offer = host.catalog.get("losses", "fine")
    assert offer.plugin == Plugin("good", "good_dist_good", "good-dist", "2.0")
    assert str(offer.plugin) == "good (good-dist 2.0)"
    assert not offer.plugin.bundled
    assert host.catalog.names("losses") == ["fine"]
    assert host.catalog.names("backbones") == []
    assert host.problems == []
    assert host.hooks_of(offer.plugin) == ["facebench_losses"]


def test_a_plugin_may_be_an_object_and_not_a_module():
    class Holder:
        @hookimpl
        def facebench_losses(self):
            return (loss("held"),)

    assert Host([Point("holder", Holder())]).catalog.names("losses") == ["held"]


def test_an_offer_may_be_a_generator_or_nothing():
    def some():
        yield loss("one")
        yield loss("two")

    host = Host([Point("some", module(facebench_losses=some)), Point("none", module(facebench_losses=lambda: None))])
    assert host.catalog.names("losses") == ["one", "two"]
    assert [plugin.name for plugin in host.plugins] == ["some", "none"]


def test_nothing_installed_is_an_empty_catalog():
    host = Host([])
    assert list(host.catalog) == []
    with pytest.raises(UnknownName, match="unknown loss 'arcface'; offered: nothing"):
        host.catalog.get("losses", "arcface")


# What can go wrong with one plugin; the good one beside it must not notice.


class Sulking(ModuleType):
    """A module that answers with an error when its names are read."""

    def __dir__(self):
        raise RuntimeError("do not touch me")


def raising(error):
    def offer():
        raise error

    return module(facebench_losses=offer)


def raising_midway():
    def offer():
        yield loss("early")
        raise OSError("disk gone")

    return module(facebench_losses=offer)


BROKEN = {
    "import error": (ModuleNotFoundError("No module named 'nowhere'"), "import failed: ModuleNotFoundError: No module"),
    "import raises": (ZeroDivisionError("division by zero"), "import failed: ZeroDivisionError: division by zero"),
    "import exits": (SystemExit(3), "import failed: SystemExit: 3"),
    "import says nothing": (ValueError(), "import failed: ValueError"),
    "import says much": (ValueError("\n\nfirst\nsecond"), "import failed: ValueError: first"),
    "unreadable module": (Sulking("sulking"), "its hooks do not fit: RuntimeError: do not touch me"),
    "misspelt hook": (
        module(facebench_lossess=lambda: []),
        "its hooks do not fit: PluginValidationError: unknown hook",
    ),
    "wrong argument": (
        module(facebench_losses=lambda everything: []),
        "its hooks do not fit: PluginValidationError: Plugin 'broken' for hook 'facebench_losses'",
    ),
    "raises": (raising(KeyError("nope")), "facebench_losses failed: KeyError: 'nope'"),
    "exits": (raising(SystemExit("bye")), "facebench_losses failed: SystemExit: bye"),
    "raises midway": (raising_midway(), "facebench_losses failed: OSError: disk gone"),
    "no list": (
        module(facebench_losses=lambda: loss()),
        "facebench_losses failed: TypeError: 'LossSpec' object is not",
    ),
    "a string": (module(facebench_losses=lambda: "x"), "facebench_losses offered a str instead of a LossSpec"),
    "wrong kind": (
        offering(BackboneSpec(name="net", summary="a network", build=build)),
        "facebench_losses offered a BackboneSpec instead of a LossSpec",
    ),
    "capital name": (offering(loss("ArcFace")), "offered the name 'ArcFace'; names are lower-case letters"),
    "empty name": (offering(loss("")), "offered the name ''"),
    "path as name": (offering(loss("../x")), "offered the name '../x'"),
    "name with line end": (offering(loss("x\n")), r"offered the name 'x\n'"),
    "number as name": (offering(loss(7)), "offered the name 7"),
    "no summary": (offering(loss(summary=" ")), "offered 'plain' without a summary"),
    "not callable": (offering(loss(build=None)), "offered 'plain' with a build that cannot be called"),
    "options missing": (offering(loss(options=None)), "offered 'plain' whose options are not a class made by"),
    "options made": (offering(loss(options=NoOptions())), "offered 'plain' whose options are not a class made by"),
    "plain dataclass": (offering(loss(options=Point)), "offered 'plain' whose options are not a class made by"),
    "cites a string": (offering(loss(cites="a paper")), "offered 'plain' whose cites is 'a paper'"),
    "cites a number": (offering(loss(cites=(2019,))), "offered 'plain' whose cites are not all strings"),
    "no backbone": (
        module(
            facebench_trainers=lambda: [
                TrainerSpec(name="t", summary="trains", build=build, backbone=None, loss="arcface")
            ]
        ),
        "facebench_trainers offered 't' whose backbone is None",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_costs_only_itself_its_place(case):
    found, said = BROKEN[case]
    host = Host([Point("broken", found), good()])
    assert host.catalog.names("losses") == ["fine"]
    assert host.catalog.names("backbones") == host.catalog.names("trainers") == []
    assert set(reasons(host)) == {"broken"}
    assert said in reasons(host)["broken"]
    assert "\n" not in reasons(host)["broken"]


@pytest.mark.parametrize("case", BROKEN)
def test_asking_for_a_broken_plugin_tells_why_in_one_line(case):
    found, said = BROKEN[case]
    host = Host([Point("broken", found), good()])
    with pytest.raises(PluginError) as caught:
        host.catalog.get("losses", "broken")
    assert str(caught.value).startswith("loss 'broken' is not available: plugin broken (stranger 2.0): ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_mentions_plugins_that_may_have_had_it():
    host = Host([Point("broken", ValueError("x")), good()])
    with pytest.raises(
        UnknownName, match=r"unknown loss 'fin'; did you mean 'fine'\? offered: fine; plugins with"
    ) as told:
        host.catalog.get("losses", "fin")
    assert str(told.value).endswith("plugins with problems: broken (see 'facebench plugins')")


def test_everything_broken_at_once():
    points = [Point(f"broken-{n}", found) for n, (found, _) in enumerate(BROKEN.values())]
    host = Host([*points, good()])
    assert host.catalog.names("losses") == ["fine"]
    assert {problem.plugin.name for problem in host.problems} == {point.name for point in points}


def test_good_specs_of_a_plugin_survive_its_malformed_ones():
    host = Host([Point("half", offering(loss("right"), loss("WRONG"), "neither"))])
    assert host.catalog.names("losses") == ["right"]
    assert [problem.reason.split(" offered ")[1][:5] for problem in host.problems] == ["the n", "a str"]


def test_a_plugin_whose_hooks_do_not_fit_is_taken_out_whole():
    half = module(facebench_losses=lambda: [loss("half")], facebench_lossess=lambda: [])
    host = Host([Point("half", half), good()])
    assert host.catalog.names("losses") == ["fine"]
    assert [plugin.name for plugin in host.plugins] == ["good"]


def test_options_without_a_default_are_refused():
    @options
    class Demanding:
        must: int

    host = Host([Point("demanding", offering(loss(options=Demanding)))])
    assert "offered 'plain' whose options give 'must' no default" in reasons(host)["demanding"]


@pytest.mark.parametrize("found", [KeyboardInterrupt(), raising(KeyboardInterrupt())])
def test_an_interruption_passes_through(found):
    with pytest.raises(KeyboardInterrupt):
        Host([Point("slow", found)])


# Names claimed twice.


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_strangers_with_one_plugin_name_neither_wins(order):
    points = [Point("twin", offering(loss("a")), "left"), Point("twin", offering(loss("b")), "right"), good()]
    host = Host(points[::order])
    assert host.catalog.names("losses") == ["fine"]
    assert [problem.plugin.distribution for problem in host.problems] in (["left", "right"], ["right", "left"])
    with pytest.raises(PluginError, match=r"'twin' is claimed by left \(left_twin\) and right \(right_twin\)"):
        host.catalog.get("losses", "twin")


@pytest.mark.parametrize("order", [1, -1])
def test_a_stranger_cannot_take_the_name_of_a_bundled_plugin(order):
    host = Host([bundled("arcface", loss("arcface")), Point("arcface", offering(loss("fake")), "thief")][::order])
    assert host.catalog.get("losses", "arcface").plugin.bundled
    assert host.catalog.names("losses") == ["arcface"]
    assert [problem.plugin.distribution for problem in host.problems] == ["thief"]
    assert "'arcface' is claimed by facebench (facebench_arcface) and thief (thief_arcface)" in host.problems[0].reason


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_strangers_offering_one_name_neither_wins(order):
    points = [good("one", "one-dist", "same"), good("two", "two-dist", "same"), good()]
    host = Host(points[::order])
    assert host.catalog.names("losses") == ["fine"]
    assert set(reasons(host)) == {"one", "two"}
    with pytest.raises(PluginError) as caught:
        host.catalog.get("losses", "same")
    assert "one (one-dist 2.0)" in str(caught.value) and "two (two-dist 2.0)" in str(caught.value)
    assert "the loss name 'same' is claimed by" in str(caught.value)
    assert str(caught.value).endswith("leave one out with --no-plugin")


@pytest.mark.parametrize("order", [1, -1])
def test_a_stranger_cannot_take_the_name_of_a_bundled_offer(order):
    thief = Point("aaa", offering(loss("arcface", summary="a thief's"), loss("own")), "thief")
    host = Host([bundled("arcface", loss("arcface", summary="ours")), thief][::order])
    assert host.catalog.get("losses", "arcface").spec.summary == "ours"
    assert host.catalog.names("losses") == ["arcface", "own"]
    assert reasons(host) == {
        "aaa": "the loss name 'arcface' is claimed by arcface (facebench 0.1.0) and aaa (thief 2.0)"
    }


def test_one_plugin_offering_a_name_twice_is_a_clash_with_itself():
    host = Host([Point("double", offering(loss("same"), loss("same")))])
    assert host.catalog.names("losses") == []
    assert "claimed by double (stranger 2.0) and double (stranger 2.0)" in reasons(host)["double"]


def test_equal_names_of_different_kinds_are_no_clash():
    both = module(
        facebench_losses=lambda: [loss("same")],
        facebench_backbones=lambda: [BackboneSpec(name="same", summary="a network", build=build)],
    )
    host = Host([Point("both", both)])
    assert host.problems == []
    assert (host.catalog.names("losses"), host.catalog.names("backbones")) == (["same"], ["same"])


def test_the_same_entry_point_seen_twice_counts_once():
    host = Host([good(), good()])
    assert host.catalog.names("losses") == ["fine"]
    assert host.problems == []


def test_two_modules_under_one_name_in_one_distribution_are_a_clash():
    points = [Point("twin", offering(loss(name)), "dist", value=name) for name in ("a", "b")]
    host = Host(points)
    assert host.catalog.names("losses") == []
    assert "claimed by dist (a) and dist (b)" in reasons(host)["twin"]


def test_one_module_under_two_names_is_loaded_once():
    shared = offering(loss("shared"))
    host = Host([Point("first", shared), Point("second", shared)])
    assert host.catalog.get("losses", "shared").plugin.name == "first"
    assert set(reasons(host)) == {"second"}


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
