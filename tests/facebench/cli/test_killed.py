"""The whole command in a process of its own, killed or interrupted: it continues to the same numbers, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

COMMAND = [
    *(sys.executable, "-m", "facebench", "run", "--plugin", "arcface", "--protocol", "lfw", "--no-report"),
    *("--set", "train_data.identities=6", "--set", "train_data.images=6", "--set", "trainer.epochs=3"),
    *("--set", "trainer.batch_size=8", "--set", "trainer.save_seconds=0", "--set", "protocol.lfw.samples=50"),
]


@contextmanager
def running(folder, *more):
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "FACEBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*COMMAND, *more],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Shells start background jobs with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process, folder, pattern):
    """Until a file of that name is there, or the process has ended."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if any(folder.glob(pattern)):
            return
        time.sleep(0.005)


# What is there when each stage has begun.
STAGES = {
    "training": "cache/training/*/state.json",
    "embedding": "cache/embeddings/*/vectors.npy",
    "evaluation": "cache/embeddings/*/embeddings.json",
}


def outcome(folder):
    (run,) = (folder / "runs").iterdir()
    result = json.loads((run / "results" / "lfw.json").read_text())
    with np.load(run / "results" / "lfw.scores.npz", allow_pickle=False) as stored:
        scores = {name: stored[name] for name in stored.files}
    kept = {name: result[name] for name in ("metrics", "curves", "folds", "subject", "data", "rules", "warnings")}
    return kept, scores, (run / "checkpoint" / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_killed_at_every_stage_it_ends_with_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with running(whole) as process:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")  # and no bar, since nobody watches
    assert "lfw (demo)" in out
    random = np.random.default_rng()
    killed = {}
    for stage, pattern in STAGES.items():
        with running(broken) as process:
            wait_for(process, broken, pattern)
            time.sleep(float(random.uniform(0, 0.15)))
            process.send_signal(signal.SIGKILL)
            killed[stage] = process.wait()
    assert killed["training"] == killed["embedding"] == -signal.SIGKILL
    assert killed["evaluation"] in (-signal.SIGKILL, 0)  # a busy machine may let it end before the signal is sent
    with running(broken) as process:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    for one, two in zip(
        outcome(whole)[:1] + outcome(whole)[2:], outcome(broken)[:1] + outcome(broken)[2:], strict=True
    ):
        assert one == two
    first, second = outcome(whole)[1], outcome(broken)[1]
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.slow
def test_interrupted_by_hand_it_says_so_and_keeps_its_folder(tmp_path):
    with running(tmp_path / "work") as process:
        wait_for(process, tmp_path / "work", "cache/training/*/state.json")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert err.strip() == "facebench: interrupted; the same command continues where it stopped"
    assert len(list((tmp_path / "work" / "runs").iterdir())) == 1
