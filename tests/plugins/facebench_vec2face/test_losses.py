from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from facebench import Batch
from facebench_vec2face.adversary import Adversary, adaptive_weight, discriminator_loss, generator_loss
from facebench_vec2face.losses import Vec2FaceLoss, identity_loss, pixel_loss, token_loss
from facebench_vec2face.options import Vec2FaceOptions
from facebench_vec2face.painted import Painted
from facebench_vec2face.ssim import ssim

BATCH = Batch(images=torch.zeros(4, 3, 32, 32), labels=torch.arange(4))
RATE = 1e-3


def options(**chosen):
    return Vec2FaceOptions(**{"size": "tiny32", "learning_rate": RATE, **chosen})


class Painter(nn.Module):
    """A generator of one layer."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(4, 16, 6))
        self.maps = nn.Parameter(torch.randn(4, 5, 32, 32))
        self.last = nn.Conv2d(5, 3, 3, padding=1)
        self.reader = nn.Linear(3, 6)
        self.pictures = torch.rand(4, 3, 32, 32) * 2 - 1
        self.aims, self.vectors = torch.randn(4, 16, 6), torch.randn(4, 6)

    def paint(self):
        images = self.last(self.maps)
        return Painted(
            self.vectors,
            images=images,
            pictures=self.pictures,
            tokens=self.rows,
            aims=self.aims,
            seen=self.reader(images.mean(dim=(2, 3))),
            perceptual=(images - self.pictures).abs().mean(dim=(1, 2, 3)),
            last=self.last.weight,
        )


@pytest.fixture
def painter():
    torch.manual_seed(0)
    return Painter()


def test_parts_by_hand():
    one, other = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    mean = sum(float((a - b) ** 2) for a, b in zip(one.flatten(), other.flatten(), strict=True)) / 12
    assert pixel_loss(one, other).item() == pytest.approx(mean)
    assert token_loss(one, other).item() == pytest.approx(mean)
    cosines = [float(a @ b / (a @ a).sqrt() / (b @ b).sqrt()) for a, b in zip(one, other, strict=True)]
    assert identity_loss(one, other).item() == pytest.approx(1 - sum(cosines) / 3)
    assert identity_loss(one, 3 * one).item() == pytest.approx(0, abs=1e-12)


def test_adversarial_losses_by_hand():
    real, drawn = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    assert discriminator_loss(real, drawn).item() == pytest.approx(0.5 * (0.5 + 0.625))
    assert generator_loss(drawn, linear=True).item() == pytest.approx(0.25)
    assert generator_loss(drawn, linear=False).item() == pytest.approx(0.5 * (0.25 + 4) / 2)


def test_the_total_is_the_weighted_sum(painter):
    chosen = options(mse=2.0, identity=3.0, token=5.0, perceptual_weight=7.0, ssim=11.0)
    painted = painter.paint()
    output = Vec2FaceLoss(chosen)(BATCH, painted)
    mse = (painted.images - painter.pictures).square().mean()
    cosines = functional.cosine_similarity(painted.seen, painter.vectors)
    token = (painter.rows - painter.aims).square().mean()
    perceptual, alike = painted.perceptual.mean(), ssim(painted.images, painter.pictures).mean()
    wanted = 2 * mse + 3 * (1 - cosines.mean()) + 5 * token + 7 * perceptual + 11 * (1 - alike)
    torch.testing.assert_close(output.total, wanted)
    terms = output.terms
    assert terms.keys() == {"mse", "identity", "token", "perceptual", "ssim", "similarity", "shuffled_similarity"}
    shuffled = functional.cosine_similarity(painted.seen, painter.vectors[[1, 2, 3, 0]]).mean()
    for name, value in (
        ("mse", mse),
        ("identity", 1 - cosines.mean()),
        ("token", token),
        ("perceptual", perceptual),
        ("ssim", alike),
        ("similarity", cosines.mean()),
        ("shuffled_similarity", shuffled),
    ):
        torch.testing.assert_close(terms[name], value.detach())
        assert not terms[name].requires_grad


def test_without_a_perceptual_distance_there_is_no_such_term(painter):
    painted = dataclasses.replace(painter.paint(), perceptual=None)
    assert "perceptual" not in Vec2FaceLoss(options())(BATCH, painted).terms


def test_the_gradient_leaves_targets_alone(painter):
    for name in ("pictures", "aims", "vectors"):
        getattr(painter, name).requires_grad_()
    painted = painter.paint()
    painted = dataclasses.replace(painted, aims=painted.aims.detach(), vectors=painted.vectors.detach())
    Vec2FaceLoss(options())(BATCH, painted).total.backward()
    assert painter.aims.grad is None and painter.vectors.grad is None
    assert all(value.grad is not None for value in (painter.rows, painter.maps, painter.last.weight))


def test_half_precision_is_widened(painter):
    painted = painter.paint()
    half = dataclasses.replace(painted, images=painted.images.bfloat16(), tokens=painted.tokens.bfloat16())
    output = Vec2FaceLoss(options(gan="fixed"))(BATCH, half)
    assert output.total.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in output.terms.values())
    output.total.backward()
    assert painter.last.weight.grad.isfinite().all()


def gradients(module):
    return [None if value.grad is None else value.grad.clone() for value in module.parameters()]


@pytest.mark.parametrize("gan", ["paper", "fixed"])
@pytest.mark.parametrize("balance", ["adaptive", "constant"])
def test_each_side_descends_its_own_loss(painter, gan, balance):
    torch.manual_seed(1)
    loss = Vec2FaceLoss(options(gan=gan, gan_balance=balance, gan_weight=0.3))
    judge = loss.adversary.discriminator
    output = loss(BATCH, painter.paint())
    output.total.backward()
    found = gradients(painter), gradients(judge)

    # The discriminator alone, on pictures that are constants.
    judge.zero_grad()
    images = painter.paint().images.detach()
    learning = ((judge(painter.pictures) - 1) ** 2).mean() / 2 + (judge(images) ** 2).mean() / 2
    learning.backward()
    for one, other in zip(found[1], gradients(judge), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(output.terms["discriminator"], learning.detach())

    # The generator alone, against a discriminator that is one.
    painter.zero_grad()
    judge.requires_grad_(False)
    painted = painter.paint()
    rest = Vec2FaceLoss(options())(BATCH, painted).total
    logits = judge(painted.images)
    adversarial = -logits.mean() if gan == "paper" else ((logits - 1) ** 2).mean() / 2
    weight = torch.tensor(0.3)
    if balance == "adaptive":
        lengths = [torch.autograd.grad(part, painted.last, retain_graph=True)[0].norm() for part in (rest, adversarial)]
        weight = 0.3 * lengths[0] / (lengths[1] + 1e-4)
    torch.testing.assert_close(output.terms["gan_weight"], weight)
    torch.testing.assert_close(output.terms["gan"], adversarial.detach())
    torch.testing.assert_close(output.total.detach(), (rest + weight * adversarial).detach())
    (rest + weight * adversarial).backward()
    for one, other in zip(found[0], gradients(painter), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("gan", ["paper", "fixed"])
def test_the_discriminator_gets_nothing_of_the_generators_loss(painter, gan):
    found = []
    for weight in (0.0, 1000.0):
        torch.manual_seed(1)
        loss = Vec2FaceLoss(options(gan=gan, gan_balance="constant", gan_weight=weight))
        loss(BATCH, painter.paint()).total.backward()
        found.append(gradients(loss.adversary.discriminator))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert all(one.abs().sum() > 0 for one in found[0])


def test_the_adaptive_weight():
    last = torch.tensor([3.0, 4.0], requires_grad=True)
    rest, adversarial = (last * torch.tensor([3.0, 4.0])).sum(), (last * torch.tensor([0.0, 2.0])).sum()
    assert adaptive_weight(rest, adversarial, last).item() == pytest.approx(5 / (2 + 1e-4))
    assert adaptive_weight(rest, 0 * adversarial, last).item() == pytest.approx(1e4)
    assert not adaptive_weight(rest, adversarial, last).requires_grad


def test_the_discriminator_waits_for_its_time(painter):
    loss = Vec2FaceLoss(options(gan="fixed", gan_start=0.5))
    loss.plan(4)
    assert loss.adversary.start_after == 2
    rival = loss.rival()
    weights = [value.clone() for value in loss.parameters()]
    for step in range(4):
        output = loss(BATCH, painter.paint())
        terms = output.terms
        assert (terms["discriminator"] == 0) == (terms["gan"] == 0) == (terms["gan_weight"] == 0) == (step < 2)
        output.total.backward()
        assert all((value.grad is None) == (step < 2) for value in loss.parameters())
        rival.step()
        rival.zero_grad()
        same = all(torch.equal(one, other) for one, other in zip(weights, loss.parameters(), strict=True))
        assert same == (step < 2), "no step without a gradient, not even a decay"
    assert int(loss.adversary.steps) == 4
    assert "adversary.steps" in loss.state_dict()


@pytest.mark.parametrize(("gan", "rates"), [("paper", [1.0] * 6), ("fixed", [1.0, 1.0, 1.0, 0.8536, 0.5, 0.1464])])
def test_the_rate_of_the_discriminator(gan, rates):
    adversary = Adversary(options(gan=gan, gan_start=1 / 3, gan_rate=2e-3))
    adversary.plan(6)
    optimizer = adversary.optimizer()
    found = []
    for _ in range(6):
        optimizer.step()
        found.append(optimizer.param_groups[0]["lr"] / 2e-3)
    assert found == pytest.approx(rates, abs=1e-4)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_the_discriminators_gradient_is_clipped():
    adversary = Adversary(options(gan="paper", clip_gradient=2.0))
    optimizer = adversary.optimizer()
    for value in adversary.parameters():
        value.grad = torch.ones_like(value)
    optimizer.step()
    lengths = torch.stack([value.grad.norm() for value in adversary.parameters()])
    assert lengths.norm().item() == pytest.approx(2.0, rel=1e-4)
    assert optimizer.param_groups[0]["lr"] == RATE


def test_without_gan_there_is_no_rival():
    loss = Vec2FaceLoss(options())
    loss.plan(10)
    assert loss.rival() is None and not list(loss.parameters())
