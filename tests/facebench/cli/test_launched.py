"""The whole command in several processes: one of them speaks, the numbers are those of one, errors come once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

RUN = [
    *("run", "--plugin", "arcface", "--protocol", "lfw", "--no-report", "--device", "cpu", "--validate", "lfw"),
    *("--set", "train_data.identities=6", "--set", "train_data.images=6", "--set", "trainer.epochs=1"),
    *("--set", "trainer.batch_size=8"),
]


def torchrun(folder, *arguments):
    """Two processes of the command, as a user launches them."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, "-m", "facebench", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_two_processes_leave_what_one_leaves_and_one_goes_on_from_it(call, tmp_path):
    work = tmp_path / "work"
    done = torchrun(work, *RUN, "--set", "protocol.lfw.samples=20", "--json")
    assert done.returncode == 0, done.stderr
    assert "facebench" not in done.stderr
    (document,) = json.loads(done.stdout)  # one process alone speaks
    (run,) = (work / "runs").iterdir()
    assert document == json.loads((run / "results" / "lfw.json").read_text())
    assert document["provenance"]["processes"] == 2
    log = (run / "run.log").read_text()
    assert log.count("epoch 1 of 1") == log.count("faces embedded") == 1
    assert "lfw/accuracy" in log
    names = {path.name for path in (run / "checkpoint").iterdir()}
    centres = {"classes.json", "classes-0.safetensors", "classes-1.safetensors"}
    assert names == {"checkpoint.json", "weights.safetensors"} | centres

    # The same in one process is the same run; another protocol option finds the weights and the embeddings.
    said = call(*RUN, "--set", "protocol.lfw.samples=20")
    assert (said.code, said.err) == (0, "")
    assert f"run:         runs/{run.name} (reused: lfw)" in said.out
    said = call(*RUN, "--set", "protocol.lfw.samples=0", "--json")
    (other,) = json.loads(said.out)
    assert other["subject"] == document["subject"]
    assert other["provenance"]["processes"] == 1
    values = [[metric["value"] for metric in found["metrics"]] for found in (document, other)]
    assert values[0] == values[1]
    log = (work / "runs" / other["provenance"]["run"] / "run.log").read_text()
    assert "faces from the cache" in log
    assert "epoch" not in log


@pytest.mark.slow
def test_what_all_processes_find_wrong_is_said_once(tmp_path):
    done = torchrun(tmp_path, "train", "--plugin", "arcfase")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("facebench: ")]
    assert len(lines) == 1
    assert "unknown method (trainer, generator or embedder) 'arcfase'; did you mean 'arcface'?" in lines[0]
    assert "exitcode  : 2" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


FAILING = """
import sys
import facebench.runner
from facebench.cli import main
from facebench.errors import DataError
from facebench.ranks import wait, world

who, what = int(sys.argv.pop(1)), sys.argv.pop(1)

def run(settings, host, *, progress, fresh):
    wait()
    if world().rank == who:
        raise {"error": DataError("a picture is damaged"), "bug": ZeroDivisionError("ours")}[what]
    wait()

facebench.runner.run = run
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("who", "what"), [(0, "error"), (1, "error"), (1, "bug")])
def test_what_one_process_finds_wrong_is_not_drowned_by_the_others(tmp_path, who, what):
    from torch.distributed import TCPStore

    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    command = [sys.executable, "-c", FAILING, str(who), what, "run", "--plugin", "arcface", "--device", "cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    running = [
        subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, **pipes)
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    other = 1 - who
    assert said[other] == ("", "")
    assert running[other].returncode == 1
    if what == "bug":
        assert running[who].returncode == 1
        assert said[who][1].rstrip().endswith("ZeroDivisionError: ours")
    else:
        assert running[who].returncode == 2
        assert said[who] == ("", f"facebench: {'rank 1: ' if who else ''}a picture is damaged\n")
