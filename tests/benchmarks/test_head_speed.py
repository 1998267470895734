"""Losses with class centres against the least there is: a matrix product and a cross-entropy, forward and backward.

    OMP_NUM_THREADS=1 pytest tests/benchmarks -p no:xdist --benchmark-only

128 embeddings of 512 numbers, 500 classes. Each round takes all of them in an order of its own, so that a busy machine
slows all alike and none always meets the caches as the same other one left them; the ratio of the medians is told.
ArcFace must take less time than ``as_published``: the same formula, with the same terms, as training codes write it.
"""

from __future__ import annotations

import random
import statistics
import time

import pytest
import torch
from golden_losses import batch_of
from torch import nn
from torch.nn import functional

from facebench.contracts import Features
from facebench_arcface.loss import ArcFaceLoss, CosFaceLoss
from facebench_arcface.options import ArcFaceOptions, CosFaceOptions
from facebench_sface.loss import SFaceLoss
from facebench_sface.options import SFaceOptions

FACES, CLASSES, SIZE = 128, 500, 512
ROUNDS = 400


def with_bare(weight, labels):
    """Nothing but the product."""
    return lambda vectors: functional.cross_entropy(vectors @ weight.T, labels)


def as_published(weight, labels):
    """ArcFace in the operations of most training codes."""

    def loss(vectors):
        cosine = functional.linear(functional.normalize(vectors), functional.normalize(weight)).clamp(
            -1 + 1e-7, 1 - 1e-7
        )
        own = cosine.gather(1, labels[:, None])
        phi = (own.acos() + 0.5).cos()
        phi = torch.where(own > -0.8775825, phi, own - 0.2397128)
        with torch.no_grad():
            (cosine.argmax(dim=1) == labels).float().mean()
            own.mean()
        return functional.cross_entropy(64 * cosine.scatter(1, labels[:, None], phi), labels)

    return loss


def with_ours(loss, labels):
    """A loss as trainers call it."""
    batch = batch_of(labels)
    return lambda vectors: loss(batch, Features(vectors)).total


@pytest.fixture(scope="module")
def steps():
    torch.manual_seed(0)
    rows, labels = torch.randn(FACES, SIZE), torch.randint(0, CLASSES, (FACES,))
    bare, published = (nn.Parameter(torch.randn(CLASSES, SIZE) * 0.01) for _ in range(2))
    ours = {
        "arcface": ArcFaceLoss(CLASSES, SIZE, ArcFaceOptions()),
        "cosface": CosFaceLoss(CLASSES, SIZE, CosFaceOptions()),
        "sface": SFaceLoss(CLASSES, SIZE, SFaceOptions()),
    }
    losses = {"bare": (with_bare(bare, labels), bare), "as published": (as_published(published, labels), published)}
    losses |= {name: (with_ours(loss, labels), loss.centres.weight) for name, loss in ours.items()}

    def made(loss, weight):
        def step():
            vectors = rows.clone().requires_grad_()
            weight.grad = None
            loss(vectors).backward()

        return step

    return {name: made(*value) for name, value in losses.items()}


@pytest.fixture(scope="module")
def seconds(steps):
    """The median time of each."""
    taken = {name: [] for name in steps}
    order, shuffle = list(steps), random.Random(0).shuffle
    for _ in range(ROUNDS):
        shuffle(order)
        for name in order:
            start = time.perf_counter()
            steps[name]()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[ROUNDS // 10 :]) for name, times in taken.items()}


@pytest.mark.benchmark(group=f"head, {FACES} faces x {CLASSES} classes")
@pytest.mark.parametrize("name", ["bare", "as published", "arcface", "cosface", "sface"])
def test_head(benchmark, steps, seconds, name):
    benchmark(steps[name])
    ratio = seconds[name] / seconds["bare"]
    benchmark.extra_info["ratio to bare"] = round(ratio, 2)
    print(f"{name}: {ratio:.2f} x bare, {torch.get_num_threads()} threads")
    if name == "arcface":
        assert seconds[name] < seconds["as published"]
