"""Softmax with a margin in one piece, against the same put together from its parts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facebench.margins import Phi, arcface_phi, combined_phi, cosface_phi
from facebench.softmax import margin_softmax, margined_softmax

MARGINS = {
    "none": lambda cosine: Phi(cosine, None),
    "cosface": lambda cosine: cosface_phi(cosine, 0.4),
    "arcface": lambda cosine: arcface_phi(cosine, 0.5),
    "arcface straight-through": lambda cosine: arcface_phi(cosine, 0.5, gradient="straight-through"),
    "arcface easy": lambda cosine: arcface_phi(cosine, 0.5, fallback="easy"),
    "far beyond pi": lambda cosine: combined_phi(cosine, 3, 3.1, 1),
    "above the cosine": lambda cosine: Phi(cosine + 0.3, None),
}


def put_together(vectors, centres, labels, margin, scale):
    cosine = functional.normalize(vectors, eps=1e-12) @ functional.normalize(centres, eps=1e-12).T
    own = cosine.gather(1, labels[:, None]).squeeze(1)
    logits = scale * cosine.scatter(1, labels[:, None], margin(own.detach()).along(own)[:, None])
    return (
        functional.cross_entropy(logits, labels),
        own.mean(),
        (own >= cosine.amax(dim=1)).double().mean(),
    )


def drawn(faces, classes, size, *, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(faces, size, generator=draw, dtype=dtype) * 3
    centres = torch.randn(classes, size, generator=draw, dtype=dtype) * 0.1
    return vectors.requires_grad_(), centres.requires_grad_(), torch.randint(classes, (faces,), generator=draw)


@pytest.mark.parametrize("scale", [1.0, 64.0, 1000.0])
@pytest.mark.parametrize("name", MARGINS)
@settings(max_examples=10, deadline=None)
@given(faces=st.integers(1, 9), classes=st.integers(1, 7), size=st.integers(2, 5), seed=st.integers(0, 999))
def test_losses_cosines_and_gradients(name, scale, faces, classes, size, seed):
    results = []
    for function in (margin_softmax, put_together):
        vectors, centres, labels = drawn(faces, classes, size, seed=seed)
        loss, cosine, accuracy = function(vectors, centres, labels, MARGINS[name], scale)
        (loss * 3).backward()
        results.append((loss.detach(), cosine.detach(), accuracy, vectors.grad, centres.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * scale)


def test_gradient_against_finite_differences():
    vectors, centres, labels = drawn(4, 5, 3)
    assert torch.autograd.gradcheck(
        lambda x, w: margin_softmax(x, w, labels, MARGINS["arcface"], 8.0).loss, (vectors, centres)
    )


@pytest.mark.parametrize("name", ["arcface", "above the cosine"])
def test_without_looking_at_a_value(name, monkeypatch):
    """As on an accelerator, which that would halt; and twice, with the graph kept."""
    results = []
    for _ in range(2):
        vectors, centres, labels = drawn(9, 5, 3)
        loss = margin_softmax(vectors, centres, labels, MARGINS[name], 8.0).loss * 0.5
        loss.backward(retain_graph=True)
        loss.backward()
        results.append((loss.detach(), vectors.grad, centres.grad))
        for module in ("margins", "softmax"):
            monkeypatch.setattr(f"facebench.{module}.readable", lambda tensor: False)
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("upstream", [1.0, 0.5])
@pytest.mark.parametrize("reads", [True, False])
def test_products_at_hand(upstream, reads, monkeypatch):
    """They stay as they are, and have cross-entropy's gradient."""
    monkeypatch.setattr("facebench.softmax.readable", lambda tensor: reads)
    products, labels = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.tensor([4, 0, 2, 2])
    before, given = products.detach().clone(), torch.tensor(upstream, dtype=torch.float64)
    margined_softmax(products, labels, MARGINS["cosface"], 8.0).loss.backward(given)
    found, products.grad = products.grad, None
    less = 0.4 * functional.one_hot(labels, 5)
    functional.cross_entropy(8 * (products - less), labels).backward(given)
    torch.testing.assert_close(found, products.grad)
    assert torch.equal(products, before)


def test_no_faces():
    vectors, centres, labels = drawn(0, 5, 3)
    found = margin_softmax(vectors, centres, labels, MARGINS["arcface"], 8.0)
    found.loss.backward()
    assert found.loss.isnan() and vectors.grad.shape == (0, 3) and centres.grad.shape == (5, 3)


def test_a_loss_much_smaller_than_the_logits():
    centres = torch.tensor([[1.0, 0.0], [math.cos(0.6), math.sin(0.6)]])
    found = margin_softmax(torch.tensor([[2.0, 0.0]]), centres, torch.tensor([0]), MARGINS["none"], 64.0)
    assert found.loss.item() == pytest.approx(math.log1p(math.exp(64 * (math.cos(0.6) - 1))), rel=0.02)


def test_no_second_derivative():
    vectors, centres, labels = drawn(4, 5, 3)
    loss = margin_softmax(vectors, centres, labels, MARGINS["arcface"], 8.0).loss
    (slope,) = torch.autograd.grad(loss, vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        slope.sum().backward()


def test_an_own_logit_that_falls_by_more_than_exp_can_hold():
    vectors, centres, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0])
    found = margin_softmax(vectors, centres, labels, lambda cosine: Phi(cosine - 4, None), 1000.0)
    assert found.loss.item() == pytest.approx(2000) and found.accuracy.item() == found.target_cosine.item() == 1
    assert margin_softmax(vectors, centres, labels, MARGINS["none"], 1000.0).loss.item() == 0


def test_ties_count_as_nearest():
    centres = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = margin_softmax(torch.tensor([[2.0, 0.0]]).repeat(3, 1), centres, torch.arange(3), MARGINS["cosface"], 64.0)
    assert found.accuracy.item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("theta", [0.0, math.pi, math.pi - 0.25, math.pi / 2])
def test_finite_at_the_ends_and_in_half_precision(theta, dtype):
    """Under autocast the head still computes in float32."""
    vectors = torch.tensor([[math.cos(theta), math.sin(theta)], [3.0, 0.0]]).to(dtype).requires_grad_()
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = margin_softmax(vectors, centres, torch.tensor([0, 1]), MARGINS["arcface"], 64.0)
        found.loss.backward()
    assert found.loss.dtype == torch.float32 and vectors.grad.dtype == dtype
    assert all(bool(torch.isfinite(each).all()) for each in (found.loss, vectors.grad, centres.grad))


def test_an_embedding_without_length_has_cosine_0():
    vectors, centres, labels = drawn(3, 4, 2, dtype=torch.float32)
    with torch.no_grad():
        vectors[1] = 0
    found = margin_softmax(vectors, centres, labels, MARGINS["none"], 64.0)
    found.loss.backward()
    assert margin_softmax(vectors[1:2], centres, labels[1:2], MARGINS["none"], 64.0).loss.item() == pytest.approx(
        math.log(4)
    )
    assert bool(torch.isfinite(vectors.grad).all()) and bool(torch.isfinite(centres.grad).all())


def test_a_face_that_is_not_a_number_makes_the_loss_one_that_is_not():
    vectors, centres, labels = drawn(3, 4, 2)
    with torch.no_grad():
        vectors[1] = math.nan
    assert margin_softmax(vectors, centres, labels, MARGINS["arcface"], 64.0).loss.isnan()
