"""Strangers' plugins in memory: entry points, modules and offers, good and bad."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

from facebench import LossSpec, hookimpl, option, options


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
