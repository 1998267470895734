from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebench.contracts import Face
from facebench.datasets import ImageFolder, RecordImages, open_images, read_batch, records, write_records
from facebench.datasets.naming import dense
from facebench.datasets.recordio import MAGIC, read_index
from facebench.errors import DataError, FacebenchError
from facebench.images import decode
from facebench.testing import toy_faces

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "recordio.json").read_text())["cases"]


class Files:
    """Encoded pictures with the labels given."""

    name = "files"

    def __init__(self, bodies, labels):
        self.bodies, self.labels = bodies, np.array(labels, dtype=np.int64)
        self.keys = [f"key-{i}" for i in range(len(bodies))]
        self.fingerprint = "f"

    def __len__(self):
        return len(self.bodies)

    def __getitem__(self, index):
        return Face(decode(self.bodies[index], name="x"), int(self.labels[index]), self.keys[index])

    def encoded(self, index):
        return self.bodies[index]


def test_the_golden_set_is_written_byte_for_byte(tmp_path):
    case = GOLDEN["range_records"]
    people = [(int(label), bytes.fromhex(body)) for label, bodies in case["identities"].items() for body in bodies]
    mixed = [people[i] for i in (0, 3, 1, 4, 2)]
    files = Files([body for _, body in mixed], [label for label, _ in mixed])
    done = write_records(tmp_path / "new" / "set", files, size=(112, 112))
    assert (done.path.name, done.pictures, done.classes, done.ranges, done.reason) == ("train.rec", 5, 2, True, "")
    written = {path.name: path.read_bytes().hex() for path in done.path.parent.iterdir()}
    assert written == case["files_hex"]


def test_what_is_written_opens_as_the_same_faces(tmp_path, faces, members):
    del members["loose.jpg"]
    folder = ImageFolder(faces.folder(tmp_path / "pictures", members))
    done = write_records(tmp_path / "set", folder)
    for path in (tmp_path / "set", tmp_path / "set" / "train.rec"):
        dataset = open_images(path)
        assert type(dataset) is RecordImages
        assert [dataset.encoded(i) for i in range(5)] == [folder.encoded(i) for i in range(5)]
        np.testing.assert_array_equal(dataset.labels, folder.labels)
        for mine, theirs in zip(dataset, folder, strict=True):
            np.testing.assert_array_equal(mine.image, theirs.image)
    assert (done.classes, dataset.stated.height, dataset.name) == (3, 16, "set")
    again = write_records(tmp_path / "again", dataset)
    assert again.path.read_bytes() == done.path.read_bytes()
    assert RecordImages(tmp_path / "again").fingerprint == dataset.fingerprint


def test_faces_that_are_no_files_are_encoded(tmp_path):
    toys = toy_faces(num_classes=3, per_class=2, seed=1, size=32)
    write_records(tmp_path / "png", toys)
    write_records(tmp_path / "jpeg", toys, quality=95)
    order = np.argsort(toys.labels, kind="stable")
    lossless = read_batch(RecordImages(tmp_path / "png"), range(6), size=(32, 32))
    np.testing.assert_array_equal(lossless.images, [toys[i].image for i in order])
    np.testing.assert_array_equal(lossless.labels, toys.labels[order])
    jpeg = RecordImages(tmp_path / "jpeg")
    assert jpeg.encoded(0)[:3] == b"\xff\xd8\xff"
    assert (tmp_path / "jpeg" / "property").read_text() == "3,32,32\n"
    gap = np.abs(jpeg[3].image.astype(float) - toys[int(order[3])].image).mean()
    assert 0 < gap < 8


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(
        st.tuples(st.integers(-1, 4), st.lists(st.just(MAGIC) | st.binary(max_size=5), max_size=4).map(b"".join)),
        min_size=1,
        max_size=12,
    )
)
def test_any_bodies_and_labels_come_back(tmp_path, people):
    files = Files([body for _, body in people], [label for label, _ in people])
    done = write_records(tmp_path / "set", files, size=(1, 2))
    dataset = RecordImages(tmp_path / "set")
    order = np.argsort(files.labels, kind="stable")
    assert [dataset.encoded(i) for i in range(len(people))] == [files.bodies[i] for i in order]
    np.testing.assert_array_equal(dataset.labels, dense(files.labels)[order])
    assert dataset.ranges == done.ranges == bool(files.labels.min() >= 0)
    assert done.classes == dataset.num_classes == dataset.stated.classes


def test_sets_with_unlabelled_faces_get_no_ranges(tmp_path):
    done = write_records(tmp_path, Files([b"a", b"b", b"c"], [4, -1, 2]), size=(1, 1))
    assert not done.ranges
    assert "no label" in done.reason
    dataset = RecordImages(tmp_path)
    assert list(dataset.keys) == ["00000000", "00000001", "00000002"]
    assert dataset.labels.tolist() == [-1, 0, 1]
    assert read_index(tmp_path / "train.idx").keys.tolist() == [0, 1, 2]


def test_ranges_that_float32_would_round_are_not_written(tmp_path, monkeypatch):
    files = Files([b"a", b"b", b"c", b"d"], [1, 0, 1, 0])
    monkeypatch.setattr(records, "EXACT", 7)  # 4 pictures and 2 identities: key 0 says 7
    assert write_records(tmp_path / "fits", files, size=(1, 1)).ranges
    monkeypatch.setattr(records, "EXACT", 6)
    done = write_records(tmp_path / "not", files, size=(1, 1))
    assert not done.ranges
    assert "up to 7, and float32 rounds above 6" in done.reason
    fits, plain = RecordImages(tmp_path / "fits"), RecordImages(tmp_path / "not")
    assert [fits.encoded(i) for i in range(4)] == [plain.encoded(i) for i in range(4)] == [b"b", b"d", b"a", b"c"]
    np.testing.assert_array_equal(fits.labels, plain.labels)
    assert plain.keys[0] == "00000000"


def test_stated_classes_keep_the_labels(tmp_path):
    write_records(tmp_path / "kept", Files([b"a", b"b"], [9, 4]), classes=20, size=(1, 1))
    written = (tmp_path / "kept" / "train.rec").read_bytes()
    assert [struct.unpack_from("<f", written, 12 + 36 * i)[0] for i in range(2)] == [4.0, 9.0]
    assert (tmp_path / "kept" / "property").read_text() == "20,1,1\n"
    assert RecordImages(tmp_path / "kept").labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="files: the label 9 is not below 9"):
        write_records(tmp_path / "kept", Files([b"a", b"b"], [9, 4]), classes=9, size=(1, 1))
    with pytest.raises(DataError, match="not below 16,777,216"):
        write_records(tmp_path / "kept", Files([b"a"], [1 << 24]), classes=1 << 30, size=(1, 1))
    with pytest.raises(DataError, match="no faces to write"):
        write_records(tmp_path / "kept", Files([], []))
    assert (tmp_path / "kept" / "train.rec").read_bytes() == written


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write_records(tmp_path / "set", Files([b"a", b"b"], [0, 1]), size=(1, 1))
    before = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}

    class Broken(Files):
        def encoded(self, index):
            if index == 2:
                raise DataError("files: key-2: gone")
            return self.bodies[index]

    with pytest.raises(DataError, match="key-2: gone"):
        write_records(tmp_path / "set", Broken([b"c", b"d", b"e"], [0, 1, 2]), size=(1, 1))
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(FacebenchError, match="cannot write"):
        write_records(tmp_path / "file", Files([b"a"], [0]), size=(1, 1))


def test_a_set_can_be_written_over_itself(tmp_path):
    write_records(tmp_path, Files([b"a", b"b", b"c"], [5, -1, 5]), size=(1, 1))
    write_records(tmp_path, RecordImages(tmp_path), size=(3, 3))
    dataset = RecordImages(tmp_path)
    assert [dataset.encoded(i) for i in range(3)] == [b"b", b"a", b"c"]
    assert dataset.stated.height == 3


@pytest.mark.data
def test_the_training_faces_survive_as_records(real_data, tmp_path):
    listed = open_images(real_data / "train" / "lfw_train_list.csv")
    done = write_records(tmp_path, listed)
    assert (done.pictures, done.classes, done.ranges) == (4202, 423, True)
    dataset = open_images(tmp_path)
    order = np.argsort(listed.labels, kind="stable")
    np.testing.assert_array_equal(dataset.labels, listed.labels[order])
    assert all(dataset.encoded(row) == listed.encoded(int(index)) for row, index in enumerate(order))
    places = range(0, 4202, 20)
    found, wanted = read_batch(dataset, places, size=(112, 112)), read_batch(listed, order[::20], size=(112, 112))
    np.testing.assert_array_equal(found.images, wanted.images)
    assert found.resized == 0
