from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError

import numpy as np

import facebench
from facebench import provenance as room
from facebench.provenance import provenance
from facebench.ranks import World


def told(**changed):
    return provenance(**{"device": "cpu", "threads": 2, "seed": 3, "config": "c" * 16, **changed})


def test_what_is_given_is_kept():
    found = told(run="20260101-000000-x-y")
    assert (found.device, found.threads, found.seed, found.config) == ("cpu", 2, 3, "c" * 16)
    assert found.run == "20260101-000000-x-y"
    assert told().run == ""


def test_versions_are_those_that_run():
    found = told()
    assert found.facebench == facebench.__version__
    assert found.python == platform.python_version()
    assert found.packages["numpy"] == np.__version__
    assert {"torch", "scipy", "pillow", "simplejpeg"} <= set(found.packages)
    assert platform.system() in found.platform


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    real = room.version

    def without_onnx(name):
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(room, "version", without_onnx)
    assert "onnxruntime" not in told().packages
    assert "torch" in told().packages


def test_the_time_is_now_and_has_a_zone():
    moment = datetime.fromisoformat(told().time)
    assert moment.tzinfo is not None
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_processes_that_worked_together_are_counted(monkeypatch):
    assert told().processes == 1
    monkeypatch.setattr(room, "world", lambda: World(0, 8))
    assert told().processes == 8
