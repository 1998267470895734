from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_separability import exact, first_occurrence, greedy, strict

from facebench.errors import MetricError, UnknownName
from facebench.metrics import tiles
from facebench.metrics.separability import nearest_between, neighbours


@st.composite
def vectors(draw, most=14):
    """Crowds with duplicates: whole numbers, whose scores tie, signs, whose scores are whole halves, and clusters."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, kind = draw(st.integers(1, most)), draw(st.sampled_from(["whole", "signs", "clusters"]))
    if kind == "signs":  # of unit length after a division by 2 or 4
        return random.choice([-1.0, 1.0], (count, draw(st.sampled_from([4, 16])))).astype(np.float32)
    if kind == "whole":
        found = random.integers(-2, 3, (count, draw(st.integers(1, 3)))).astype(np.float32)
        found[~found.any(axis=1), 0] = 1
        return found
    dim = draw(st.integers(2, 40))
    centres = random.standard_normal((3, dim))[random.integers(0, 3, count)]
    found = centres + draw(st.sampled_from([0.0, 1e-4, 0.3, 1.0])) * random.standard_normal((count, dim))
    return (found * random.uniform(0.1, 30, (count, 1))).astype(np.float32)


@st.composite
def cuts(draw):
    """How the work is cut, and what is scored pair by pair rather than by a whole block."""
    return {
        "_SIDE": {"cpu": draw(st.integers(1, 8)), "other": 1},
        "_STRIP": draw(st.sampled_from([1, 7, 1 << 20])),
        "_FEW": draw(st.sampled_from([1, 64])),
        "_PAIR_BYTES": draw(st.sampled_from([1, 100, 1 << 20])),
    }


TAUS = st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.25, 0.4, 0.5, 0.8, 1.0]), max_size=4, unique=True)
SCREENS = st.sampled_from(["never", "bfloat16"])


@settings(max_examples=200, deadline=None)
@given(vectors(), TAUS, cuts(), SCREENS, st.data())
def test_everything_is_as_by_brute_force(some, taus, cut, screen, data):
    scores = exact(some)
    count = len(some)
    # At a threshold that is a score, all of those pairs are on one side, and of the next number below on the other.
    chosen = np.float32(scores[data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))])
    taus = [*taus, float(chosen), float(np.nextafter(chosen, np.float32(-2)))]
    with patch.multiple(tiles, **cut):
        found = neighbours(some, taus, screen=screen)
    earlier = np.where(np.tri(count, k=-1, dtype=bool).T, scores, -np.inf)
    np.testing.assert_array_equal(found.previous, earlier.max(axis=0, initial=-np.inf))
    np.testing.assert_array_equal(
        found.nearest, np.where(np.eye(count, dtype=bool), -np.inf, scores).max(axis=0, initial=-np.inf)
    )
    for number, tau in enumerate(np.float32(taus)):
        later = earlier > tau
        np.testing.assert_array_equal(
            found.first_later[number], np.where(later.any(axis=1), later.argmax(axis=1), count)
        )
        np.testing.assert_array_equal(found.packed[number], greedy(scores, tau))
        assert found.above[number] == later.sum()


@pytest.fixture
def elsewhere(monkeypatch):
    """Has blocks sifted and scored by torch, as on an accelerator."""
    original, product = tiles.Tiles.__init__, torch.mm

    def placed(self, *given, **options):
        original(self, *given, **options)
        self._here, self._threads = False, 1

    def wide(left, right, out_dtype=None):
        return product(left, right) if out_dtype is None else product(left.to(out_dtype), right.to(out_dtype))

    monkeypatch.setattr(tiles.Tiles, "__init__", placed)
    monkeypatch.setattr(torch, "mm", wide)


@pytest.mark.parametrize("screen", ["never", "bfloat16"])
@pytest.mark.parametrize("few", [1, 64])
def test_an_accelerator_finds_the_same(elsewhere, monkeypatch, screen, few):
    monkeypatch.setattr(tiles, "_FEW", few)
    monkeypatch.setattr(tiles, "_STRIP", 8)
    monkeypatch.setitem(tiles._SIDE, "cpu", 32)
    for some in (crowd(150), np.sign(crowd(100, dim=4)), crowd(90, dim=512)):
        scores, taus = exact(some), np.float32([0.0, 0.4, 0.5])
        found = neighbours(some, taus, screen=screen)
        for number, tau in enumerate(taus):
            np.testing.assert_array_equal(found.packed[number], greedy(scores, tau))
            assert found.above[number] == (scores[np.triu_indices(len(some), 1)] > tau).sum()
            assert found.strict(tau) == strict(scores, tau).sum()
        np.fill_diagonal(scores, -np.inf)
        np.testing.assert_array_equal(found.nearest, scores.max(axis=0))
        np.testing.assert_array_equal(
            nearest_between(some[:50], some[50:], screen=screen).scores, exact(some[:50], some[50:]).max(axis=1)
        )


def test_several_threads_find_the_same(monkeypatch):
    some = crowd(150)
    whole = neighbours(some, [0.0, 0.4])
    for name, value in (("_SMALL", 0), ("_PAIR_BYTES", 1), ("_FEW", 1)):
        monkeypatch.setattr(tiles, name, value)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    found = neighbours(some, [0.0, 0.4])
    for name in ("previous", "nearest", "first_later", "packed", "above"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


@settings(max_examples=100, deadline=None)
@given(vectors(), TAUS)
def test_counts_of_all_prefixes(some, taus):
    scores, count = exact(some), len(some)
    found = neighbours(some, taus)
    for tau in taus:
        plain = {
            rule: [int(rule(scores[:n, :n], np.float32(tau)).sum()) for n in range(count + 1)]
            for rule in (strict, first_occurrence, greedy)
        }
        for rule, ours in ((strict, found.strict), (first_occurrence, found.first_occurrence), (greedy, found.greedy)):
            assert [ours(tau, n) for n in range(count + 1)] == plain[rule]
            assert ours(tau) == plain[rule][-1]
        sizes = np.arange(count, -1, -1)
        for rule, curve in (
            (strict, found.strict_curve),
            (first_occurrence, found.first_occurrence_curve),
            (greedy, found.greedy_curve),
        ):
            assert curve(tau, sizes).tolist() == plain[rule][::-1]
            assert curve(tau, []).shape == (0,)


@settings(max_examples=100, deadline=None)
@given(vectors(), st.floats(-2, 2))
def test_two_counts_at_any_threshold(some, tau):
    scores = exact(some)
    found = neighbours(some, [])
    assert found.strict(tau) == found.strict(tau, len(some)) == strict(scores, np.float32(tau)).sum()
    for n in range(len(some) + 1):
        assert found.first_occurrence(tau, n) == first_occurrence(scores[:n, :n], np.float32(tau)).sum()


def crowd(count, dim=64, clusters=400, spread=0.9):
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((clusters, dim))[draw.integers(0, clusters, count)]
    return (centres + spread * draw.standard_normal((count, dim))).astype(np.float32)


def test_three_counts_of_clusters():
    """Strict, first occurrence and greedy are far apart where identities come in clusters."""
    found = neighbours(crowd(3000), [0.4, 0.6])
    counts = [found.strict(0.4), found.first_occurrence(0.4), found.greedy(0.4)]
    assert counts[0] < 50 < counts[1] < counts[2] / 1.2
    curve = found.strict_curve(0.4, np.arange(3001))
    assert (np.diff(curve) < 0).any(), "the strict count grew with every identity"
    for n in (1, 2, 700, 3000):
        for tau in (0.4, 0.6):
            assert found.strict(tau, n) <= found.first_occurrence(tau, n) <= found.greedy(tau, n)


@pytest.mark.parametrize("screen", ["never", "bfloat16"])
def test_blocks_of_the_usual_size(screen):
    some = crowd(2800, dim=48)
    scores, tau = exact(some), np.float32(0.4)
    found = neighbours(some, [0.4], screen=screen)
    assert found.above[0] == (scores[np.triu_indices(2800, 1)] > tau).sum()
    np.testing.assert_array_equal(found.packed[0], greedy(scores, tau))
    np.fill_diagonal(scores, -np.inf)
    np.testing.assert_array_equal(found.nearest, scores.max(axis=0))


@settings(max_examples=60, deadline=None)
@given(vectors(), st.integers(1, 5))
def test_moments(some, panel):
    with patch.multiple("facebench.metrics.separability", _PANEL=panel, _ROWS=panel):
        found = neighbours(some, [])
    values = exact(some).astype(np.float64)[np.triu_indices(len(some), 1)]
    assert found.pairs == values.size
    if values.size:
        assert found.mean == pytest.approx(values.mean(), abs=1e-7)
        assert found.std == pytest.approx(values.std(), abs=2e-7)
    else:
        assert np.isnan([found.mean, found.std]).all()


def test_one_and_two_identities():
    one = neighbours([[3.0, 4.0]], [0.5])
    assert one.strict(0.5) == one.first_occurrence(0.5) == one.greedy(0.5) == 1
    assert one.previous[0] == one.nearest[0] == -np.inf
    assert one.first_later.tolist() == [[1]]
    two = neighbours([[1.0, 0.0], [2.0, 0.0]], [0.5])
    assert (two.strict(0.5), two.first_occurrence(0.5), two.greedy(0.5)) == (0, 1, 1)
    assert (two.strict(0.5, 1), two.strict(1.0), two.mean, two.std) == (1, 2, 1.0, 0.0)


def test_a_threshold_is_compared_in_single_precision():
    """As NumPy and torch do: 0.6 as float32 is a little more than the double 0.6, and the score is exactly that."""
    found = neighbours([[1.0, 0.0], [0.6, 0.8]], [0.6])
    assert found.nearest[0] == np.float32(0.6)
    assert float(found.nearest[0]) > 0.6
    assert found.above[0] == 0
    assert found.strict(0.6) == found.greedy(0.6) == 2


def test_memory_mapped_vectors(tmp_path):
    some = crowd(60)
    np.save(tmp_path / "vectors.npy", some)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    found, again = neighbours(mapped, [0.4]), neighbours(some.astype(np.float64) * 1e200, [0.4])
    np.testing.assert_array_equal(found.nearest, again.nearest)
    np.testing.assert_array_equal(nearest_between(mapped, mapped).indices, np.arange(60))


def test_what_is_not_known_is_said():
    found = neighbours(np.eye(3), [0.3, 0.4])
    with pytest.raises(MetricError, match=r"the greedy count needs a threshold .* found 0.35; there are: 0.3, 0.4"):
        found.greedy(0.35)
    with pytest.raises(MetricError, match="the strict count of a part"):
        found.strict(0.35, 2)
    with pytest.raises(MetricError, match="there are: none"):
        neighbours(np.eye(3), []).greedy(0.3)
    for prefix in (-1, 4):
        with pytest.raises(MetricError, match="from 0 to the 3 identities"):
            found.first_occurrence(0.3, prefix)
    with pytest.raises(MetricError, match="whole number"):
        found.greedy_curve(0.3, [1.5])


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(MetricError, match="found 1 of 2, the first is row 1"):
        neighbours([[1.0, 0.0], [0.0, 0.0]], [0.3])
    with pytest.raises(MetricError, match="finite"):
        neighbours([[1.0, np.nan]], [0.3])
    with pytest.raises(MetricError, match="thresholds must be finite"):
        neighbours(np.eye(2), [np.nan])
    with pytest.raises(UnknownName, match="screen"):
        neighbours(np.eye(2), [0.3], screen="often")
    with pytest.raises(MetricError, match="device"):
        neighbours(np.eye(2), [0.3], device="nowhere")
    with pytest.raises(MetricError, match="one dimension; found 2 and 3"):
        nearest_between(np.eye(2), np.eye(3))


@settings(max_examples=100, deadline=None)
@given(vectors(), vectors(), TAUS, cuts(), SCREENS)
def test_nearest_between_is_brute_force(probes, gallery, taus, cut, screen):
    dim = min(probes.shape[1], gallery.shape[1])
    probes, gallery = probes[:, :dim] + 3, gallery[:, :dim] + 3
    probes[~probes.any(axis=1)] = gallery[~gallery.any(axis=1)] = 1
    scores = exact(probes, gallery)
    with patch.multiple(tiles, **cut):
        found = nearest_between(probes, gallery, thresholds=taus, screen=screen)
    np.testing.assert_array_equal(found.scores, scores.max(axis=1))
    np.testing.assert_array_equal(found.indices, scores.argmax(axis=1))
    assert found.above.tolist() == [(scores.max(axis=1) > tau).sum() for tau in np.float32(taus)]
