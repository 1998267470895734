"""TopoFR's alignment of a batch, forward and backward, against the same pair by pair as it is released.

    pytest tests/benchmarks/test_alignment_speed.py -p no:xdist --benchmark-only

128 images of 3 x 112 x 112 and embeddings of 512 numbers. The released code takes the difference of every two points,
2.3 GiB for the images, and finds both trees by a Python loop over all sorted edges.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from memory import PEAK, peak_of
from plain_homology import in_turns, union_find

from facebench_topofr.alignment import align

BATCH = 128


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pair_by_pair(images, vectors):
    """The sorted alignment."""
    lengths = []
    for points in (images.flatten(1), vectors):
        distances = torch.linalg.vector_norm(points[:, None] - points, dim=2)
        first, second = np.array(union_find(distances.detach().numpy())).T
        lengths.append(distances[first, second])
    wanted, found = lengths
    return (wanted / (2 * math.sqrt(images[0].numel())) - found).square().sum() / len(images)


@pytest.mark.skipif(not PEAK.exists(), reason="peaks of memory are read from /proc")
def test_forward_and_backward(benchmark):
    """At least 15 times faster, in less than 100 MiB."""
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 3, 112, 112, generator=draw) * 2 - 1
    given = torch.randn(BATCH, 512, generator=draw)

    def step(loss):
        vectors = given.clone().requires_grad_()
        value = loss(images, vectors)
        value.backward()
        return value.detach(), vectors.grad

    def ours():
        return step(lambda images, vectors: align(images, vectors).discrepancy)

    def plain():
        return step(pair_by_pair)

    for found, expected in zip(ours(), plain(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    quick, slow = benchmark.pedantic(in_turns, args=([ours, plain], 5), rounds=1)
    mib, plain_mib = peak_of(ours), peak_of(plain)
    benchmark.extra_info |= {
        "ms": round(1e3 * quick, 1),
        "ms pair by pair": round(1e3 * slow),
        "times faster": round(slow / quick, 1),
        "MiB": round(mib, 1),
        "MiB pair by pair": round(plain_mib),
    }
    assert slow / quick >= 15
    assert mib < 100 < plain_mib
