"""Several processes that find one another as those of ``torchrun`` do, without torchrun's seconds of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_ENDING = 4000  # characters of what a failed process said that a test shows


class ProcessesFailed(AssertionError):
    """One of the processes failed, or all took too long; ``codes`` holds how each ended, None where it was stopped."""

    def __init__(self, text: str, codes: list[int | None]) -> None:
        super().__init__(text)
        self.codes = codes


@dataclass
class _Running:
    process: subprocess.Popen
    out: IO[str]
    error: IO[str]

    def said(self) -> str:
        return "\n".join(
            f"{name}:\n{_read(file)[-_ENDING:]}" for name, file in (("out", self.out), ("err", self.error))
        )


def run_processes(
    script: Path | str, size: int, *args: object, env: dict[str, str] | None = None, timeout: float = 120.0
) -> list[str]:
    """Runs a script in several processes at once and returns what each printed, by rank.

    The processes get what ``torchrun`` would give them, so ``facebench.ranks.joined("cpu")`` joins them through gloo;
    the meeting point is held by the calling process, on a port that nobody can take in between. They import what the
    test can import, ``tests/helpers`` included, and compute with one thread. A launch costs each process the import
    of torch, some seconds: put many checks into one script.

    Args:
        script: A file, or the text of a script.
        size: How many processes; with one, nothing is there to be joined.
        args: Their ``sys.argv[1:]``, equal for all.
        env: More environment variables.
        timeout: Seconds for all of it.

    Raises:
        ProcessesFailed: When one of them fails, with what the failed one said first; the others are stopped at once.
    """
    from torch.distributed import TCPStore

    code = [str(script)] if isinstance(script, Path) else ["-c", script]
    command = [sys.executable, *code, *map(str, args)]
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the meeting point is there already
        **(env or {}),
    }
    running: list[_Running] = []
    try:
        for rank in range(size):
            out, error = (tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") for _ in range(2))
            places = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=error, env=places)
            running.append(_Running(process, out, error))
        _wait(running, timeout)
        return [_read(one.out) for one in running]
    finally:
        for one in running:
            one.process.kill()
            one.process.wait()
            one.out.close()
            one.error.close()


def _wait(running: list[_Running], timeout: float) -> None:
    """Returns when all have ended well."""
    end = time.monotonic() + timeout
    while True:
        codes = [one.process.poll() for one in running]
        if any(codes) or time.monotonic() > end:
            break
        if all(code == 0 for code in codes):
            return
        time.sleep(0.05)
    late = "" if any(codes) else f"no end after {timeout:g} s; "
    ends = ", ".join("still running" if code is None else f"exit {code}" for code in codes)
    # The one that failed by itself comes first: that the others miss it is no news.
    order = sorted(range(len(running)), key=lambda rank: not codes[rank])
    said = "\n".join(f"--- rank {rank}\n{running[rank].said()}" for rank in order)
    raise ProcessesFailed(f"{late}{len(running)} processes: {ends}\n{said}", codes)


def _read(file: IO[str]) -> str:
    # Through its own place: the child writes through the same one.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "replace")
