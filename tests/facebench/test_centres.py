"""Class centres in a single process; with several, see the tests that start them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from facebench import centres as room
from facebench.centres import ClassCentres, ClassCosines
from facebench.classoptions import ClassOptions
from facebench.config import build_options
from facebench.errors import FacebenchError
from facebench.margins import arcface_phi
from facebench.ranks import World

OPTIMISERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.5, momentum=0.9, weight_decay=0.1),
    "sgd without momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.5, weight_decay=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1),
}


def made(classes=20, size=4, *, seed=0, **chosen):
    torch.manual_seed(seed)
    extra = {name: chosen.pop(name) for name in ("subcentres", "std") if name in chosen}
    return ClassCentres(classes, size, ClassOptions(**chosen), **extra)


def vectors_of(labels, size=4, seed=1):
    return torch.randn(len(labels), size, generator=torch.Generator().manual_seed(seed))


def step(centres, optimizer, labels):
    """One step as the trainer does it; returns the classes that took part."""
    optimizer.zero_grad()
    cosines = centres(vectors_of(labels), torch.tensor(labels))
    cosines.cross_entropy(cosines.cosine * 4).sum().backward()
    drawn = torch.arange(centres.num_classes) if centres._lent is None else centres._lent
    centres.lend(optimizer)
    optimizer.step()
    centres.collect(optimizer)
    return drawn


def trained(centres):
    return [parameter for parameter in centres.parameters() if parameter.requires_grad]


def test_the_same_seed_gives_the_same_values_and_another_gives_others():
    assert torch.equal(made().weight, made().weight)
    assert not torch.equal(made().weight, made(seed=1).weight)
    weight = made(5000, 8, std=0.3).weight
    assert weight.std().item() == pytest.approx(0.3, rel=0.02) and abs(weight.mean().item()) < 0.01


@pytest.mark.parametrize("rows", [range(0, 3), range(3, 12_000), range(4095, 4097), range(8192, 12_001), range(5, 5)])
def test_a_block_of_rows_is_drawn_as_in_the_whole(rows, monkeypatch):
    whole = made(12_001, 3).weight
    monkeypatch.setattr(room, "rows_here", lambda total: rows)
    part = made(12_001, 3).weight
    assert part.shape == (len(rows), 3) and torch.equal(part, whole[rows.start : rows.stop])


def test_cosines_with_the_own_class_and_with_others():
    centres = made(5)
    labels = torch.tensor([3, 0, 3])
    cosines = centres(vectors_of(labels), labels)
    expected = functional.normalize(vectors_of(labels)) @ functional.normalize(centres.weight.detach()).T
    torch.testing.assert_close(cosines.cosine.detach(), expected)
    torch.testing.assert_close(cosines.own().detach(), expected[range(3), labels])
    assert torch.equal(cosines.others(), torch.ones(3, 5).scatter(1, labels[:, None], 0).bool())
    assert torch.equal(cosines.vectors, vectors_of(labels)) and torch.equal(cosines.labels, labels)
    assert bool(cosines.here.all()) and cosines.widest == 5


def test_replaced_changes_the_own_class_only_and_carries_gradients_to_both():
    centres = made(5)
    labels = torch.tensor([3, 0])
    cosines = centres(vectors_of(labels), labels)
    own = torch.tensor([0.25, -0.5], requires_grad=True)
    found = cosines.replaced(own)
    assert torch.equal(found.detach()[range(2), labels], own.detach())
    assert torch.equal(found[cosines.others()], cosines.cosine[cosines.others()])
    cosines.cosine.retain_grad()
    found.sum().backward()
    assert torch.equal(own.grad, torch.ones(2)) and torch.equal(cosines.cosine.grad, cosines.others().float())


@pytest.mark.parametrize("chosen", [{}, {"sample_rate": 0.3}, {"sample_rate": 0.3, "update_unsampled": True}])
def test_margin_softmax_in_one_piece_and_put_together(chosen, monkeypatch):
    """Where several processes, sub-centres or a filter ask for it, the same comes from its parts."""
    labels = torch.tensor([3, 19, 3, 0])
    results = []
    for whole in (True, False):
        centres = made(**chosen).double()
        if not whole:
            monkeypatch.setattr(centres, "subcentres", 0)  # neither one piece, nor several centres to choose from
            monkeypatch.setattr(centres, "forward", lambda *given, c=centres: one_centre(c, *given))
        vectors = vectors_of(labels).double().requires_grad_()
        loss, terms = centres.margin_softmax(vectors, labels, lambda cosine: arcface_phi(cosine, 0.5), 16.0)
        loss.backward()
        moved = centres.weight if centres.active is None else centres.active
        results.append((loss.detach(), vectors.grad, moved.grad, *terms.values()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def one_centre(centres, *given):
    centres.subcentres = 1
    return ClassCentres.forward(centres, *given)


def test_filtering_leaves_the_own_class():
    centres = made(6, 2)
    labels = torch.tensor([0, 1])
    vectors = centres.weight.detach()[labels]
    cosines = centres(vectors, labels)
    assert cosines.filtered(0) is cosines
    found = cosines.filtered(0.01).cosine
    torch.testing.assert_close(found[range(2), labels], torch.ones(2))
    assert found[cosines.others()].max() <= 0.01 < cosines.cosine[cosines.others()].max()


def test_the_nearest_of_several_centres_counts_and_learns():
    centres = made(3, 2, subcentres=2)
    assert centres.weight.shape == (3, 4)
    with torch.no_grad():
        centres.weight.copy_(torch.tensor([[1.0, 0, 0, 1], [-1, 0, 0, -1], [1, 1, -1, 1]]))
    cosine = centres(torch.tensor([[0.8, 0.6]]), torch.tensor([0])).cosine
    torch.testing.assert_close(cosine.detach(), torch.tensor([[0.8, -0.6, 1.4 / 2**0.5]]))
    cosine[0, 0].backward()
    assert (
        centres.weight.grad[0, :2].any() and not centres.weight.grad[0, 2:].any() and not centres.weight.grad[1:].any()
    )


def test_terms_tell_the_nearest_class():
    centres = made(3, 2)
    with torch.no_grad():
        centres.weight.copy_(torch.tensor([[1.0, 0], [0, 2], [-1, -1]]))
    terms = centres(torch.tensor([[3.0, 0], [1, 0]]), torch.tensor([0, 1])).terms()
    assert {name: value.item() for name, value in terms.items()} == {"target_cosine": 0.5, "accuracy": 0.5}
    assert not any(value.requires_grad for value in terms.values())


def test_a_process_may_have_no_columns_at_all(monkeypatch):
    monkeypatch.setattr(room, "world", lambda: World(2, 3))
    leaf = torch.randn(2, 3, requires_grad=True)
    cosine = leaf[:, :0]
    cosines = ClassCosines(cosine, torch.tensor([-1, -1]), leaf.detach(), torch.tensor([0, 1]), 1)
    own = cosines.own()
    assert torch.equal(own.detach(), torch.zeros(2)) and own.requires_grad and not cosines.here.any()
    assert cosines.others().shape == cosines.replaced(own).shape == cosines.filtered(0.4).cosine.shape == (2, 0)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_only_drawn_centres_move_and_each_as_if_it_were_alone(kind):
    """Against one optimiser per class, stepped when the class is drawn: momentum stays with its centre."""
    centres = made(sample_rate=0.4)
    optimizer = OPTIMISERS[kind](trained(centres))
    centres.prepare(optimizer)
    alone = centres.weight.detach().clone().requires_grad_()
    state = {}
    for number in range(6):
        labels = [(3 * number) % 20, (3 * number + 1) % 20, number]
        before = centres.weight.detach().clone()
        drawn = step(centres, optimizer, labels)
        moved = (centres.weight != before).any(dim=1)
        assert len(drawn) == 8 and set(labels) <= set(drawn.tolist())
        assert moved.nonzero().squeeze(1).tolist() == drawn.tolist()
        _step_alone(kind, alone, state, drawn, labels, number)
        torch.testing.assert_close(centres.weight, alone.detach(), rtol=1e-5, atol=1e-6)


def _step_alone(kind, weight, state, drawn, labels, number):
    """What the optimiser does to the drawn rows, written out."""
    rows = weight.detach()[drawn].requires_grad_()
    cosine = functional.normalize(vectors_of(labels)) @ functional.normalize(rows).T
    functional.cross_entropy(cosine * 4, torch.searchsorted(drawn, torch.tensor(labels)), reduction="sum").backward()
    with torch.no_grad():
        for row, slope, old in zip(drawn.tolist(), rows.grad, rows, strict=True):
            kept = state.setdefault(row, [torch.zeros(4), torch.zeros(4)])
            if kind == "adamw":
                kept[0] = 0.9 * kept[0] + 0.1 * slope
                kept[1] = 0.999 * kept[1] + 0.001 * slope**2
                first, second = kept[0] / (1 - 0.9 ** (number + 1)), kept[1] / (1 - 0.999 ** (number + 1))
                weight[row] = old * (1 - 0.05 * 0.1) - 0.05 * first / (second.sqrt() + 1e-8)
            else:
                kept[0] = (0.9 if kind == "sgd" else 0) * kept[0] + slope + 0.1 * old
                weight[row] = old - 0.5 * kept[0]


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_all_centres_move_when_asked_to(kind):
    centres = made(sample_rate=0.4, update_unsampled=True)
    optimizer = OPTIMISERS[kind](trained(centres))
    centres.prepare(optimizer)
    before = centres.weight.detach().clone()
    step(centres, optimizer, [0, 1])
    assert bool((centres.weight != before).any(dim=1).all())
    assert not hasattr(centres, "kept_momentum_buffer") and centres.active is None


def test_a_batch_with_more_classes_than_the_sample_draws_no_others():
    centres = made(sample_rate=0.1)
    labels = torch.tensor([5, 1, 9, 1, 17])
    cosines = centres(vectors_of(labels), labels)
    assert centres._lent.tolist() == [1, 5, 9, 17]
    assert cosines.cosine.shape == (5, 4) and cosines.column.tolist() == [1, 0, 2, 0, 3] and cosines.widest == 4
    own = functional.cosine_similarity(vectors_of(labels), centres.weight[labels])
    torch.testing.assert_close(cosines.own().detach(), own)


def test_draws_differ_from_step_to_step_and_cover_all_classes():
    centres = made(sample_rate=0.3)
    drawn = [tuple(centres._drawn_classes(torch.tensor([0])).tolist()) for _ in range(40)]
    assert all(len(set(one)) == 6 and one == tuple(sorted(one)) and one[0] == 0 for one in drawn)
    assert len(set(drawn)) > 30 and set().union(*drawn) == set(range(20))


def test_evaluation_uses_all_classes_and_draws_nothing():
    centres = made(sample_rate=0.3).eval()
    assert centres(vectors_of([0, 1]), torch.tensor([0, 1])).cosine.shape == (2, 20)
    assert centres.steps.item() == 0


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_continues_from_its_state_with_the_same_draws_and_the_same_momentum(kind):
    centres = made(sample_rate=0.4)
    optimizer = OPTIMISERS[kind](trained(centres))
    centres.prepare(optimizer)
    for number in range(3):
        step(centres, optimizer, [number])
    other = made(sample_rate=0.4, seed=9)
    second = OPTIMISERS[kind](trained(other))
    other.prepare(second)
    other.load_state_dict(centres.state_dict())
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in range(3):
        drawn = step(centres, optimizer, [number + 5])
        assert step(other, second, [number + 5]).tolist() == drawn.tolist()
    assert torch.equal(centres.weight, other.weight)


def test_what_the_optimiser_sees_is_gone_after_a_step():
    centres = made(sample_rate=0.4)
    optimizer = OPTIMISERS["sgd"](trained(centres))
    centres.prepare(optimizer)
    assert [parameter.requires_grad for parameter in (centres.weight, centres.active)] == [False, True]
    step(centres, optimizer, [0])
    assert centres.active.shape == (0, 4) and centres.active.grad is None and not optimizer.state[centres.active]
    weight = centres.weight.detach().clone()
    centres.lend(optimizer)
    centres.collect(optimizer)
    assert torch.equal(centres.weight, weight)


@pytest.mark.parametrize("rate", [0, 1.1, -0.5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(FacebenchError, match="sample_rate"):
        build_options(ClassOptions, {"sample_rate": rate}, "loss")
