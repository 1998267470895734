from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError
from facebench.datasets import SelectedFaces
from facebench.testing import check_dataset, toy_faces


@pytest.fixture
def source():
    return toy_faces(num_classes=3, per_class=4)


def selected(source, rows, **more):
    keys = np.asarray(source.keys, dtype=np.str_)[rows]
    return SelectedFaces("some", keys, np.arange(len(rows), dtype=np.int64), source=source, **more)


def test_it_is_a_data_set(source):
    check_dataset(selected(source, [7, 0, 3]))


def test_faces_come_in_the_order_of_the_keys(source):
    faces = selected(source, [7, 0, 3])
    assert faces.keys == [source.keys[7], source.keys[0], source.keys[3]]
    for row, original in enumerate([7, 0, 3]):
        assert np.array_equal(faces[row].image, source[original].image)
        assert faces[row].label == row


def test_rows_may_be_given(source):
    keys = np.array(["a", "b"])
    rows = np.array([5, 2])
    faces = SelectedFaces("some", keys, np.array([-1, -1]), source=source, rows=rows)
    assert np.array_equal(faces[1].image, source[2].image)
    assert faces[1].key == "b"


def test_an_absent_face_is_named(source):
    with pytest.raises(DataError, match=r"some: no picture 'nobody' in .* \(1 of 2 pictures are missing\)"):
        SelectedFaces("some", np.array([source.keys[0], "nobody"]), np.array([0, 1]), source=source)


def test_the_error_may_be_the_callers(source):
    def absent(keys):
        return DataError(f"list.txt, line 3: {keys[0]}")

    with pytest.raises(DataError, match=r"list\.txt, line 3: nobody"):
        SelectedFaces("some", np.array(["nobody"]), np.array([0]), source=source, absent=absent)


def test_an_empty_source_lacks_everything():
    class Empty:
        name, fingerprint, keys = "empty", "0", ()
        labels = np.empty(0, dtype=np.int64)

    with pytest.raises(DataError, match="1 of 1 pictures"):
        SelectedFaces("some", np.array(["nobody"]), np.array([0]), source=Empty())


def test_without_pictures_there_are_only_lists():
    faces = SelectedFaces("some", np.array(["a"]), np.array([4]), source=None)
    assert (len(faces), faces.keys, faces.labels.tolist()) == (1, ["a"], [4])
    assert faces.fingerprint
    with pytest.raises(DataError, match="only the lists were opened"):
        faces[0]


def test_pictures_are_told_apart_from_lists(source):
    one, other = selected(source, [1, 2], lists=b"one"), selected(source, [1, 2], lists=b"other")
    assert one.pictures == other.pictures
    assert one.fingerprint != other.fingerprint
    assert selected(source, [2, 1]).pictures != one.pictures
    labelled = SelectedFaces("some", np.asarray(source.keys)[[1, 2]], np.array([5, 6]), source=source, lists=b"one")
    assert labelled.pictures == one.pictures
    assert labelled.fingerprint != one.fingerprint
