from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from facebench_topology import inputs as module
from facebench_topology.inputs import LARGEST, InputSpace, all_distances


def direct(points):
    """The definition, in float64."""
    return cdist(points, points) / np.sqrt(4 * points.shape[1])


def test_the_largest_distance_is_that_of_black_and_white():
    pixels = np.array([[0], [255]], dtype=np.uint8).repeat(module.VALUES, axis=1)
    assert all_distances(pixels)[0, 1] == pytest.approx(1, rel=1e-5)
    assert pytest.approx(387.979, abs=1e-3) == LARGEST


@pytest.mark.parametrize("block", [512, 7])
def test_all_distances_are_those_of_the_definition(kit, images, monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    near = np.concatenate([images, images[:3]])
    near[-2, 0, 0, 0] += 1  # one value of one pixel
    found = all_distances(near.reshape(len(near), -1))
    wanted = direct(kit.points(near))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)
    assert np.array_equal(found, found.T)
    assert found[0, len(images)] == 0
    assert found[1, len(images) + 1] == pytest.approx(2 / 255 / LARGEST, rel=1e-5)
    assert not found.diagonal().any()


@pytest.mark.parametrize(("whole", "work"), [(1000, 10**9), (1000, 0), (0, 10**9)])
def test_every_way_gives_the_same_distances(kit, faces, whole, work):
    rows = np.arange(len(faces))[::-1]
    space = InputSpace(faces, rows, whole=whole, work=work)
    places = np.array([3, 0, 17, 39])
    wanted = direct(kit.points(faces.images[rows[places]]))
    np.testing.assert_allclose(space.distances(places), wanted, rtol=1e-5)


def test_small_sets_are_read_once_and_large_ones_by_the_batch(faces):
    rows, places = np.arange(len(faces)), np.array([5, 2])
    held = InputSpace(faces, rows, whole=len(faces), work=0)
    held.distances(places)
    held.distances(places)
    assert sorted(faces.read) == faces.keys
    faces.read.clear()
    large = InputSpace(faces, rows, whole=len(faces) - 1, work=0)
    large.distances(places)
    assert sorted(faces.read) == [faces.keys[2], faces.keys[5]]


def test_all_pairs_are_measured_only_where_that_is_less_work(faces, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "all_distances", lambda pixels: asked.append(len(pixels)))
    rows = np.arange(len(faces))
    InputSpace(faces, rows, whole=len(faces), work=len(faces) ** 2)
    assert not asked
    InputSpace(faces, rows, whole=len(faces), work=len(faces) ** 2 + 1)
    assert asked == [len(faces)]
    InputSpace(faces, rows, whole=len(faces) - 1, work=10**12)
    assert asked == [len(faces)]


@pytest.mark.parametrize("whole", [1000, 0])
def test_pictures_of_another_size_are_counted(kit, images, whole):
    small = kit.Pictures(kit.clouds(6, side=56), [str(place) for place in range(6)])
    space = InputSpace(small, np.arange(6), whole=whole, work=0)
    space.distances(np.arange(4))
    (said,) = space.warnings
    assert said.startswith(f"input space: {6 if whole else 4} of {6 if whole else 4} ")
    assert "resized to 112x112" in said
    right = InputSpace(kit.Pictures(images[:6], list("abcdef")), np.arange(6), whole=whole, work=0)
    right.distances(np.arange(4))
    assert right.warnings == ()
