"""The TopoFR loss against its formulas, written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facebench.contracts import Batch, Features
from facebench.testing import check_loss
from facebench_topofr.alignment import align
from facebench_topofr.loss import TopoFRLoss
from facebench_topofr.mixture import fit
from facebench_topofr.options import TopoFROptions
from facebench_topofr.plugin import facebench_losses

SPECS = {spec.name: spec for spec in facebench_losses()}
CLASSES, SIZE, COUNT = 7, 6, 10


def given(seed=0):
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(COUNT, SIZE, generator=draw, dtype=torch.float64)
    images = torch.rand(COUNT, 3, 8, 8, generator=draw, dtype=torch.float64) * 2 - 1
    return Batch(images=-images, labels=torch.arange(COUNT) % CLASSES, source=images), vectors.requires_grad_()


def made(name="topofr", **options):
    spec = SPECS[name]
    torch.manual_seed(0)
    return spec.build(CLASSES, SIZE, spec.options(**options)).double()


def parts(loss, batch, vectors):
    """Cross-entropies, entropies and logits, (N,), (N,), (N, C)."""
    options = loss.options
    rows, centres = (np.asarray(one.detach()) for one in (vectors, loss.centres.weight))
    rows, centres = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (rows, centres))
    cosine, every, labels = rows @ centres.T, np.arange(COUNT), np.asarray(batch.labels)
    own = cosine[every, labels]
    if options.base == "cosface":
        own = own - 0.4
    else:
        theta = np.arccos(own)
        own = np.where(theta + 0.5 < math.pi, np.cos(theta + 0.5), own - 0.5 * math.sin(0.5))
    logits = cosine.copy()
    logits[every, labels] = own
    logits *= options.scale
    powers = np.exp(logits - logits.max(1, keepdims=True))
    share = powers / powers.sum(1, keepdims=True)
    return -np.log(share[every, labels]), -(share * np.log(share + 1e-300)).sum(1), cosine.argmax(1) == labels


@pytest.mark.parametrize("base", ["arcface", "cosface"])
@pytest.mark.parametrize("name", SPECS)
def test_the_formula(name, base):
    batch, vectors = given()
    loss = made(name, base=base, scale=8.0, entropy_eps=0.0)
    losses, entropies, right = parts(loss, batch, vectors)
    options = loss.options
    omega = np.ones(COUNT)
    if options.hardness:
        omega = omega * (1 + fit(entropies, variant=options.mixture).hard)
    if options.focal != "off":
        omega = omega * (1 - np.exp(-losses))
    structure = align(batch.source, vectors, matching=options.matching).discrepancy.item()
    output = loss(batch, Features(vectors))
    assert output.total.item() == pytest.approx((omega * losses).mean() + 0.1 * structure, rel=1e-9)
    assert output.terms["discrepancy"].item() == pytest.approx(structure)
    assert output.terms["accuracy"].item() == pytest.approx(right.mean())
    assert ("damage" in output.terms) == (options.hardness or options.focal != "off")
    assert ("easy_share" in output.terms) == options.hardness
    if "damage" in output.terms:
        assert output.terms["damage"].item() == pytest.approx(omega.mean(), rel=1e-9)


def test_what_a_name_stands_for():
    chosen = {name: spec.options() for name, spec in SPECS.items()}
    assert {name: (one.hardness, one.focal) for name, one in chosen.items()} == {
        "topofr": (True, "grad"),
        "topofr-paper": (True, "grad"),
        "topofr-release": (True, "off"),
        "topofr-p": (False, "off"),
        "topofr-f": (False, "grad"),
        "topofr-g": (True, "off"),
    }
    assert [name for name, one in chosen.items() if one.matching == "symmetric"] == ["topofr-paper"]
    assert [name for name, one in chosen.items() if one.mixture == "reference"] == ["topofr-release"]
    assert [name for name, one in chosen.items() if one.entropy_eps] == ["topofr-release"]
    assert {one.alpha_for("iresnet50") for one in chosen.values()} == {0.1}
    assert [name for name, one in chosen.items() if one.alpha_for("iresnet200") != 0.05] == ["topofr-release"]


@pytest.mark.parametrize("name", SPECS)
def test_contract(name):
    check_loss(SPECS[name])


@pytest.mark.parametrize("focal", ["grad", "detach"])
def test_gradient_against_finite_differences(focal):
    batch, vectors = given()
    loss = made("topofr-f", focal=focal, scale=8.0)

    def total(points):
        return loss(batch, Features(points)).total

    # Of a constant weight, finite differences see a gradient that autograd must not.
    assert torch.autograd.gradcheck(total, vectors, raise_exception=False) == (focal == "grad")


def test_hardness_is_a_constant():
    batch, vectors = given()
    loss = made("topofr-g", scale=8.0, alpha=0.0)
    loss(batch, Features(vectors)).total.backward()
    losses, entropies, _ = parts(loss, batch, vectors)
    hard = torch.from_numpy(fit(entropies).hard)
    plain = made("topofr-p", scale=8.0, alpha=0.0)
    assert plain(batch, Features(vectors)).total.item() == pytest.approx(losses.mean())
    again = vectors.detach().clone().requires_grad_()
    cosines = plain.centres(again, batch.labels)
    own = plain._target(cosines.own())
    ((1 + hard) * cosines.cross_entropy(cosines.replaced(own) * 8.0)).mean().backward()
    torch.testing.assert_close(vectors.grad, again.grad, rtol=1e-9, atol=1e-12)


def test_without_perturbation_the_images_are_the_clean_ones():
    batch, vectors = given()
    alone = Batch(images=batch.source, labels=batch.labels)
    loss = made()
    assert loss(alone, Features(vectors)).total == loss(batch, Features(vectors)).total


def test_without_alpha_no_structure_is_computed():
    batch, vectors = given()
    output = made(alpha=0.0)(Batch(images=torch.empty(0), labels=batch.labels), Features(vectors))
    assert "discrepancy" not in output.terms and output.total.isfinite()


def test_margins():
    assert TopoFROptions().own_margin == 0.5
    assert TopoFROptions(base="cosface").own_margin == 0.4
    assert TopoFROptions(base="cosface", margin=0.3).own_margin == 0.3


@pytest.mark.parametrize("name", ["topofr", "topofr-release"])
def test_what_is_not_finite_is_told_by_the_total(name):
    batch, vectors = given()
    broken = vectors.detach().clone()
    broken[3] = math.nan
    assert made(name)(batch, Features(broken.requires_grad_())).total.isnan()


def test_the_order_of_a_batch_does_not_matter():
    batch, vectors = given()
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    moved = Batch(images=batch.images[order], labels=batch.labels[order], source=batch.source[order])
    loss = made(scale=8.0)
    one, other = loss(batch, Features(vectors)), loss(moved, Features(vectors[order]))
    assert one.terms.keys() == other.terms.keys()
    torch.testing.assert_close(one.total, other.total, rtol=1e-9, atol=0)


def test_the_last_fit_is_kept_in_memory_only():
    batch, vectors = given()
    loss = made(scale=8.0)
    assert isinstance(loss, TopoFRLoss) and loss.fitted is None
    loss(batch, Features(vectors))
    _, entropies, right = parts(loss, batch, vectors)
    np.testing.assert_allclose(loss.fitted.entropies, entropies, atol=1e-6)
    np.testing.assert_array_equal(loss.fitted.right, right)
    assert list(loss.state_dict()) == list(made().state_dict())
