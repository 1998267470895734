from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_separability import exact

from facebench.metrics import tiles
from facebench.metrics.cosines import Side, directions
from facebench.metrics.products import exact_products
from facebench.metrics.tiles import Tiles

NONE = np.empty(0, dtype=np.float32)


def tiles_of(some, thresholds=NONE, *, screened=False, side=64):
    side_of = Side.of(directions(some), "cpu", screened=screened)
    return Tiles(side_of, side_of, thresholds, side=side)


@st.composite
def rough(draw):
    """Vectors whose members are rounded to bfloat16 all to one side, and sums of them that grow large."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, dim = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 64, 500, 4096]))
    members = 1 + draw(st.sampled_from([2.0**-8 - 2.0**-15, 2.0**-8 + 2.0**-15, 0.3])) * np.ones((count, dim))
    members[:, : draw(st.integers(0, dim - 1))] *= draw(st.sampled_from([0.5, 1e-3, 0.71]))
    members += draw(st.sampled_from([0.0, 1e-4, 1.0])) * random.standard_normal((count, dim))
    return members * random.choice([-1, 1], (count, 1))


@settings(max_examples=200, deadline=None)
@given(rough(), st.sampled_from(["bfloat16", "single", "double"]))
def test_no_product_is_farther_from_the_scores_than_it_says(some, step):
    whole = slice(0, len(some))
    with exact_products():
        scores, error = tiles_of(some, screened=step == "bfloat16")._product(whole, whole, step)
    assert np.abs(scores.astype(np.float64) - exact(some)).max() <= error
    assert error < {"bfloat16": 0.02, "single": 3e-4, "double": 1e-300}[step]


def test_the_bounds_for_512_dimensions():
    some = np.random.default_rng(0).standard_normal((64, 512))
    whole = slice(0, 64)
    with exact_products():
        assert 3.05e-5 < tiles_of(some)._product(whole, whole, "single")[1] < 3.1e-5
        assert 4e-3 < tiles_of(some, screened=True)._product(whole, whole, "bfloat16")[1] < 6.5e-3


@pytest.fixture
def close():
    """One vector, and 80 others whose scores with it are a few units in the last place apart, in no order."""
    draw = np.random.default_rng(0)
    first, other = draw.standard_normal((2, 512))
    first /= np.linalg.norm(first)
    other -= other @ first * first
    other /= np.linalg.norm(other)
    cosines = draw.permutation(0.4 + np.arange(-40, 40) * 1e-8)
    return np.concatenate([first[None], cosines[:, None] * first + np.sqrt(1 - cosines**2)[:, None] * other])


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("few", [1, 64])
def test_pairs_near_a_threshold_are_on_the_right_side(close, screened, few):
    scores = exact(close)[:1, 1:]
    tau = np.sort(scores[0])[40]
    with patch.object(tiles, "_FEW", few), exact_products():
        found = tiles_of(close, np.array([tau]), screened=screened, side=128).pairs(slice(0, 1), slice(1, 81))
    hits = found.scores > tau
    assert found.second[hits].tolist() == (1 + np.flatnonzero(scores[0] > tau)).tolist()
    assert 0 < hits.sum() < 40


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("floor", [-np.inf, 0.0, 0.4])
def test_the_highest_of_pairs_that_a_product_cannot_tell_apart(close, screened, floor):
    scores, floors = exact(close)[:1, 1:], np.full(1, floor, dtype=np.float32)
    for left, right, floor_of in (
        (slice(0, 1), slice(1, 81), {"row_floors": floors}),
        (slice(1, 81), slice(0, 1), {"column_floors": floors}),
    ):
        with patch.object(tiles, "_FEW", 1), exact_products():
            found = tiles_of(close, screened=screened, side=128).pairs(left, right, **floor_of)
        assert found.scores.max() == scores.max()
        best = np.flatnonzero(found.scores == scores.max())
        assert (found.first + found.second)[best].tolist() == (1 + np.flatnonzero(scores[0] == scores.max())).tolist()


def test_few_pairs_come_back_and_the_highest_are_exact():
    some = np.random.default_rng(0).standard_normal((64, 512))
    scores = exact(some)[:32, 32:]
    floors = np.full(32, -np.inf, dtype=np.float32)
    with exact_products():
        found = tiles_of(some).pairs(slice(0, 32), slice(32, 64), row_floors=floors, column_floors=floors)
    assert 32 <= found.scores.size <= 64
    best = np.full(32, -np.inf)
    np.maximum.at(best, found.first, found.scores)
    np.testing.assert_array_equal(best, scores.max(axis=1))
    with exact_products():  # nothing is above what is known already
        known = scores.max(axis=1)
        assert not (tiles_of(some).pairs(slice(0, 32), slice(32, 64), row_floors=known).scores > known.max()).any()


def test_pairs_come_by_row_and_then_by_column():
    some = np.random.default_rng(0).standard_normal((30, 4))
    with patch.object(tiles, "_STRIP", 90), exact_products():
        found = tiles_of(some, np.zeros(1, dtype=np.float32)).pairs(slice(0, 30), slice(0, 30), triangle=True)
    places = found.first * 30 + found.second
    assert (np.diff(places) > 0).all()
    assert (found.second > found.first).all()
    expected = np.triu(exact(some) > 0, 1)
    assert (found.scores > 0).sum() == expected.sum()


@pytest.mark.parametrize(("some", "steps"), [("apart", ["bfloat16"]), ("alike", ["bfloat16", "single", "double"])])
def test_a_block_is_multiplied_again_only_where_much_is_open(monkeypatch, some, steps):
    vectors = {"apart": np.eye(64), "alike": np.ones((64, 64))}[some]
    seen = []
    original = Tiles._product
    monkeypatch.setattr(Tiles, "_product", lambda self, *given: seen.append(given[2]) or original(self, *given))
    floors = np.full(64, 0.5, dtype=np.float32)
    with exact_products():
        block = tiles_of(vectors, np.array([0.4], dtype=np.float32), screened=True)
        block.pairs(slice(0, 64), slice(0, 64), row_floors=floors, column_floors=floors, triangle=True)
    assert seen == steps


def test_very_long_vectors_are_multiplied_in_double_precision(monkeypatch):
    monkeypatch.setattr(tiles, "_LONGEST", 3)
    assert tiles_of(np.eye(4), screened=True)._steps == ["double"]
