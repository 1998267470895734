from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from facebench.errors import MetricError
from facebench.metrics import discrepancy, spanning_tree, spanning_tree_of_points

A = [(0, 0), (1, 0), (3, 0), (3, 4), (0, 2.5), (10, 0)]
B = [(0, 0), (0, 2), (1.5, 0), (4, 0), (4, 1), (0, 5)]


def test_two_spaces_of_six_points():
    """Worked out by hand and by a plain union-find."""
    found = discrepancy(A, B)
    assert found.points == 6
    assert found.isa_sorted * 6 == pytest.approx(17.229490, abs=1e-6)
    assert found.isa_symmetric * 6 == pytest.approx(29.817959, abs=1e-6)
    assert found.shared_edges == 2 / 5
    a, b = np.array([1, 2, 2.5, math.hypot(1.5, 3), 7]), np.array([1, 1.5, 2, 2.5, 3])
    assert found.wasserstein1 == pytest.approx(np.abs(a - b).sum())
    assert found.wasserstein2 == pytest.approx(math.sqrt(17.229490), abs=1e-6)
    assert found.bottleneck == pytest.approx(4)
    assert found.scale == pytest.approx((a @ b) / (b @ b))
    assert found.isa_by_maximum == pytest.approx((((a / pdist(A).max()) - b / pdist(B).max()) ** 2).sum() / 6)
    assert found.isa_by_mean == pytest.approx((((a / a.mean()) - b / b.mean()) ** 2).sum() / 6)


def test_images_are_divided_by_the_largest_distance_they_can_have():
    images = np.array([(-1, -1), (1, -1), (1, 1), (0.5, 0)], dtype=np.float32)
    latents = np.array([(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)], dtype=np.float32)
    assert discrepancy(images, latents, diameter=math.sqrt(8)).isa_sorted == pytest.approx(2.130694, abs=1e-6)


def spaces(seed, count=24):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((count, 9))
    return inputs, inputs @ random.standard_normal((9, 4)) + 0.3 * random.standard_normal((count, 4))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.floats(0.1, 10))
def test_each_number_by_its_formula(seed, count, diameter):
    inputs, latents = spaces(seed, count)
    found = discrepancy(inputs, latents, diameter=diameter)
    x, z = pdist(inputs) / diameter, pdist(latents)
    a, b = (linkage(pairs, "single")[:, 2] for pairs in (x, z))
    assert found.isa_sorted == pytest.approx(((a - b) ** 2).sum() / count, rel=1e-7)
    assert found.isa_sorted == pytest.approx(found.wasserstein2**2 / count)
    trees = [spanning_tree_of_points(points) for points in (inputs, latents)]
    full = squareform(x) - squareform(z)
    squares = [(full[tree.first, tree.second] ** 2).sum() for tree in trees]
    assert found.isa_symmetric == pytest.approx(sum(squares) / 2 / count, rel=1e-7)
    edges = [set(zip(tree.first.tolist(), tree.second.tolist(), strict=True)) for tree in trees]
    assert found.shared_edges == len(edges[0] & edges[1]) / (count - 1)
    around = [((a - factor * b) ** 2).sum() / count for factor in np.array([0.999, 1.001]) * found.scale]
    assert found.isa_at_best_scale <= min(around)
    assert found.isa_at_best_scale == pytest.approx(((a - found.scale * b) ** 2).sum() / count, rel=1e-7)
    assert found.bottleneck == pytest.approx(np.abs(a - b).max(), rel=1e-7)
    assert found.rank_correlation == pytest.approx(spearmanr(x, z).statistic, abs=1e-9)


def test_equal_distances_share_their_rank():
    inputs, latents = (np.random.default_rng(seed).integers(0, 3, (30, 2)) for seed in (0, 1))
    found = discrepancy(inputs, latents).rank_correlation
    assert found == pytest.approx(spearmanr(pdist(inputs), pdist(latents)).statistic, abs=1e-12)
    assert discrepancy(np.eye(4), np.arange(4.0)[:, None]).rank_correlation is None


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_what_a_factor_on_the_latents_changes(factor):
    """The loss of the training moves with it, and only measures without a scale show that nothing else did."""
    inputs, latents = spaces(0)
    plain, scaled = discrepancy(inputs, latents), discrepancy(inputs, factor * latents)
    assert scaled.isa_sorted != pytest.approx(plain.isa_sorted, rel=0.1)
    for name in ("isa_at_best_scale", "isa_by_maximum", "isa_by_mean", "shared_edges", "rank_correlation"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name))
    assert scaled.scale == pytest.approx(plain.scale / factor)


def test_a_space_has_no_discrepancy_from_itself():
    inputs, _ = spaces(1)
    found = discrepancy(inputs, 2 * inputs, diameter=0.5)
    assert (found.shared_edges, found.scale, found.rank_correlation) == pytest.approx((1, 1, 1))
    names = ("isa_sorted", "isa_symmetric", "isa_at_best_scale", "isa_by_maximum", "isa_by_mean", "wasserstein2")
    assert [getattr(found, name) for name in names] == pytest.approx([0] * 6, abs=1e-12)


def test_the_order_of_the_points_does_not_matter_but_their_pairing_does():
    inputs, latents = spaces(2)
    order = np.random.default_rng(0).permutation(len(inputs))
    plain = discrepancy(inputs, latents)
    assert astuple(discrepancy(inputs[order], latents[order])) == pytest.approx(astuple(plain))
    mixed = discrepancy(inputs, latents[order])
    assert mixed.isa_sorted == pytest.approx(plain.isa_sorted)
    assert mixed.rank_correlation < plain.rank_correlation - 0.5
    assert mixed.shared_edges < plain.shared_edges


def test_distances_say_the_same_as_points_and_are_left_alone():
    inputs, latents = spaces(3)
    x, z = (squareform(pdist(points)) for points in (inputs, latents))
    before = x.copy()
    found = discrepancy(x, z, given="distances", diameter=3)
    assert astuple(found) == pytest.approx(astuple(discrepancy(inputs, latents, diameter=3)), rel=1e-9)
    assert np.array_equal(x, before)
    assert found.isa_sorted == pytest.approx(
        ((spanning_tree(x).lengths / 3 - spanning_tree(z).lengths) ** 2).sum() / len(x)
    )


@pytest.mark.parametrize(
    ("inputs", "latents", "more", "said"),
    [
        (A, B[:5], {}, "found 6 and 5"),
        (A[:1], B[:1], {}, "found 1 and 1"),
        (A, [[2, 2]] * 6, {}, "all latents are one point"),
        ([[0]] * 6, B, {}, "all inputs are one point"),
        (A, B, {"diameter": 0}, "diameter"),
        (A, B, {"diameter": math.nan}, "diameter"),
        ([[math.nan, 0]] * 6, B, {}, "finite"),
        (A, B, {"given": "images"}, "'points' or 'distances'"),
    ],
)
def test_what_cannot_be_compared(inputs, latents, more, said):
    with pytest.raises(MetricError, match=said):
        discrepancy(inputs, latents, **more)
