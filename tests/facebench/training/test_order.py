from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.errors import ConfigError
from facebench.ranks import World
from facebench.training.noise import with_noise
from facebench.training.order import Order, Together


def orders(count, batch_size, size, accumulate):
    return [Order(count, batch_size, accumulate, 3, World(rank, size)) for rank in range(size)]


@given(
    count=st.integers(2, 300),
    size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    part=st.integers(2, 9),
    epoch=st.integers(0, 3),
)
def test_processes_share_out_every_step_without_overlap(count, size, accumulate, part, epoch):
    shared = orders(count, part * size * accumulate, size, accumulate)
    first = shared[0]
    faces = first.epoch(epoch)
    assert sorted(faces.tolist()) == list(range(count))
    seen = []
    for number in range(first.steps):
        step = first.step(faces, number)
        mine = [[step[piece] for piece in order.parts(len(step))] for order in shared]
        assert np.concatenate([np.concatenate(pieces) for pieces in mine]).tolist() == step.tolist()
        # Equal shares in equal parts, and no face alone: batch normalisation could not train on it.
        assert len({tuple(map(len, pieces)) for pieces in mine}) == 1
        assert all(2 <= len(piece) <= part for pieces in mine for piece in pieces)
        seen.append(len(step))
    assert sum(seen) == first.seen <= count
    assert count - first.seen < 2 * size or count - first.seen == size * (count - first.seen) // size
    assert all(length == first.batch_size for length in seen[:-1])


@given(count=st.integers(2, 100), start=st.integers(0, 5))
def test_reading_starts_anywhere(count, start):
    (order,) = orders(count, 8, 1, 2)
    faces = order.epoch(0)
    everything = [part.tolist() for part in order.read(faces, 0)]
    skipped = sum(len(order.parts(len(order.step(faces, number)))) for number in range(min(start, order.steps)))
    assert [part.tolist() for part in order.read(faces, start)] == everything[skipped:]


def test_the_order_depends_on_seed_and_epoch_alone():
    one, two = Order(100, 8, 1, 3, World()), Order(100, 16, 2, 3, World(1, 2))
    assert one.epoch(4).tolist() == two.epoch(4).tolist()
    assert one.epoch(4).tolist() != one.epoch(5).tolist()
    assert one.epoch(4).tolist() != Order(100, 8, 1, 4, World()).epoch(4).tolist()


def test_forty_million_faces_take_four_bytes_each():
    assert Order(1000, 8, 1, 0, World()).epoch(0).dtype == np.int32


@pytest.mark.parametrize(("batch_size", "size", "accumulate"), [(10, 4, 1), (10, 1, 3), (8, 4, 2), (2, 2, 1)])
def test_a_batch_that_cannot_be_shared_is_refused(batch_size, size, accumulate):
    with pytest.raises(ConfigError, match=f"batch_size {batch_size} .* {size} processes x {accumulate}"):
        Order(100, batch_size, accumulate, 0, World(0, size))


@given(share=st.floats(0, 1), classes=st.integers(2, 9), seed=st.integers(0, 5))
def test_noise_strikes_the_share_and_always_another_class(share, classes, seed):
    labels = np.arange(60) % classes
    noisy = with_noise(labels, share, classes=classes, seed=seed)
    assert (noisy != labels).sum() == round(share * 60)
    assert noisy.min() >= 0 and noisy.max() < classes
    more = with_noise(labels, min(1.0, share + 0.2), classes=classes, seed=seed)
    struck = noisy != labels
    assert (more[struck] == noisy[struck]).all()


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), group=st.integers(2, 5), seed=st.integers(0, 5))
def test_faces_of_one_person_follow_one_another(sizes, group, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order, together = Order(len(labels), 4, 1, seed, World()), Together(labels, group)
    found = order.epoch(0, together)
    assert sorted(found.tolist()) == list(range(len(labels))), "every face once"
    whole = sum(size // group for size in sizes)
    groups = labels[found[: whole * group]].reshape(whole, group)
    assert (groups == groups[:, :1]).all()
    assert np.bincount(groups[:, 0], minlength=len(sizes)).tolist() == [size // group for size in sizes]
    assert order.epoch(0, together).tolist() == found.tolist()


def test_groups_and_their_faces_come_in_another_order_each_epoch():
    labels = np.arange(40) % 5
    order, together = Order(40, 8, 1, 0, World()), Together(labels, 4)
    one, two = (order.epoch(number, together).reshape(-1, 4) for number in (0, 1))
    assert labels[one[:, 0]].tolist() != labels[two[:, 0]].tolist()
    assert {frozenset(row) for row in one.tolist()} != {frozenset(row) for row in two.tolist()}
