from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench.contracts import FaceDataset
from facebench.demo import DemoFaces, Nuisance, render
from facebench.errors import ConfigError


@pytest.fixture
def faces() -> DemoFaces:
    return DemoFaces(range(5, 9), 3, seed=2)


def test_it_is_a_face_dataset(faces):
    assert isinstance(faces, FaceDataset)
    assert (faces.name, len(faces), faces.num_classes) == ("demo", 12, 4)
    assert faces.labels.dtype == np.int64
    assert faces.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert faces.keys[:4] == ["0005/000", "0005/001", "0005/002", "0006/000"]
    assert len(set(faces.keys)) == 12


def test_one_face_equals_its_place_in_a_batch(faces):
    batch = faces.batch([11, 0, 4])
    assert batch.shape == (3, 112, 112, 3)
    for picture, index in zip(batch, (11, 0, 4), strict=True):
        face = faces[index]
        assert np.array_equal(face.image, picture)
        assert (face.label, face.key) == (faces.labels[index], faces.keys[index])
    assert np.array_equal(faces[-1].image, batch[0])
    assert np.array_equal(batch[2], render([6], [1], seed=2)[0])
    with pytest.raises(IndexError):
        faces[12]


def test_it_can_be_walked(faces):
    assert [face.key for face in faces] == faces.keys


def test_further_images_of_the_same_people(faces):
    later = DemoFaces(range(5, 9), 2, seed=2, first_image=2)
    assert later.keys[:2] == ["0005/002", "0005/003"]
    assert np.array_equal(later[0].image, faces[2].image)


def test_the_fingerprint_tells_data_sets_apart(faces):
    assert DemoFaces([5, 6, 7, 8], 3, seed=2).fingerprint == faces.fingerprint
    others = [
        DemoFaces(range(5, 10), 3, seed=2),
        DemoFaces([6, 5, 7, 8], 3, seed=2),
        DemoFaces(range(5, 9), 4, seed=2),
        DemoFaces(range(5, 9), 3, seed=3),
        DemoFaces(range(5, 9), 3, seed=2, nuisance=Nuisance.hard()),
        DemoFaces(range(5, 9), 3, seed=2, first_image=1),
    ]
    assert len({faces.fingerprint, *(other.fingerprint for other in others)}) == 7


@pytest.mark.parametrize(("identities", "images"), [([], 3), ([1, 1], 3), ([1], 0), ([-1], 2)])
def test_senseless_requests_are_refused(identities, images):
    with pytest.raises(ConfigError):
        DemoFaces(identities, images)


def test_people_look_more_like_themselves_than_like_others():
    faces = DemoFaces(range(40), 2, nuisance=replace(Nuisance.easy(), light=0.0, background=0.0))
    pixels = faces.batch(range(80)).astype(np.float64).mean(axis=3)[:, 4::8, 4::8].reshape(80, -1)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    alike = pixels[::2] @ pixels[1::2].T
    others = alike[~np.eye(40, dtype=bool)]
    assert np.diag(alike).mean() > others.mean() + others.std()
