"""AttrOP on networks small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench_vec2face.attrop import adjust
from facebench_vec2face.drawing import DrawingOptions

SIZE, PIXELS = 12, 3 * 8 * 8


class Toy:
    """Draws each vector as a linear picture with a little noise of its mask, and reads it back by the inverse."""

    def __init__(self, noise=0.02, scale=0.05):
        random = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(PIXELS, SIZE, generator=random))[0]
        self.draw = torch.nn.Linear(SIZE, PIXELS, bias=False)
        self.read = torch.nn.Linear(PIXELS, SIZE, bias=False)
        with torch.no_grad():
            self.draw.weight.copy_(basis * scale * PIXELS**0.5)
            self.read.weight.copy_(basis.T)
        self.noise, self.calls = noise, []

    def decode(self, vectors, seeds):
        self.calls.append(seeds.copy())
        masks = [np.random.default_rng(int(seed)).standard_normal(PIXELS) for seed in seeds]
        noise = torch.from_numpy(np.array(masks, dtype=np.float32).reshape(-1, PIXELS))
        return (self.draw(vectors) + self.noise * noise).view(-1, 3, 8, 8)

    def extract(self, images):
        return self.read(images.flatten(1))


def loudness(images):
    """A quality: the root mean square, in percent."""
    return 100 * images.flatten(1).square().mean(dim=1).sqrt()


def side(images):
    """A pose: how much brighter the right is."""
    return 300 * (images[..., 4:].mean(dim=(1, 2, 3)) - images[..., :4].mean(dim=(1, 2, 3)))


def vectors(count=6, seed=1):
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def asking(**chosen):
    return DrawingOptions(**({"attrop": "images", "quality": 25.0, "pose": 20.0, "attrop_steps": 60} | chosen))


def run(starts, targets=None, *, toy=None, chosen=None, seeds=None, **estimators):
    toy = toy or Toy()
    targets = starts if targets is None else targets
    seeds = np.arange(len(starts), dtype=np.int64) if seeds is None else seeds
    estimators = estimators or {"quality": loudness, "pose": side}
    return adjust(starts, targets, toy.decode, toy.extract, chosen=chosen or asking(), seeds=seeds, **estimators)


def test_all_limits_are_met_by_the_very_pictures_of_the_seeds():
    toy, starts, chosen = Toy(), vectors(), asking()
    found = run(starts, toy=toy, chosen=chosen)
    assert found.success.all() and (found.steps > 0).all() and (found.steps < 60).all()
    images = toy.decode(found.vectors, found.seeds).clamp(-1, 1)
    distance = 1 - torch.nn.functional.cosine_similarity(toy.extract(images), starts)
    torch.testing.assert_close(found.identity, distance, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.quality, (25 - loudness(images)).relu(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.pose, (20 - side(images).abs()).abs(), atol=1e-3, rtol=1e-3)
    assert (found.identity <= 0.3).all() and (found.quality <= 1).all() and (found.pose <= 5).all()
    assert (loudness(toy.decode(starts, found.seeds)) < 24).any()


def test_who_is_there_already_stays():
    starts = vectors() * 4
    found = run(starts, chosen=asking(quality=5.0), quality=loudness)
    assert found.success.all() and not found.steps.any()
    assert torch.equal(found.vectors, starts)


def test_the_cap_holds_and_the_lowest_loss_is_kept():
    toy = Toy()
    found = run(vectors(), toy=toy, chosen=asking(quality=1000.0, attrop_steps=7), quality=loudness)
    assert len(toy.calls) == 8 and found.steps.tolist() == [7] * 6
    assert not found.success.any() and (found.quality > 1).all()
    lower = run(vectors(), chosen=asking(quality=1000.0, attrop_steps=0), quality=loudness)
    assert (lower.steps == 0).all() and torch.equal(lower.vectors, vectors())
    total = 100 * found.identity + found.quality
    assert (total < 100 * lower.identity + lower.quality).all()


def test_the_best_is_the_lowest_of_all_that_was_judged():
    # So fast a descent overshoots: its end is not its best.
    totals = []
    for steps in range(13):
        chosen = asking(identity_limit=0.0, attrop_steps=steps, attrop_rate=3.0)
        part = run(vectors(), chosen=chosen)
        totals.append(100 * part.identity + part.quality + part.pose)
    falls = torch.stack(totals).diff(dim=0)
    assert (falls <= 0).all() and (falls == 0).any() and (falls < 0).any()


def test_one_row_that_cannot_be_satisfied_holds_up_no_other():
    starts = vectors()
    targets = starts.clone()
    targets[2] = -1e3 * torch.eye(SIZE)[0]

    toy = Toy()
    found = run(starts, targets, toy=toy, chosen=asking(attrop_steps=15), quality=loudness)
    assert found.success.tolist() == [True, True, False, True, True, True]
    assert found.steps[2] == 15 and len(toy.calls) == 16
    # The others are not drawn again when they are done.
    assert len(toy.calls[-1]) == 1


@pytest.mark.parametrize("attrop_steps", [3, 40])
def test_a_row_alone_ends_where_it_does_in_a_batch(attrop_steps):
    starts, seeds = vectors(8), np.random.default_rng(0).integers(2**63, size=8)
    targets = vectors(8, seed=2) * 0.2 + starts
    chosen = asking(attrop_steps=attrop_steps)
    whole = run(starts, targets, chosen=chosen, seeds=seeds)
    assert attrop_steps == 40 or not whole.success.all()
    for row in range(8):
        part = slice(row, row + 1)
        alone = run(starts[part], targets[part], chosen=chosen, seeds=seeds[part])
        torch.testing.assert_close(alone.vectors, whole.vectors[part], atol=1e-4, rtol=1e-4)
        assert alone.success == whole.success[part] and alone.steps == whole.steps[part]
        assert alone.seeds == whole.seeds[part]


def test_the_same_seeds_give_the_same_and_others_do_not():
    one, two, other = (run(vectors(), seeds=np.arange(6, dtype=np.int64) + start) for start in (0, 0, 100))
    assert torch.equal(one.vectors, two.vectors) and not torch.equal(one.vectors, other.vectors)


def test_every_step_has_a_mask_of_its_own():
    toy = Toy()
    run(vectors(2), toy=toy, chosen=asking(quality=1000.0, attrop_steps=5), quality=loudness)
    assert len(np.unique(np.concatenate(toy.calls))) == 12


def test_gradients_reach_the_vectors_only():
    toy, starts, targets = Toy(), vectors().requires_grad_(), vectors(seed=3).requires_grad_()
    with torch.no_grad():
        found = run(starts, targets, toy=toy)
    assert all(one.grad is None for one in (toy.draw.weight, toy.read.weight, starts, targets))
    assert not found.vectors.requires_grad and torch.equal(starts, vectors())


def test_the_descent_is_adams():
    toy, starts = Toy(noise=0.0), vectors(3)
    chosen = asking(quality=1000.0, attrop_steps=6, identity_weight=20.0)
    found = run(starts, toy=toy, chosen=chosen, quality=loudness)
    moving = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=0.1)
    for _ in range(6):
        images = toy.decode(moving, np.zeros(3, dtype=np.int64)).clamp(-1, 1)
        distance = 1 - torch.nn.functional.cosine_similarity(toy.extract(images), starts)
        optimizer.zero_grad()
        (20 * distance + (1000 - loudness(images)).relu()).sum().backward()
        optimizer.step()
    torch.testing.assert_close(found.vectors, moving.detach(), atol=1e-5, rtol=1e-4)


def test_below_the_hinge_identity_pulls_at_nothing():
    starts = vectors()
    targets = starts + 0.3 * vectors(seed=5)
    apart = 1 - torch.nn.functional.cosine_similarity(starts, targets)
    assert apart.min() > 0.01 and apart.max() < 0.25
    # Neither is there anything missing to this quality, nor may the descent end: it stays where it is.
    chosen = asking(quality=0.0, hinge=0.3, attrop_steps=5)
    still = run(starts, targets, chosen=chosen, quality=loudness, pose=lambda images: images.sum(dim=(1, 2, 3)) * 0)
    assert not still.success.any() and torch.equal(still.vectors, starts)
    plain = asking(quality=0.0, hinge=0.0, attrop_steps=5)
    moved = run(starts, targets, chosen=plain, quality=loudness, pose=lambda images: images.sum(dim=(1, 2, 3)) * 0)
    assert (moved.identity < still.identity).all()


def test_without_estimators_only_identity_counts():
    starts, targets = vectors(), vectors(seed=7)
    toy = Toy()
    found = adjust(starts, targets, toy.decode, toy.extract, chosen=asking(), seeds=np.arange(6, dtype=np.int64))
    assert found.success.all() and (found.steps > 0).any()
    assert not found.quality.any() and not found.pose.any()


def test_what_is_no_number_ends_its_own_row():
    def broken(images):
        values = loudness(images)
        return torch.where(torch.arange(len(values)) == 0, values * torch.nan, values)

    found = run(vectors(1), quality=broken)
    assert not found.success.any() and found.steps.tolist() == [0]
    assert torch.equal(found.vectors, vectors(1)) and found.identity.isnan().all()
    both = run(vectors(2), quality=broken, chosen=asking(attrop_steps=4, quality=1000.0))
    assert both.vectors.isfinite().all()


def test_yaw_beyond_a_quarter_turn_counts_as_one():
    found = run(vectors(), chosen=asking(pose=90.0, attrop_steps=0), pose=lambda images: side(images) * 0 + 400)
    assert not found.pose.any() and found.success.all()


def test_nobody_to_adjust():
    found = run(vectors(0))
    assert found.vectors.shape == (0, SIZE) and len(found.seeds) == 0
