"""Persistent homology of a training step: H0 with its edges, against a plain union-find and against ripser.

    pytest tests/benchmarks/test_homology_speed.py -p no:xdist --benchmark-only

The plain way is that of topology-aligning losses as they are released: the difference of every two points, a stable
sort of all edges, and a Python loop over all of them. A batch is 128 faces, as images of 3 x 112 x 112 and as
embeddings of 512 numbers. All are run in turns, so that what else the machine does strikes them alike, and medians of
processor time are compared, of one thread.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from plain_homology import in_turns, union_find
from ripser import ripser
from scipy.spatial.distance import pdist, squareform
from threadpoolctl import threadpool_limits

from facebench.metrics import spanning_tree, spanning_tree_of_points


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def all_differences(points):
    """Distances from the difference of every two points; one point at a time, where all at once take gigabytes."""
    return np.stack([np.sqrt(np.square(points - point).sum(axis=1)) for point in points])


@pytest.fixture(scope="module")
def batch():
    """Images in [-1, 1] and the embeddings of an untrained network."""
    draw = np.random.default_rng(0)
    images = np.tanh(draw.standard_normal((128, 3 * 112 * 112), dtype=np.float32) - 0.2)
    return images, draw.standard_normal((128, 512), dtype=np.float32)


@pytest.mark.parametrize("form", ["arrays", "tensors"])
def test_both_spaces_of_a_batch(benchmark, batch, form):
    """From the points on, at least 50 times faster."""
    spaces = batch if form == "arrays" else tuple(torch.from_numpy(space) for space in batch)
    matrices = [all_differences(space) for space in batch]
    for space, matrix in zip(spaces, matrices, strict=True):
        tree = spanning_tree_of_points(space)
        assert list(zip(tree.first.tolist(), tree.second.tolist(), strict=True)) == union_find(matrix)
    works = [
        lambda: [spanning_tree_of_points(space) for space in spaces],
        lambda: [union_find(all_differences(space)) for space in batch],
        lambda: [spanning_tree(matrix) for matrix in matrices],
        lambda: [union_find(matrix) for matrix in matrices],
        lambda: all_differences(batch[1]),
    ]
    ours, plain, tree, loop, _ = benchmark.pedantic(in_turns, args=(works, 5), rounds=1)
    benchmark.extra_info |= {
        "ms": round(1e3 * ours, 2),
        "ms of the plain way": round(1e3 * plain, 1),
        "times faster": round(plain / ours, 1),
        "ms, distances given": round(1e3 * tree, 3),
        "times faster, distances given": round(loop / tree, 1),
    }
    assert plain / ours >= 50


@pytest.mark.parametrize(("count", "required"), [(128, 5), (1024, 20)])
def test_against_ripser(benchmark, count, required):
    """Distances given to both; ripser gives the lengths alone."""
    points = np.random.default_rng(0).standard_normal((count, 512))
    distances = squareform(pdist(points)).astype(np.float32)
    deaths = np.sort(ripser(distances, maxdim=0, distance_matrix=True)["dgms"][0][:-1, 1])
    assert spanning_tree(distances).lengths == pytest.approx(deaths, rel=1e-5)
    works = [
        lambda: spanning_tree(distances),
        lambda: ripser(distances, maxdim=0, distance_matrix=True),
    ]
    ours, theirs = benchmark.pedantic(in_turns, args=(works, 101 if count < 1000 else 15), rounds=1)
    benchmark.extra_info |= {"ms": round(1e3 * ours, 3), "times faster than ripser": round(theirs / ours, 1)}
    assert theirs / ours >= required


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_batch(benchmark, dtype):
    """2,048 points of 512 dimensions: less than a second."""
    points = np.random.default_rng(0).standard_normal((2048, 512)).astype(dtype)
    benchmark.pedantic(spanning_tree_of_points, args=(points,), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 1


def test_memory_of_a_large_batch(benchmark):
    """2,048 points of 512 dimensions: less than 200 MiB beyond the points."""
    points = np.random.default_rng(0).standard_normal((2048, 512), dtype=np.float32)
    tracemalloc.start()
    try:
        benchmark.pedantic(spanning_tree_of_points, args=(points,), rounds=1)
        mib = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    benchmark.extra_info["MiB"] = round(mib, 1)
    assert 16 < mib < 200, "the distances alone are 16 MiB"
