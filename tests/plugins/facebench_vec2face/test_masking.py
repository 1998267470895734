from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from facebench import ConfigError
from facebench_vec2face.masking import Masking

TRAINING = Masking(0.5, 1.0, 0.75, 0.25)
DRAWING = Masking(0.1, 1.0, 0.15, 0.25)
DEMO = Masking(0.1, 0.5, 0.15, 0.25)
SHARES = st.floats(0, 1)


@pytest.mark.parametrize(("masking", "dropped"), [(TRAINING, 25), (DRAWING, 5), (Masking(0.8, 0.9, 0.85, 0.05), 40)])
def test_rows_dropped_of_49(masking, dropped):
    assert masking.dropped(49) == dropped
    mask = masking.draw(3, 49)
    assert mask.masked.shape == (3, 49) and mask.masked.dtype == torch.bool
    assert mask.kept.shape == (3, 49 - dropped)
    assert mask.dropped.sum(dim=1).tolist() == [dropped] * 3


def test_rounding_makes_no_row_of_its_own():
    assert 0.1 * 3 * 10 > 3
    assert Masking(0.3, 1.0, 0.5, 0.25).dropped(10) == 3
    assert Masking(0.14, 1.0, 0.5, 0.25).dropped(50) == 7
    mask = TRAINING.mask(torch.rand(2, 50), torch.tensor([0.14, 0.58], dtype=torch.float64))
    assert mask.masked.sum(dim=1).tolist() == [7, 29]


@given(
    least=SHARES,
    above=SHARES,
    mean=SHARES,
    std=st.floats(0.05, 1),
    rows=st.integers(1, 60),
    faces=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_a_mask(least, above, mean, std, rows, faces, seed):
    most = least + (1 - least) * above
    try:
        masking = Masking(least, most, mean, std)
    except ConfigError:  # An interval too narrow or too far away to draw from.
        assert most - least < 1e-6 or max(least - mean, mean - most) > 2 * std
        return
    generator = torch.Generator().manual_seed(seed)
    mask = masking.draw(faces, rows, generator)
    assert not (mask.dropped & ~mask.masked).any()
    dropped = mask.dropped.sum(dim=1)
    masked = mask.masked.sum(dim=1)
    assert dropped.unique().tolist() == [math.ceil(rows * least - 1e-9)]
    assert len(masked.unique()) == 1, "one share for all faces"
    assert math.ceil(rows * least - 1e-6) <= masked[0] <= math.ceil(rows * most)
    assert (mask.kept.diff(dim=1) > 0).all()
    assert not mask.dropped.gather(1, mask.kept).any()
    again = masking.draw(faces, rows, torch.Generator().manual_seed(seed))
    assert torch.equal(again.masked, mask.masked) and torch.equal(again.kept, mask.kept)


@given(rows=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_the_smallest_numbers_are_dropped_and_the_next_masked(rows, seed):
    numbers = torch.rand(4, rows, generator=torch.Generator().manual_seed(seed))
    shares = torch.tensor([0.5, 0.6, 0.9, 1.0], dtype=torch.float64)
    mask = TRAINING.mask(numbers, shares)
    for row, share in enumerate(shares.tolist()):
        order = numbers[row].tolist()
        ranked = sorted(range(rows), key=lambda place: (order[place], place))
        count = math.ceil(rows * share - 1e-9)
        assert set(mask.masked[row].nonzero().flatten().tolist()) == set(ranked[:count])
        assert set(mask.dropped[row].nonzero().flatten().tolist()) == set(ranked[: math.ceil(rows / 2)])


def test_equal_numbers_still_give_the_right_counts():
    mask = TRAINING.mask(torch.zeros(2, 49), torch.tensor(0.75))
    assert mask.masked.sum(dim=1).tolist() == [37, 37]
    assert mask.kept.tolist() == [list(range(25, 49))] * 2


@pytest.mark.parametrize(
    ("masking", "mean", "quantiles"),
    [(TRAINING, 37.3, (27, 37, 48)), (DRAWING, 16.1, (6, 15, 31)), (DEMO, 13.8, (6, 13, 23))],
)
def test_masked_rows_of_49(masking, mean, quantiles):
    even = (torch.arange(20_000) + 0.5) / 20_000
    counts = (masking.shares(even) * 49).ceil()
    assert counts.mean().item() == pytest.approx(mean, abs=0.06)
    wanted = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    assert counts.quantile(wanted).tolist() == pytest.approx(list(quantiles), abs=1)


def test_drawn_counts_follow_the_distribution():
    generator = torch.Generator().manual_seed(1)
    counts = [int(TRAINING.draw(1, 49, generator).masked.sum()) for _ in range(3000)]
    assert sum(counts) / len(counts) == pytest.approx(37.3, abs=0.4)


@pytest.mark.parametrize("masking", [TRAINING, DRAWING, DEMO, Masking(0.2, 0.3, 0.9, 0.2)])
def test_shares_are_a_truncated_normal(masking):
    low, high = ((end - masking.mean) / masking.std for end in (masking.least, masking.most))
    even = torch.linspace(0.001, 0.999, 50, dtype=torch.float64)
    wanted = stats.truncnorm(low, high, loc=masking.mean, scale=masking.std).ppf(even.numpy())
    assert masking.shares(even).tolist() == pytest.approx(wanted.tolist(), abs=1e-9)


def test_a_fixed_share():
    masking = Masking(0.4, 0.4, 0.9, 0.01)
    assert masking.shares(torch.rand(5)).tolist() == pytest.approx([0.4] * 5)


@pytest.mark.parametrize("ends", [(0.6, 0.5, 0.5, 0.1), (0.9, 1.0, 0.1, 0.01), (-0.1, 1, 0.5, 1), (0, 1.1, 0.5, 1)])
def test_what_cannot_be_drawn_is_refused(ends):
    with pytest.raises(ConfigError, match="shares of masked rows"):
        Masking(*ends)
