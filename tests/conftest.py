"""What many tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long a test takes says more about the machine than about the code; speed is the benchmarks' business.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Two test processes on two cores: more threads each would only wait for one another. Benchmarks have the machine alone.
if "--benchmark-only" not in sys.argv:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's cache, data root or plugins switch."""
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in [name for name in os.environ if name.startswith("FACEBENCH_")]:
        if name not in ("FACEBENCH_CACHE", "FACEBENCH_TEST_DATA"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip with the reason."""
    told = os.environ.get("FACEBENCH_TEST_DATA")
    if not told:
        pytest.skip("FACEBENCH_TEST_DATA is not set")
    path = Path(told)
    if not path.is_dir():
        pytest.skip(f"FACEBENCH_TEST_DATA={told} is not a folder")
    return path
