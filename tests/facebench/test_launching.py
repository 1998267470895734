from __future__ import annotations

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from facebench.config import load
from facebench.errors import ConfigError
from facebench.launching import by_first, device_of, together
from facebench.ranks import World


@pytest.fixture(autouse=True)
def _nothing_launched(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many GPUs."""

    def have(gpus):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    return have


@pytest.fixture
def launch(monkeypatch):
    """What a launcher tells a process."""

    def tell(rank, size, place, here=None):
        values = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": place, "LOCAL_WORLD_SIZE": here or size}
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return tell


# Devices of a process alone.


def test_devices(monkeypatch):
    assert device_of("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == "cpu"
    for asked in ("cuda", "cuda:1"):
        with pytest.raises(ConfigError, match=f"device '{asked}' was asked for, but torch sees no CUDA device"):
            device_of(asked)


def test_a_device_number_that_does_not_exist(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("auto") == "cuda"
    assert device_of("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match="device 'cuda:2' was asked for, but torch sees 2, counted from 0"):
        device_of("cuda:2")


def test_apple_gpus(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no Apple GPU"):
        device_of("mps")


# Devices of several processes.


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_each_process_takes_the_gpu_of_its_place_on_the_machine(machine, launch, asked):
    machine(4)
    launch(rank=6, size=8, place=2, here=4)
    assert device_of(asked) == "cuda:2"


def test_processes_without_gpus_compute_on_the_cpu(machine, launch):
    machine(0)
    launch(rank=1, size=2, place=1)
    assert device_of("auto") == device_of("cpu") == "cpu"
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        device_of("cuda")


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_more_processes_than_gpus_are_refused(machine, launch, asked):
    machine(2)
    for place in range(3):  # all of them find it out, and not only the one that gets none
        launch(rank=place, size=3, place=place)
        with pytest.raises(ConfigError, match=r"3 processes on this machine .* torch sees 2; .*--nproc-per-node 2"):
            device_of(asked)


@pytest.mark.parametrize("asked", ["cuda:0", "cuda:1", "mps"])
def test_one_device_for_several_processes_is_refused(machine, launch, asked):
    machine(4)
    launch(rank=0, size=2, place=0)
    with pytest.raises(ConfigError, match=f"device '{asked}' cannot be that of 2 processes; leave --device out"):
        device_of(asked)


def test_a_launcher_of_one_process_changes_nothing(machine, launch):
    machine(4)
    launch(rank=0, size=1, place=0)
    assert device_of("cuda:3") == "cuda:3"
    assert device_of("auto") == "cuda"


# Joining.


def test_alone_nothing_is_joined_and_the_device_is_not_asked_for(bench, machine):
    machine(0)
    with together(bench.settings(device="cuda"), bench.host.catalog) as here:
        assert here == World()
    assert not logging.getLogger("facebench").handlers


def test_alone_joining_does_not_wait_for_torch():
    code = (
        "import sys\n"
        "from facebench.launching import together\n"
        "with together(None, None) as here:\n"
        "    assert here.first and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_device_that_is_not_there_is_told_before_anything_is_joined(bench, machine, launch):
    machine(0)
    launch(rank=0, size=2, place=0)
    with (
        pytest.raises(ConfigError, match="torch sees no CUDA device"),
        together(bench.settings(device="cuda"), bench.host.catalog),
    ):
        pytest.fail("joined")


@pytest.mark.parametrize(("plugin", "device"), [("tiny", "cuda:1"), ("means", "cpu")])
def test_the_method_decides_how_processes_talk(bench, machine, launch, monkeypatch, plugin, device):
    """An embedder computes where it wants to; nothing its processes say needs a GPU."""
    machine(2)
    launch(rank=1, size=2, place=1)
    seen = []

    class Joined:
        def __init__(self, device):
            seen.append(device)

        def __enter__(self):
            return SimpleNamespace(first=True)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr("facebench.launching.joined", Joined)
    with together(load(flags={"plugin": plugin}), bench.host.catalog):
        pass
    assert seen == [device]


def test_alone_the_first_makes_everything():
    value = object()
    assert by_first(lambda: value) is value
