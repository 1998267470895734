from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from facebench import FacebenchError
from facebench.contracts import Batch, Features
from facebench_url.attributeoptions import AttributeOptions
from facebench_url.attributes import AttributeLoss

NAN = math.nan


def made(classes=5, size=8, **chosen):
    torch.manual_seed(0)
    return AttributeLoss(classes, size, AttributeOptions(**chosen)).double()


def shown(faces=6, size=8, attributes=3, classes=5):
    draw = torch.Generator().manual_seed(1)
    vectors = torch.randn(faces, size, generator=draw, dtype=torch.float64, requires_grad=True)
    marks = torch.rand(faces, attributes, generator=draw, dtype=torch.float64)
    return vectors, Batch(images=torch.empty(0), labels=torch.arange(faces) % classes, marks=marks)


def marked(batch, marks):
    return Batch(images=batch.images, labels=batch.labels, marks=marks)


def test_the_formula_by_hand():
    """One face at (1, -2): the head and the rival have log-odds of ln 3; one of two attributes is known."""
    loss, log_odds = made(2, 2, attributes=2, adversarial=0.5), math.log(3)
    with torch.no_grad():
        for parameter, values in (
            (loss.attributes.weight, [[1, 1], [5, 5]]),
            (loss.attributes.bias, [1 + log_odds, 7]),
            (loss.identities.weight, [[1, 0.5], [0, 0]]),
            (loss.identities.bias, [log_odds, 0]),
        ):
            parameter.copy_(torch.tensor(values, dtype=torch.float64))
    vectors = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    batch = Batch(images=torch.empty(0), labels=torch.tensor([0]), marks=torch.tensor([[0.25, NAN]]))
    output = loss(batch, Features(vectors))
    attributes = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
    confusion = -0.5 * (math.log(0.75) + math.log(0.25))
    assert output.total.item() == pytest.approx(attributes + 0.5 * confusion, rel=1e-12)
    found = {name: value.item() for name, value in output.terms.items()}
    assert found == pytest.approx(
        {"attributes": attributes, "attribute_accuracy": 0.0, "confusion": confusion, "identity_accuracy": 1.0}
    )


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_each_gradient_is_that_of_its_own_loss(weight):
    """L_A reaches network and head, L_conf the network alone, L_D the rival alone."""
    loss, (vectors, batch) = made(adversarial=weight), shown()
    loss(batch, Features(vectors)).total.backward()
    given = vectors.detach().clone().requires_grad_()
    head, rival = ([value.detach().clone().requires_grad_() for value in one.parameters()] for one in loss.children())
    told = functional.linear(given, *head)
    attributes = functional.binary_cross_entropy_with_logits(told, batch.marks, reduction="none").sum(1).mean()
    frozen = [value.detach() for value in rival]
    confusion = -functional.linear(given, *frozen).softmax(dim=1).log().mean()
    (attributes + weight * confusion).backward()
    functional.cross_entropy(functional.linear(given.detach(), *rival), batch.labels).backward()
    wanted = [given.grad, *(value.grad for value in (*head, *rival))]
    for value, gradient in zip((vectors, *loss.parameters()), wanted, strict=True):
        torch.testing.assert_close(value.grad, gradient, rtol=1e-10, atol=1e-12)


def test_the_rival_learns_and_nothing_else_does():
    loss, (vectors, batch) = made(), shown()
    rival = loss.rival()
    taught = [id(value) for group in rival.param_groups for value in group["params"]]
    assert taught == [id(value) for value in loss.identities.parameters()]
    assert rival.defaults["lr"] == AttributeOptions().rival_rate
    before = loss.attributes.weight.detach().clone()
    for _ in range(400):
        rival.zero_grad()
        output = loss(batch, Features(vectors.detach()))
        output.total.backward()
        rival.step()
    assert torch.equal(loss.attributes.weight, before)
    assert output.terms["identity_accuracy"] == 1.0


def test_confusion_is_least_where_all_are_alike():
    loss, (vectors, batch) = made(), shown()
    with torch.no_grad():
        loss.identities.weight.zero_()
        loss.identities.bias.zero_()
    assert loss(batch, Features(vectors)).terms["confusion"].item() == pytest.approx(math.log(5))
    for seed in range(5):
        torch.manual_seed(seed)
        other = AttributeLoss(5, 8, AttributeOptions()).double()
        assert other(batch, Features(vectors)).terms["confusion"] > math.log(5)


def test_what_is_unknown_has_no_part():
    loss, (vectors, batch) = made(adversarial=0.0), shown()
    holes = batch.marks.clone()
    holes[0], holes[1, 2] = NAN, NAN
    output = loss(marked(batch, holes), Features(vectors))
    output.total.backward()
    assert bool((vectors.grad[0] == 0).all()) and bool(vectors.grad[1].any()) and bool(vectors.grad.isfinite().all())
    told = loss.attributes(vectors.detach())
    each = functional.binary_cross_entropy_with_logits(told, batch.marks, reduction="none")
    each[0], each[1, 2] = 0, 0
    assert output.terms["attributes"].item() == pytest.approx((each.sum() / 6).item())
    known = ~holes.isnan()
    right = ((told > 0) == (batch.marks > 0.5))[known].double().mean()
    assert output.terms["attribute_accuracy"].item() == pytest.approx(right.item())


def test_nothing_known_is_no_error():
    loss, (vectors, batch) = made(), shown()
    output = loss(marked(batch, torch.full((6, 3), NAN)), Features(vectors))
    output.total.backward()
    assert output.terms["attributes"] == 0 and output.terms["attribute_accuracy"] == 0
    assert not loss.attributes.weight.grad.any() and bool(loss.identities.weight.grad.any())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("length", [0.0, 1.0, 1e4])
def test_finite_in_half_precision(dtype, length):
    vectors, batch = shown()
    loss = made().float()
    leaf = (vectors.detach() * length).to(dtype).requires_grad_()
    output = loss(marked(batch, batch.marks.float()), Features(leaf))
    output.total.backward()
    assert output.total.dtype == torch.float32
    assert all(bool(value.isfinite().all()) for value in (output.total, *output.terms.values(), leaf.grad))
    assert all(bool(value.grad.isfinite().all()) for value in loss.parameters())


def test_faces_of_two_processes_weigh_as_in_one():
    """The mean of the gradients over equal shares is the gradient over all faces, whatever is unknown."""
    vectors, batch = shown()
    batch.marks[0] = NAN
    batch.marks[3, 1] = NAN
    whole, halves = made(), made()
    whole(batch, Features(vectors)).total.backward()
    for part in (slice(0, 3), slice(3, 6)):
        share = Batch(images=batch.images, labels=batch.labels[part], marks=batch.marks[part])
        (halves(share, Features(vectors.detach()[part])).total / 2).backward()
    for one, two in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("marks", "has"), [(None, "none"), (torch.zeros(6, 2), "2")])
def test_other_attributes_than_it_has_are_refused(marks, has):
    vectors, batch = shown()
    with pytest.raises(FacebenchError, match=rf"needs 3 attributes of each face; the trainer gives {has}:"):
        made()(marked(batch, marks), Features(vectors))
