from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.datasets import ImageFolder, JoinedFaces, SelectedFaces, read_batch
from facebench.errors import DataError
from facebench.testing import check_dataset, toy_faces

REAL, OTHER = toy_faces(num_classes=3, per_class=4, size=32), toy_faces(num_classes=2, per_class=3, seed=1, size=32)


def test_people_of_different_sets_are_different_people():
    joined = JoinedFaces({"real": REAL, "generated": OTHER})
    check_dataset(joined, training=True)
    assert (joined.name, joined.num_classes, len(joined)) == ("real+generated", 5, 18)
    assert joined.starts.tolist() == [0, 12, 18]
    assert joined.keys == [*(f"real/{key}" for key in REAL.keys), *(f"generated/{key}" for key in OTHER.keys)]
    assert joined.labels.tolist() == [*REAL.labels, *(OTHER.labels + 3)]
    np.testing.assert_array_equal(joined[-1].image, OTHER[5].image)
    assert "18 faces, 5 classes" in repr(joined)


def test_labels_may_mean_the_same_people_everywhere():
    joined = JoinedFaces({"a": REAL, "b": OTHER}, name="both", labels="together")
    assert joined.name == "both"
    assert joined.labels.tolist() == [*REAL.labels, *OTHER.labels]
    assert joined.num_classes == 3


def test_faces_without_a_label_stay_without():
    keys = np.asarray(REAL.keys, dtype=np.str_)[:3]
    some = SelectedFaces("some", keys, np.array([-1, 1, 0]), source=REAL)
    none = SelectedFaces("none", keys, np.array([-1, -1, -1]), source=REAL)
    assert JoinedFaces({"a": some, "n": none, "b": some}).labels.tolist() == [-1, 1, 0, -1, -1, -1, -1, 3, 2]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 29), min_size=1, max_size=12))
def test_batches_are_the_faces_one_by_one(indices):
    joined = JoinedFaces({"a": REAL, "b": OTHER, "c": REAL})
    wanted = [joined[index] for index in indices]
    found = read_batch(joined, indices, size=(32, 32))
    assert [image.tobytes() for image in found.images] == [face.image.tobytes() for face in wanted]
    assert found.labels.tolist() == [face.label for face in wanted]
    assert found.indices.tolist() == indices


def test_each_set_is_read_in_its_own_way(tmp_path, faces, monkeypatch):
    files = ImageFolder(faces.folder(tmp_path, {f"{i}/a.jpg": faces.jpeg(i, size=64) for i in range(4)}))
    joined = JoinedFaces({"drawn": REAL, "files": files})
    check_dataset(joined, training=True)
    monkeypatch.setattr(type(REAL), "__getitem__", lambda *_: pytest.fail("a face was read alone"))
    batch = read_batch(joined, [13, 2, 15, 2, 12], size=(32, 32))
    assert batch.resized == 3
    assert np.array_equal(batch.images[[1, 3]], REAL.batch(np.array([2, 2])))
    assert pickle.loads(pickle.dumps(JoinedFaces({"files": files})))[3].label == 3


def test_joints_may_be_joined():
    inner = JoinedFaces({"a": REAL, "b": OTHER})
    outer = JoinedFaces({"x": inner, "y": OTHER})
    rows = list(range(len(outer)))[::-3]
    assert np.array_equal(read_batch(outer, rows, size=(32, 32)).images, [outer[row].image for row in rows])


def test_a_damaged_picture_is_named_or_skipped(tmp_path, faces):
    files = ImageFolder(faces.folder(tmp_path, {"0/a.jpg": b"", "0/b.jpg": faces.jpeg(1)}))
    joined = JoinedFaces({"drawn": REAL, "files": files})
    assert joined[13].key == "files/0/b"
    with pytest.raises(DataError, match=r"0/a"):
        read_batch(joined, [3, 12], size=(32, 32))
    skipped = read_batch(joined, [3, 12], size=(32, 32), corrupt="skip")
    assert skipped.indices.tolist() == [3, 3]
    assert len(skipped.unreadable) == 1


def test_fingerprints_tell_sets_prefixes_and_labels_apart():
    sets = [{"a": REAL, "b": OTHER}, {"b": REAL, "a": OTHER}, {"a": REAL}, {"a": OTHER, "b": REAL}]
    joined = [JoinedFaces(one) for one in sets] + [JoinedFaces(sets[0], labels="together")]
    assert len({one.fingerprint for one in joined}) == 5
    assert joined[0].fingerprint == JoinedFaces(sets[0], name="other").fingerprint
    assert joined[0].pictures == joined[4].pictures != joined[1].pictures


@pytest.mark.parametrize("prefixes", [[], [""], ["a", "b/c"]])
def test_prefixes_must_keep_keys_apart(prefixes):
    with pytest.raises(DataError, match="sets to join need a prefix each"):
        JoinedFaces(dict.fromkeys(prefixes, REAL))
