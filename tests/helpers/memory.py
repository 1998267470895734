"""What a work takes of memory at its worst, as the system sees it."""

from __future__ import annotations

import ctypes
from pathlib import Path

PEAK = Path("/proc/self/clear_refs")
"""Where Linux lets a process reset its peak; absent elsewhere."""


def resident(kind):
    """MiB of memory: VmRSS now, VmHWM at most since the peak was cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def peak_of(work):
    """MiB that a work needs at its worst beyond what was there before it."""
    ctypes.CDLL(None).malloc_trim(0)  # what earlier work has freed counts again
    PEAK.write_text("5")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before
