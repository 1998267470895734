from __future__ import annotations

from types import ModuleType

import pytest
from strangers import Point, build, bundled, good, loss, module, offering, reasons

from facebench import BackboneSpec, NoOptions, TrainerSpec, hookimpl, options
from facebench.errors import PluginError, UnknownName
from facebench.host import Host, Plugin


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
