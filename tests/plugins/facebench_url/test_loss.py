from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_losses import batch_of, golden_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facebench import ConfigError, FacebenchError
from facebench.contracts import Batch, Features
from facebench_arcface.loss import CosFaceLoss
from facebench_arcface.options import CosFaceOptions
from facebench_url.loss import UrlLoss
from facebench_url.options import UrlOptions


def made(classes, size, **chosen):
    torch.manual_seed(0)
    return UrlLoss(classes, size, UrlOptions(**({"decorrelate": False} | chosen))).double()


def tensor(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("case", golden_cases("url_csoftmax"), ids=lambda case: case["id"])
def test_golden(case):
    inputs, expected, params = case["inputs"], case["expected"], case["params"]
    loss = made(len(inputs["W"]), params["D"], blocks=params["K"], margin=params["m"], regularisation=0.0)
    with torch.no_grad():
        loss.centres.weight.copy_(torch.tensor(inputs["W"], dtype=torch.float64))
    vectors, confidence = tensor(inputs["F"]), tensor(inputs["S"])
    output = loss(batch_of(inputs["y"]), Features(vectors, confidence))
    output.total.backward()
    found = {
        "loss": output.total.detach(),
        "dF": vectors.grad,
        "dS": confidence.grad,
        "dW": loss.centres.weight.grad,
    }
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", golden_cases("url_csoftmax"), ids=lambda case: case["id"])
def test_golden_regularisation(case):
    inputs, expected, params = case["inputs"], case["expected"], case["params"]
    losses, slopes = [], []
    for weight in (0.0, 1.0):
        loss = made(len(inputs["W"]), params["D"], blocks=params["K"], margin=params["m"], regularisation=weight)
        confidence = tensor(inputs["S"])
        total = loss(batch_of(inputs["y"]), Features(tensor(inputs["F"]), confidence)).total
        total.backward()
        losses.append(total.item())
        slopes.append(confidence.grad.numpy())
    assert losses[1] - losses[0] == pytest.approx(expected["reg"], rel=1e-10)
    np.testing.assert_allclose(slopes[1] - slopes[0], expected["dS_reg"], rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(faces=st.integers(1, 6), classes=st.integers(2, 6), blocks=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_the_formula_block_by_block(faces, classes, blocks, seed):
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(faces, 8, generator=draw, dtype=torch.float64, requires_grad=True)
    confidence = (torch.rand(faces, blocks, generator=draw, dtype=torch.float64) * 40 + 1).requires_grad_()
    labels = torch.randint(classes, (faces,), generator=draw)
    loss = made(classes, 8, blocks=blocks, margin=3.0)
    loss(batch_of(labels), Features(vectors, confidence)).total.backward()
    found = vectors.grad, confidence.grad, loss.centres.weight.grad
    one, two = (leaf.detach().clone().requires_grad_() for leaf in (vectors, confidence))
    weight = loss.centres.weight.detach().clone().requires_grad_()
    cosines = torch.einsum(
        "nkd,ckd->nck",
        functional.normalize(one.view(faces, blocks, -1), dim=2),
        functional.normalize(weight.view(classes, blocks, -1), dim=2),
    )
    logits = (cosines * two[:, None]).mean(dim=2) - 3.0 * functional.one_hot(labels, classes)
    (functional.cross_entropy(logits, labels) + 0.001 * two.square().mean()).backward()
    for left, right in zip(found, (one.grad, two.grad, weight.grad), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-10)


def test_one_block_of_confidence_64_is_cosface():
    draw = torch.Generator().manual_seed(3)
    vectors, labels = torch.randn(6, 8, generator=draw, dtype=torch.float64), torch.randint(5, (6,), generator=draw)
    plain, url = CosFaceLoss(5, 8, CosFaceOptions(margin=0.4, scale=64.0)).double(), None
    for confident in (True, False):
        url = made(5, 8, blocks=1, margin=25.6, confident=confident, regularisation=0.0)
        with torch.no_grad():
            url.centres.weight.copy_(plain.centres.weight)
        one, two = (vectors.clone().requires_grad_() for _ in range(2))
        confidence = torch.full((6, 1), 64.0, dtype=torch.float64)
        left = url(batch_of(labels), Features(one, confidence)).total
        right = plain(batch_of(labels), Features(two)).total
        left.backward()
        right.backward()
        assert left.item() == pytest.approx(right.item(), rel=1e-12)
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-12)


def test_logits_stay_within_the_mean_confidence():
    draw = torch.Generator().manual_seed(0)
    loss, vectors = made(7, 8, blocks=4), torch.randn(5, 8, generator=draw, dtype=torch.float64)
    confidence = torch.rand(5, 4, generator=draw, dtype=torch.float64) * 60
    weighed = (functional.normalize(vectors.view(5, 4, 2), dim=2) * confidence[:, :, None]).flatten(1) / 4
    logits = loss.centres.products(weighed, torch.zeros(5, dtype=torch.int64), 4).cosine
    assert bool((logits.abs() <= confidence.mean(dim=1, keepdim=True) + 1e-12).all())


def test_discriminator_and_network_leave_each_other_alone():
    """Each gradient is the one of its own loss: the other is a constant to it."""
    draw = torch.Generator().manual_seed(0)
    loss = made(5, 16, blocks=4, decorrelate=True, margin=3.0)
    vectors = torch.randn(6, 16, generator=draw, dtype=torch.float64, requires_grad=True)
    confidence = torch.full((6, 4), 20.0, dtype=torch.float64)
    marks = torch.randint(2, (6, 3), generator=draw).double()
    batch = Batch(images=torch.empty(0), labels=torch.arange(6) % 5, marks=marks)
    output = loss(batch, Features(vectors, confidence))
    output.total.backward()
    whole = vectors.grad.clone()
    learnt = loss.decorrelation.discriminator.weight.grad.clone()
    parts = loss.decorrelation(functional.normalize(vectors.detach().view(6, 4, 4), dim=2), marks)
    (alone,) = torch.autograd.grad(parts.discriminator, loss.decorrelation.discriminator.weight)
    torch.testing.assert_close(learnt, alone)
    vectors.grad = None
    for discriminating in (False, True):
        again = loss(batch, Features(vectors, confidence))
        if discriminating:  # with its own part removed, nothing changes for the network
            loss.decorrelation.discriminator.requires_grad_(False)
            again = loss(batch, Features(vectors, confidence))
        vectors.grad = None
        again.total.backward()
        torch.testing.assert_close(vectors.grad, whole)
    assert output.total.item() == pytest.approx(
        output.terms["identification"].item()
        + 0.001 * 400
        + 2 * output.terms["classifying"].item()
        + 2 * output.terms["adversarial"].item()
    )


def test_the_rival_owns_the_discriminator_alone():
    loss = made(5, 16, blocks=4, decorrelate=True)
    (group,) = loss.rival().param_groups
    assert {id(one) for one in group["params"]} == {id(one) for one in loss.decorrelation.discriminator.parameters()}
    assert made(5, 16, blocks=4).rival() is None


def test_masks_are_kept_with_the_state():
    one, two = made(5, 16, blocks=8, decorrelate=True), UrlLoss(5, 16, UrlOptions(blocks=8))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.decorrelation.masks, two.decorrelation.masks)


def test_without_marks_nothing_is_decorrelated():
    loss = made(5, 16, blocks=4, decorrelate=True)
    vectors, confidence = torch.randn(3, 16).double(), torch.ones(3, 4).double()
    assert "adversarial" not in loss(batch_of([0, 1, 2]), Features(vectors, confidence)).terms


@pytest.mark.parametrize(("confidence", "has"), [(None, "none"), (torch.ones(2, 3), "3")])
def test_another_network_is_told_what_it_lacks(confidence, has):
    with pytest.raises(FacebenchError, match=f"4 blocks; this one has {has}: set backbone.confidence=4"):
        made(5, 16, blocks=4)(batch_of([0, 1]), Features(torch.randn(2, 16).double(), confidence))


def test_blocks_must_divide_the_embedding():
    with pytest.raises(ConfigError, match=r"loss\.blocks 16 does not divide the embedding of 24"):
        made(5, 24)
