from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facebench.demo import DemoFaces, memory
from facebench.demo import faces as drawing
from facebench.demo.memory import RememberedFaces
from facebench.testing import check_dataset


@pytest.fixture
def drawn(monkeypatch):
    """How many pictures were drawn by each call."""
    counts = []
    real = drawing.render

    def render(identities, *arguments, **more):
        counts.append(len(identities))
        return real(identities, *arguments, **more)

    monkeypatch.setattr(drawing, "render", render)
    return counts


def test_pictures_are_those_of_the_demo_faces():
    faces, plain = RememberedFaces(range(3), 2, seed=1), DemoFaces(range(3), 2, seed=1)
    check_dataset(faces, training=True)
    order = [5, 0, 0, 3, -1]
    np.testing.assert_array_equal(faces.batch(order), plain.batch(order))
    np.testing.assert_array_equal(faces.batch(order), plain.batch(order))
    np.testing.assert_array_equal(faces[2].image, plain[2].image)


def test_each_picture_is_drawn_once(drawn):
    faces = RememberedFaces(range(3), 2)
    faces.batch([0, 1, 0])
    faces.batch([1, 2])
    faces.batch([2, 0, 1])
    assert drawn == [2, 1]
    assert faces[5].key == faces[-1].key
    assert drawn == [2, 1, 1]


def test_what_is_given_out_can_be_changed_without_harm():
    faces = RememberedFaces(range(2), 1)
    first = faces.batch([0, 1])
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(faces.batch([0, 1]), kept)


def test_many_threads_get_whole_pictures():
    plain = DemoFaces(range(4), 2).batch(range(8))
    for _ in range(3):
        faces = RememberedFaces(range(4), 2)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n, faces=faces: faces.batch([n % 8, (n + 1) % 8]), range(24)))
        for n, pictures in enumerate(found):
            np.testing.assert_array_equal(pictures, plain[[n % 8, (n + 1) % 8]])


def test_sets_too_large_to_remember_are_drawn_each_time(drawn, monkeypatch):
    monkeypatch.setattr(memory, "MOST_REMEMBERED", 5)
    faces = RememberedFaces(range(3), 2)
    np.testing.assert_array_equal(faces.batch([0, 1]), faces.batch([0, 1]))
    assert drawn == [2, 2]
