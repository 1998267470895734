from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ripser import ripser
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from facebench.errors import MetricError
from facebench.metrics import distance_matrix, h0_lengths, homology, spanning_tree, spanning_tree_of_points

A = np.array([(0, 0), (1, 0), (3, 0), (3, 4), (0, 2.5), (10, 0)])
B = np.array([(0, 0), (0, 2), (1.5, 0), (4, 0), (4, 1), (0, 5)])


def kruskal(distances):
    """The plain way: all edges, row by row, in a stable sort, joined one after the other."""
    first, second = np.triu_indices(len(distances), 1)
    parent = list(range(len(distances)))

    def root(point):
        while parent[point] != point:
            parent[point] = parent[parent[point]]
            point = parent[point]
        return point

    edges = []
    for edge in np.argsort(distances[first, second], kind="stable"):
        left, right = root(first[edge]), root(second[edge])
        if left != right:
            parent[left] = right
            edges.append((first[edge], second[edge], distances[first[edge], second[edge]]))
    return edges


def listed(tree):
    return list(zip(tree.first.tolist(), tree.second.tolist(), tree.lengths.tolist(), strict=True))


def by_boruvka(distances):
    return spanning_tree(distances)


def by_prim(distances):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(homology, "_BATCH", 1)
        return spanning_tree(distances)


def by_device(distances):
    return homology._device_tree(homology._as_device_distances(torch.from_numpy(distances)))


def by_tensor(distances):
    return spanning_tree(torch.from_numpy(distances))


WAYS = [by_boruvka, by_prim, by_device, by_tensor]


@st.composite
def matrices(draw):
    """Distances with many ties and zeros, not always a metric."""
    count = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["reals", "few values", "all equal", "all zero", "lattice", "line", "Hamming"]))
    if kind in ("lattice", "line", "Hamming"):
        points = random.integers(0, draw(st.integers(2, 6)), (count, 1 if kind == "line" else 4))
        pairs = pdist(points, "hamming" if kind == "Hamming" else "euclidean")
    else:
        pairs = random.random(count * (count - 1) // 2)
        pairs = {
            "reals": pairs,
            "few values": np.floor(4 * pairs),
            "all equal": np.ones_like(pairs),
            "all zero": 0 * pairs,
        }[kind]
    matrix = squareform(pairs) if count > 1 else np.zeros((1, 1))
    return matrix.astype(draw(st.sampled_from([np.float32, np.float64])))


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=80)
@given(matrices())
def test_the_tree_is_that_of_a_stable_sort(way, distances):
    tree = way(distances)
    assert listed(tree) == kruskal(distances)
    assert str(tree.lengths.dtype).removeprefix("torch.") == distances.dtype.name
    assert str(tree.first.dtype).removeprefix("torch.") == "int64"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tree_of_many_points(way, dtype):
    points = np.random.default_rng(0).integers(0, 12, (600, 3))
    distances = squareform(pdist(points)).astype(dtype)
    assert listed(way(distances)) == kruskal(distances)


@pytest.mark.parametrize("way", WAYS)
def test_worked_examples(way):
    """Two spaces of six points, their trees worked out by hand."""
    a, b = (squareform(pdist(points)) for points in (A, B))
    assert [edge[:2] for edge in listed(way(a))] == [(0, 1), (1, 2), (0, 4), (3, 4), (2, 5)]
    assert way(a).lengths.tolist() == pytest.approx([1, 2, 2.5, 3.354102, 7], abs=1e-6)
    assert listed(way(b)) == [(3, 4, 1), (0, 2, 1.5), (0, 1, 2), (2, 3, 2.5), (1, 5, 3)]


@st.composite
def clouds(draw):
    """Points with duplicates, on a line, on a lattice, in tight clusters, away from the origin."""
    count, dimensions = draw(st.integers(2, 300)), draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = random.standard_normal((count, dimensions))
    kind = draw(st.sampled_from(["plain", "duplicates", "line", "lattice", "clusters", "away"]))
    if kind == "duplicates":
        points = points[random.integers(0, count, count)]
    elif kind == "line":
        points = random.standard_normal((count, 1)) * points[:1] + points[1:2]
    elif kind == "lattice":
        points = np.round(2 * points)
    elif kind == "clusters":
        points = 100 * points[random.integers(0, 5, count) % count] + 1e-3 * points
    elif kind == "away":
        points = 1000 + points
    return points.astype(draw(st.sampled_from([np.float32, np.float64])))


@settings(deadline=None, max_examples=100)
@given(clouds())
def test_lengths_are_the_deaths_that_others_find(points):
    tree = spanning_tree_of_points(points)
    exact = pdist(points.astype(np.float64))
    assert tree.lengths == pytest.approx(linkage(exact, "single")[:, 2], rel=1e-5)
    assert tree.lengths == pytest.approx(squareform(exact)[tree.first, tree.second], rel=1e-5)
    assert np.array_equal(h0_lengths(points), tree.lengths)
    assert h0_lengths(squareform(exact), given="distances") == pytest.approx(tree.lengths, rel=1e-5)
    # ripser leaves out bars of length zero and adds the one that never ends.
    deaths = np.sort(ripser(squareform(exact), maxdim=0, distance_matrix=True)["dgms"][0][:-1, 1])
    assert tree.lengths[tree.lengths > 0] == pytest.approx(deaths, rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(clouds())
def test_points_of_a_device_have_the_same_tree(points):
    here, there = spanning_tree_of_points(points), homology._device_tree_of_points(torch.from_numpy(points))
    assert there.lengths.numpy() == pytest.approx(here.lengths, rel=1e-5)
    assert len({*zip(there.first.tolist(), there.second.tolist(), strict=True)}) == len(points) - 1
    assert bool((there.first < there.second).all())


@settings(deadline=None, max_examples=40)
@given(clouds())
def test_the_total_is_that_of_scipy(points):
    distances = squareform(pdist(points))
    # SciPy takes 0 for "no edge", so its matrix gets an offset.
    total = minimum_spanning_tree(distances + 1).sum() - (len(points) - 1)
    assert spanning_tree(distances).lengths.sum() == pytest.approx(total, rel=1e-9, abs=1e-9 * len(points))


def test_points_of_whole_numbers_have_the_tree_of_their_exact_distances():
    points = np.random.default_rng(3).integers(0, 5, (150, 4)).astype(np.float32)
    assert listed(spanning_tree_of_points(points)) == kruskal(squareform(pdist(points)).astype(np.float32))
    assert listed(spanning_tree_of_points(points)) == listed(spanning_tree(distance_matrix(points)))


def test_tensors_give_tensors_that_a_loss_can_use():
    points = torch.from_numpy(A).requires_grad_()
    tree = spanning_tree_of_points(points)
    (points[tree.first] - points[tree.second]).norm(dim=1).sum().backward()
    assert points.grad is not None and bool(points.grad.isfinite().all())
    assert not tree.lengths.requires_grad
    assert h0_lengths(points).tolist() == tree.lengths.tolist()
    device = homology._device_tree_of_points(points)
    (points[device.first] - points[device.second]).norm(dim=1).sum().backward()
    assert device.lengths.tolist() == tree.lengths.tolist()


@pytest.mark.parametrize("way", WAYS)
def test_rounding_does_not_make_two_directions(way):
    """Distances of a product are symmetric to rounding only; the upper triangle counts."""
    distances = squareform(pdist(np.random.default_rng(0).standard_normal((60, 9)))).astype(np.float32)
    rough = np.triu(distances) + np.tril(distances * np.float32(1 + 1e-6))
    assert listed(way(rough)) == kruskal(distances)


def test_negative_zero_is_zero():
    distances = np.array([[0, -0.0, 1], [-0.0, 0, 1], [1, 1, 0]], dtype=np.float32)
    for way in WAYS:
        assert listed(way(distances)) == [(0, 1, 0), (0, 2, 1)]
        assert not np.signbit(np.asarray(way(distances).lengths)).any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
        (np.array([[0, np.inf], [np.inf, 0]]), "finite"),
        (np.array([[0, -1.0], [-1.0, 0]]), "negative"),
        (np.array([[0, 1.0], [2.0, 0]]), "symmetric"),
        (np.ones((2, 3)), "shape"),
    ],
)
def test_what_has_no_tree(way, change, said):
    with pytest.raises(MetricError, match=said):
        way(change)


def test_a_word_that_is_neither_points_nor_distances():
    with pytest.raises(MetricError, match="'points' or 'distances'"):
        h0_lengths(A, given="images")
