"""Entropy of a softmax, in one process and over the columns of two."""

from __future__ import annotations

import json
import math

import pytest
import torch
from processes import run_processes

from facebench.sharding import entropy


def test_it_is_the_entropy_of_the_softmax():
    logits = torch.randn(7, 31, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9
    kept = logits.clone()
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(logits), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logits, kept, rtol=0, atol=0)


def test_certain_and_uncertain_rows():
    logits = torch.zeros(3, 1000)
    logits[0, 5] = 1e4
    logits[2, :2] = 300.0
    found = entropy(logits)
    assert found[0] == 0
    torch.testing.assert_close(found[1:], torch.tensor([math.log(1000), math.log(2)]))


def test_it_has_no_gradient():
    assert not entropy(torch.randn(2, 3, requires_grad=True)).requires_grad


def test_eps_is_added_to_probabilities():
    assert entropy(torch.zeros(1, 85742), eps=1e-5).item() == pytest.approx(10.740, abs=5e-4)
    logits = torch.randn(5, 9, dtype=torch.float64)
    share = torch.softmax(logits, dim=1)
    torch.testing.assert_close(entropy(logits, eps=0.01), -(share * (share + 0.01).log()).sum(dim=1))


SPLIT = """
import json, torch
from facebench.ranks import joined
from facebench.sharding import entropy, rows_here

with joined("cpu"):
    whole = torch.arange(35, dtype=torch.float64).reshape(5, 7).sin() * 20
    columns = rows_here(7)
    part = whole[:, columns.start : columns.stop]
    print(json.dumps([entropy(part).tolist(), entropy(part, eps=1e-3).tolist()]))
"""


@pytest.mark.slow
def test_columns_of_two_processes():
    whole = torch.arange(35, dtype=torch.float64).reshape(5, 7).sin() * 20
    expected = torch.stack([entropy(whole), entropy(whole, eps=1e-3)])
    for said in run_processes(SPLIT, 2):
        torch.testing.assert_close(torch.tensor(json.loads(said), dtype=torch.float64), expected)
