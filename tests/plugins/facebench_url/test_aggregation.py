from __future__ import annotations

import itertools

import pytest
import torch
from golden_losses import batch_of
from torch import nn

from facebench import ConfigError, FacebenchError
from facebench.contracts import Features
from facebench.testing import TinyBackbone
from facebench_backbones.tinynet import tinynet
from facebench_url.aggregation import ConfidenceAlone, PairLikelihood


def test_the_mean_over_pairs_of_one_person_by_hand():
    draw = torch.Generator().manual_seed(0)
    vectors, confidence = torch.randn(6, 8, generator=draw).double(), torch.rand(6, 4, generator=draw).double() + 0.1
    labels = [0, 1, 0, 0, 1, 2]
    output = PairLikelihood()(batch_of(labels), Features(vectors, confidence.requires_grad_()))
    blocks = nn.functional.normalize(vectors.view(6, 4, 2), dim=2)
    values = []
    for i, j in itertools.combinations(range(6), 2):
        if labels[i] == labels[j]:
            both = 1 / confidence[i] + 1 / confidence[j]
            values.append((((blocks[i] - blocks[j]) ** 2).sum(1) / 2 / both + both.log()).mean())
    expected = torch.stack(values).mean()
    assert output.total.item() == pytest.approx(expected.item(), rel=1e-12) and output.terms["pairs"] == len(values)
    (found,) = torch.autograd.grad(output.total, confidence, retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(expected, confidence)[0])


def test_a_batch_without_pairs_teaches_nothing():
    confidence = torch.ones(3, 2, requires_grad=True)
    output = PairLikelihood()(batch_of([0, 1, 2]), Features(torch.randn(3, 4), confidence))
    output.total.backward()
    assert output.total == 0 and not confidence.grad.any()


def test_the_best_confidence_is_the_inverse_of_what_pairs_differ_by():
    """Where all pairs differ by r per number of a block, v_1 + v_2 = r is the minimum."""
    angle = torch.tensor([0.0, 0.3])
    vectors = torch.stack([angle.cos(), angle.sin()], dim=1)
    apart = (vectors[0] - vectors[1]).square().mean()
    logarithm = torch.zeros(2, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logarithm], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        PairLikelihood()(batch_of([0, 0]), Features(vectors, logarithm.exp())).total.backward()
        optimizer.step()
    assert (-logarithm).exp().sum().item() == pytest.approx(apart.item(), rel=1e-3)


def test_a_network_without_confidences_is_refused():
    with pytest.raises(FacebenchError, match="predicts none"):
        PairLikelihood()(batch_of([0, 0]), Features(torch.randn(2, 4)))
    with pytest.raises(ConfigError, match=r"TinyBackbone has none: set backbone\.confidence"):
        ConfidenceAlone(TinyBackbone())


def test_nothing_but_the_head_learns():
    torch.manual_seed(0)
    network = ConfidenceAlone(tinynet(confidence=4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    features = network(torch.randn(4, 3, 112, 112))
    PairLikelihood()(batch_of([0, 0, 1, 1]), features).total.backward()
    torch.optim.SGD([value for value in network.parameters() if value.requires_grad], lr=1.0).step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("inner.confidence.") for name in changed)
    assert not features.vectors.requires_grad and network.embedding_size == 128
