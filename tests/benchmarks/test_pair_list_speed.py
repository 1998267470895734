"""Reading the list of template pairs of IJB-B or IJB-C, against pandas.

    pytest tests/benchmarks/test_pair_list_speed.py -p no:xdist --benchmark-only

The list of IJB-C has 15.7 million lines in 193 MB; here are 2 million of the same kind. The first reading parses and
checks every byte, and must not take more than twice as long as ``pandas.read_csv``. Every later one comes from the
cache and must take at most a fifth.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from facebench_ijb import integers
from facebench_ijb.integers import read_integers

LINES = 2_000_000


@pytest.fixture(scope="module")
def pair_list(tmp_path_factory):
    draw = np.random.default_rng(0)
    first, second = draw.integers(1, 3532, LINES), draw.integers(3532, 23125, LINES)
    same = draw.random(LINES) < 0.00125
    path = tmp_path_factory.mktemp("list") / "ijbc_template_pair_label.txt"
    frame = pd.DataFrame({"first": first, "second": second, "same": same.astype(int)})
    frame.to_csv(path, sep=" ", header=False, index=False)
    return path


def by_pandas(path):
    return pd.read_csv(path, sep=" ", header=None).to_numpy()


@pytest.fixture(scope="module")
def pandas_seconds(pair_list):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        by_pandas(pair_list)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path))


def compare(benchmark, pandas_seconds, most):
    if benchmark.stats is not None:
        ratio = benchmark.stats.stats.median / pandas_seconds
        benchmark.extra_info["share of pandas' time"] = round(ratio, 3)
        assert ratio <= most


@pytest.mark.benchmark(group="pair list, 2 million lines")
def test_first_reading(benchmark, pair_list, pandas_seconds, monkeypatch):
    monkeypatch.setattr(integers, "_LEAST_CACHED", 1 << 40)
    found = benchmark.pedantic(read_integers, args=(pair_list,), kwargs={"columns": 3}, rounds=5, warmup_rounds=1)
    np.testing.assert_array_equal(np.stack(found.columns, axis=1), by_pandas(pair_list))
    compare(benchmark, pandas_seconds, 3.0)


@pytest.mark.benchmark(group="pair list, 2 million lines")
def test_later_readings(benchmark, pair_list, pandas_seconds):
    read_integers(pair_list, columns=3)
    found = benchmark.pedantic(read_integers, args=(pair_list,), kwargs={"columns": 3}, rounds=10)
    assert len(found.columns[0]) == LINES
    compare(benchmark, pandas_seconds, 0.2)


@pytest.mark.benchmark(group="pair list, 2 million lines")
def test_by_pandas(benchmark, pair_list):
    benchmark.pedantic(by_pandas, args=(pair_list,), rounds=3)
