from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError, DataProtocol
from facebench.datasets import read_batch
from facebench.demo import DemoFaces
from facebench.testing import check_dataset
from facebench_separability.parts import judged, parts_of


def test_it_judges_data(kit):
    assert isinstance(kit.protocol(), DataProtocol)
    assert kit.protocol().in_all_processes


def test_parts_know_their_rows(two_of_each):
    faces = two_of_each.faces
    check_dataset(faces)
    assert faces.parts == {"data": range(36), "beside": range(36, 72), "reference": range(72, 108)}
    for part, rows in faces.parts.items():
        assert {faces.keys[row].split("/")[0] for row in rows} == {part}
    assert faces.measured == faces.keys[:72]
    labels = [set(faces.labels[list(rows)].tolist()) for rows in faces.parts.values()]
    assert not labels[0] & labels[1]
    assert not labels[1] & labels[2]


def test_real_people_are_cut_to_the_size_of_what_is_judged(kit):
    data = kit.Toys([f"{who}/{n}" for who in "abc" for n in range(2)] + ["c/2"], [0, 0, 1, 1, 2, 2, 2])
    faces = judged(data, beside=kit.people(9, 5, first=10))
    keys = [faces.keys[row] for row in faces.parts["beside"]]
    assert keys == [f"beside/who{who:04d}/{n}" for who in (10, 11, 12) for n in range(2)]
    few = judged(data, beside=kit.people(2, 1, first=10))
    assert len(few.parts["beside"]) == 2


def test_reference_identities_keep_so_many_faces(kit):
    data = kit.people(3)
    assert len(judged(data, reference=kit.people(4, 6), images=2).parts["reference"]) == 8
    assert len(judged(data, reference=kit.people(4, 6)).parts["reference"]) == 24
    assert len(judged(data, reference=kit.people(1, 6)).parts["reference"]) == 6


def test_faces_of_this_protocol_are_taken_apart(kit):
    real = judged(kit.people(4, 2), reference=kit.people(3, 2, first=20))
    faces = judged(kit.people(3, 2, first=50), beside=real)
    assert {part: len(rows) for part, rows in faces.parts.items()} == {"data": 6, "beside": 6, "reference": 6}
    assert faces.keys[-1] == "reference/who0022/1"
    other = judged(real, reference=kit.people(2, 1, first=70))
    assert other.keys[-1] == "reference/who0071/0"
    assert len(judged(real)) == 8 + 6


def test_faces_of_nobody_are_counted_and_left_out(kit):
    data = kit.Toys(["a/1", "b/1", "x", "y"], [0, 1, -1, -1])
    faces = judged(data)
    assert (len(faces), faces.unlabelled, judged(faces).unlabelled) == (2, 2, 2)


def test_a_lone_set_keeps_its_keys_and_pictures(kit):
    data = kit.people(3)
    faces = judged(data)
    assert faces.keys == data.keys
    assert faces.pictures == judged(data.moved(np.arange(len(data)))).pictures
    assert faces.fingerprint != judged(kit.people(4)).fingerprint
    assert faces.fingerprint != judged(data, reference=data).fingerprint
    assert parts_of(data) == {"data": range(9)}


def test_drawn_faces_are_drawn_together():
    faces = judged(DemoFaces(range(3), 2), beside=DemoFaces(range(5, 9), 3))
    batch = read_batch(faces, np.array([0, 11, 3]), size=(112, 112))
    assert np.array_equal(batch.images[1], faces[11].image)
    assert faces[11].key == "beside/0007/001"


@pytest.mark.parametrize("part", ["beside", "reference"])
def test_parts_without_people_are_refused(kit, part):
    with pytest.raises(DataError, match="nobody: 0 identities"):
        judged(kit.people(3), **{part: kit.Toys(["a", "b"], [-1, -1], name="nobody")})
