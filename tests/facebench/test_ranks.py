from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from processes import ProcessesFailed, run_processes

from facebench.errors import ConfigError
from facebench.ranks import World, joined, launched, neighbours, told, wait, world

# One process.


@pytest.fixture(autouse=True)
def _nothing_launched(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_alone_there_is_one_and_it_is_the_first():
    assert world() == launched() == World(0, 1)
    assert world().first
    assert not World(1, 2).first
    assert neighbours() == World()


def test_alone_nothing_is_joined_awaited_or_told():
    value = object()
    with joined("cpu") as found:
        assert found == world() == World()
        wait()
        assert told(value) is value


def test_a_world_of_one_that_was_launched_is_not_joined(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined("cuda:7") as found:  # there is no such device here, and nobody looks
        assert found == World()


def test_to_ask_who_is_there_does_not_import_torch():
    code = "import sys; from facebench.ranks import *; world(); wait(); told(3); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_launcher_is_believed(monkeypatch):
    for name, value in (("RANK", "2"), ("WORLD_SIZE", "3"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert launched() == World(2, 3)
    assert neighbours() == World(1, 2)
    assert world() == World()  # launched is not joined


@pytest.mark.parametrize(("rank", "size"), [("3", "3"), ("-1", "2"), ("0", "0"), ("x", "2"), ("0", ""), ("1", "1")])
def test_a_launcher_that_makes_no_sense_is_refused(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ConfigError, match=f"RANK={rank} and WORLD_SIZE={size} do not fit .* torchrun"):
        launched()


# Several.

SCRIPT = """
import json, sys, time
from pathlib import Path
from facebench.ranks import World, joined, told, wait, world

folder, found = Path(sys.argv[1]), {}
assert world() == World()
with joined("cpu") as here:
    assert here == world()
    found["rank"], found["size"], found["first"] = here.rank, here.size, here.first
    found["told"] = told({"from": here.rank, "list": [None, 2.5, "text"]})
    found["nothing"] = told(None if here.first else "something")
    if here.first:
        time.sleep(0.5)
        (folder / "late").touch()
    wait()
    found["waited"] = (folder / "late").exists()
    with joined("cpu") as again:
        assert again == here
    wait()  # the inner one took nothing apart
assert world() == World()
print(json.dumps(found))
print("noise" * 100_000, file=sys.stderr)  # more than a pipe holds
"""


def test_three_hear_of_the_first_and_wait_for_one_another(tmp_path):
    found = [json.loads(text) for text in run_processes(SCRIPT, 3, tmp_path)]
    assert [one["rank"] for one in found] == [0, 1, 2]
    assert [one["first"] for one in found] == [True, False, False]
    for one in found:
        assert one["size"] == 3
        assert one["told"] == {"from": 0, "list": [None, 2.5, "text"]}
        assert one["nothing"] is None
        assert one["waited"]


# The helper of these tests, in scripts too light to join anything.

LIGHT = """
import os, sys, time
if os.environ["RANK"] == os.environ.get("FAILING"):
    print("before", flush=True)
    sys.exit("what went wrong")
print(sys.argv[1:], os.environ["RANK"], os.environ["OMP_NUM_THREADS"])
if "FAILING" in os.environ:
    time.sleep(60)
"""


def test_processes_run_files_as_well_as_text(tmp_path):
    (tmp_path / "light.py").write_text(LIGHT)
    for script in (LIGHT, tmp_path / "light.py"):
        assert run_processes(script, 2, "a", 7) == ["['a', '7'] 0 1\n", "['a', '7'] 1 1\n"]


def test_one_that_fails_stops_the_others_and_is_shown_first():
    with pytest.raises(ProcessesFailed, match=r"(?s)exit 1.*--- rank 1.*before.*what went wrong.*--- rank 0") as failed:
        run_processes(LIGHT, 2, env={"FAILING": "1"})
    assert failed.value.codes == [None, 1]


def test_what_takes_too_long_is_stopped():
    with pytest.raises(ProcessesFailed, match=r"no end after 0\.5 s; 2 processes: still running") as failed:
        run_processes(LIGHT, 2, env={"FAILING": "nobody"}, timeout=0.5)
    assert failed.value.codes == [None, None]
    assert "RANK" not in os.environ
