from __future__ import annotations

import dataclasses
import math
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Literal

import pytest
from pydantic import ValidationError

import facebench
from facebench.config import build_options
from facebench.declare import NoOptions, described, option, options, undecided, unusable
from facebench.errors import ConfigError, UnknownName


@options
class Sample:
    """One of each."""

    margin: float = option(default=0.5, help="an angle, radians", ge=0, le=3)
    rate: float = option(default=0.1, help="a rate", gt=0)
    kind: Literal["hard", "easy"] = option(default="hard", help="which way")
    marks: tuple[float, ...] = option(default=(0.5,), help="where", min_length=1, max_length=3)
    limits: dict[str, int] = option(default={}, help="by name")
    label: str | None = None


def test_defaults_hold_without_a_word_from_the_user():
    assert Sample() == Sample(margin=0.5, rate=0.1, kind="hard", marks=(0.5,), limits={}, label=None)


def test_defaults_are_not_shared_between_instances():
    Sample().limits["a"] = 1
    assert Sample().limits == {}


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().margin = 1.0


@pytest.mark.parametrize(
    "values",
    [
        {"margin": -0.1},
        {"margin": 3.1},
        {"margin": "wide"},
        {"margin": None},
        {"rate": 0},
        {"kind": "soft"},
        {"marks": ()},
        {"marks": (1, 2, 3, 4)},
        {"limits": {"a": "many"}},
        {"label": 3},
    ],
)
def test_a_wrong_value_is_refused_by_name(values):
    with pytest.raises(ConfigError, match=rf"section\.{next(iter(values))}"):
        build_options(Sample, values, "section")


def test_an_unknown_option_is_refused_with_what_was_meant():
    with pytest.raises(
        UnknownName, match=r"unknown option in 'loss': 'margins'; did you mean 'margin'\? offered: kind"
    ):
        build_options(Sample, {"margins": 0.5}, "loss")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf"])
@pytest.mark.parametrize("name", ["margin", "rate"])
def test_no_option_is_infinite_or_nan(name, value):
    with pytest.raises(ConfigError, match=f"loss.{name}"):
        build_options(Sample, {name: value}, "loss")


def test_numbers_may_come_as_strings_as_they_do_from_the_environment():
    assert build_options(Sample, {"margin": "0.25"}, "loss").margin == 0.25


def test_a_default_outside_its_own_limits_is_found():
    @options
    class Wrong:
        margin: float = option(default=5.0, help="too large", le=1)

    with pytest.raises(ConfigError, match=r"loss\.margin = 5\.0: input should be less than or equal to 1"):
        build_options(Wrong, {}, "loss")


def test_described_tells_what_info_shows():
    assert list(described(Sample)) == [
        ("margin", "float", 0.5, "an angle, radians"),
        ("rate", "float", 0.1, "a rate"),
        ("kind", "Literal['hard', 'easy']", "hard", "which way"),
        ("marks", "tuple[float, ...]", (0.5,), "where"),
        ("limits", "dict[str, int]", {}, "by name"),
        ("label", "str | None", None, ""),
    ]
    assert list(described(NoOptions)) == []
    assert list(described(int)) == []


def test_described_names_types_alike_where_annotations_are_not_strings():
    names = [name for name, *_ in described(Sample)]
    annotations = {"margin": float, "kind": Literal["hard", "easy"], "marks": tuple[float, ...], "label": str | None}
    evaluated = dataclasses.make_dataclass("Evaluated", [(n, t, None) for n, t in annotations.items()])
    found = {name: kind for name, kind, *_ in described(evaluated)}
    assert set(found) <= set(names)
    assert found == {name: kind for name, kind, *_ in described(Sample) if name in found}


def test_described_calls_a_default_factory():
    made = dataclasses.make_dataclass("Made", [("names", list, dataclasses.field(default_factory=lambda: ["a"]))])
    assert list(described(made)) == [("names", "list", ["a"], "")]


def test_unusable_lets_options_pass():
    assert unusable(Sample) == unusable(NoOptions) == ""


@pytest.mark.parametrize("cls", [None, int, "Sample", NoOptions(), dataclasses.make_dataclass("Plain", [])])
def test_unusable_refuses_what_options_did_not_make(cls):
    assert "are not a class made by facebench.options" in unusable(cls)


def test_unusable_refuses_an_option_without_default():
    @options
    class Demanding:
        must: int
        may: int = option(default=1, help="a number")

    assert unusable(Demanding) == "give 'must' no default"


def test_public_names_do_not_depend_on_what_was_imported_first():
    """A room called like a public name would take its place in the package as soon as it is imported."""
    rooms = {module.name for module in pkgutil.iter_modules(facebench.__path__)}
    assert rooms & set(facebench.__all__) == set()
    code = "import facebench.api, facebench; assert callable(facebench.run) and callable(facebench.options)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_options_that_cannot_change_a_number_are_known():
    @options
    class Some:
        margin: float = option(default=0.5, help="margin")
        workers: int = option(default=0, help="threads", decides=False, ge=0)

    assert undecided(Some) == {"workers"}
    assert undecided(NoOptions) == set()
    with pytest.raises(ValidationError):
        Some(workers=-1)


@options
class Taller(Sample):
    """A sample with more."""

    kind: Literal["soft", "hard"] = option(default="soft", help="another way")
    workers: int = option(default=0, help="threads", decides=False, ge=0)


@options
class Tallest(Taller):
    """More still; its own check runs beside the inherited limits."""

    height: float = option(default=2.0, help="metres", gt=0)

    def __post_init__(self) -> None:
        if self.height < self.margin:
            raise ConfigError("height is below margin")


def test_options_are_inherited():
    assert list(described(Tallest)) == [
        *list(described(Sample))[:2],
        ("kind", "Literal['soft', 'hard']", "soft", "another way"),
        *list(described(Sample))[3:],
        ("workers", "int", 0, "threads"),
        ("height", "float", 2.0, "metres"),
    ]
    assert (undecided(Sample), undecided(Tallest)) == (set(), {"workers"})
    assert unusable(Taller) == unusable(Tallest) == ""
    assert Tallest(margin=1.0, kind="hard", height=1.5) == Tallest(**dataclasses.asdict(Sample(margin=1.0)), height=1.5)
    assert Sample().kind == "hard", "a child changed its parent"


@pytest.mark.parametrize("values", [{"margin": 3.1}, {"kind": "easy"}, {"workers": -1}, {"height": 0}, {"marks": ()}])
def test_inherited_options_keep_their_checks(values):
    with pytest.raises(ConfigError, match=rf"trainer\.{next(iter(values))}"):
        build_options(Tallest, values, "trainer")


def test_an_inheriting_class_refuses_what_nobody_declared():
    with pytest.raises(UnknownName, match=r"did you mean 'margin'\?"):
        build_options(Tallest, {"margins": 1}, "trainer")
    with pytest.raises(ConfigError, match="height is below margin"):
        build_options(Tallest, {"height": 0.1}, "trainer")


def test_what_a_parent_needs_for_its_types_the_child_need_not_import(monkeypatch):
    """Annotations are strings; those of the parent are read where the parent was written."""
    module = ModuleType("stranger")
    monkeypatch.setitem(sys.modules, "stranger", module)
    source = "from __future__ import annotations\nclass Own(Parent):\n    size: int = 3\n"
    vars(module).update(Parent=Sample)
    exec(source, vars(module))
    own = options(module.Own)
    assert own(kind="easy") == own(kind="easy", size=3, margin=0.5)
    with pytest.raises(ConfigError, match=r"trainer\.kind"):
        build_options(own, {"kind": "soft"}, "trainer")
