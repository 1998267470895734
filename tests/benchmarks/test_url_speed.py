"""The URL head against CosFace's: forward and backward, with their log values.

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_url_speed.py -p no:xdist --benchmark-only

128 embeddings of 512 numbers in 16 blocks, 10,000 classes. Steps alternate, and medians of processor time are compared.
A number for every face, class and block would be 78 MiB; the logits are 5 MiB, the centres 20.
"""

from __future__ import annotations

import pytest
import torch
from golden_losses import batch_of
from memory import PEAK, peak_of
from plain_homology import in_turns

from facebench.contracts import Features
from facebench_arcface.loss import CosFaceLoss
from facebench_arcface.options import CosFaceOptions
from facebench_url.loss import UrlLoss
from facebench_url.options import UrlOptions

FACES, CLASSES, SIZE, BLOCKS = 128, 10_000, 512, 16


@pytest.mark.skipif(not PEAK.exists(), reason="peaks of memory are read from /proc")
def test_head(benchmark):
    torch.manual_seed(0)
    rows, labels = torch.randn(FACES, SIZE), torch.randint(0, CLASSES, (FACES,))
    confidence = torch.rand(FACES, BLOCKS) * 60 + 1
    batch = batch_of(labels)

    def step_of(loss, extra):
        def step():
            vectors = rows.clone().requires_grad_()
            loss.centres.weight.grad = None
            given = None if extra is None else extra.clone().requires_grad_()
            loss(batch, Features(vectors, given)).total.backward()

        return step

    ours = step_of(UrlLoss(CLASSES, SIZE, UrlOptions(blocks=BLOCKS, decorrelate=False)), confidence)
    plain = step_of(CosFaceLoss(CLASSES, SIZE, CosFaceOptions()), None)
    mine, theirs = benchmark.pedantic(in_turns, args=([ours, plain], 25), rounds=1)
    mib, plain_mib = peak_of(ours), peak_of(plain)
    benchmark.extra_info |= {
        "ms": round(1e3 * mine, 1),
        "ms of CosFace": round(1e3 * theirs, 1),
        "ratio": round(mine / theirs, 3),
        "MiB": round(mib, 1),
        "MiB of CosFace": round(plain_mib, 1),
    }
    assert mine / theirs <= 1.15
    assert mib < plain_mib + 50, "a tensor of faces x classes x blocks would be 78 MiB"
