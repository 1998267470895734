from __future__ import annotations

import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.contracts import FaceDataset
from facebench.datasets import RecordImages, open_images, records
from facebench.datasets.naming import dense
from facebench.datasets.recordio import MAGIC, RecordIndex, frame, pack_image, unpack_image
from facebench.errors import DataError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "recordio.json").read_text())["cases"]


def write_set(folder, payloads, *, keys=None):
    """A set of the payloads in the order given; by default key 0 is the last one's."""
    folder.mkdir(exist_ok=True)
    framed = [frame(payload) for payload in payloads]
    keys = [*range(1, len(framed)), 0] if keys is None else keys
    places = np.cumsum([0, *map(len, framed)])[:-1].tolist()
    (folder / "train.rec").write_bytes(b"".join(framed))
    (folder / "train.idx").write_text("".join(f"{k}\t{place}\n" for k, place in zip(keys, places, strict=True)))
    return folder


def range_set(*, key_0=(6.0, 8.0), identities=((1, 4), (4, 6)), labels=(0, 0, 0, 1, 1)):
    pictures = [pack_image(b"file%d" % i, label=float(label), id=i) for i, label in enumerate(labels, 1)]
    people = [pack_image(b"", label=pair, id=i) for i, pair in enumerate(identities, len(labels) + 1)]
    return [*pictures, *people, pack_image(b"", label=key_0, id=0, id2=1)]


@pytest.fixture
def golden(tmp_path):
    (tmp_path / "golden").mkdir()
    for name, data in GOLDEN["range_records"]["files_hex"].items():
        (tmp_path / "golden" / name).write_bytes(bytes.fromhex(data))
    return tmp_path / "golden"


# --- reading


def test_the_golden_set_with_ranges(golden):
    dataset = RecordImages(golden)
    assert isinstance(dataset, FaceDataset)
    wanted = [record for record in GOLDEN["range_records"]["records"] if 1 <= record["key"] <= 5]
    assert [dataset.encoded(i).hex() for i in range(len(dataset))] == [record["body_hex"] for record in wanted]
    assert dataset.labels.tolist() == [record["label"] for record in wanted] == [0, 0, 0, 1, 1]
    assert list(dataset.keys) == ["00000001", "00000002", "00000003", "00000004", "00000005"]
    assert (dataset.name, dataset.ranges, dataset.num_classes) == ("golden", True, 2)
    assert (dataset.stated.classes, dataset.stated.height, dataset.stated.width) == (2, 112, 112)
    assert RecordImages(golden / "train.rec").fingerprint == dataset.fingerprint


@pytest.mark.parametrize(("name", "keys", "labels"), [("no_range_records", 3, [1, 1, 0]), ("label_array", 1, [0])])
def test_the_golden_sets_without_ranges(tmp_path, name, keys, labels):
    (tmp_path / "some.rec").write_bytes(bytes.fromhex(GOLDEN[name]["rec_hex"]))
    (tmp_path / "some.idx").write_text(GOLDEN[name]["idx"])
    dataset = RecordImages(tmp_path)
    assert (dataset.name, dataset.ranges, dataset.stated) == ("some", False, None)
    assert list(dataset.keys) == [f"{key:08d}" for key in range(keys)]
    assert dataset.labels.tolist() == labels
    assert [dataset.encoded(i) for i in range(keys)] == [
        unpack_image(bytes.fromhex(record["payload_hex"]), name="x").body for record in GOLDEN[name]["records"]
    ]


def test_an_ordinary_picture_at_key_0_with_several_labels_is_no_range(tmp_path):
    payloads = [pack_image(b"file%d" % i, label=(float(i), 2.0), id=i) for i in (3, 4, 5, 6, 2)]
    dataset = RecordImages(write_set(tmp_path / "set", payloads, keys=[0, 1, 2, 3, 4]))
    assert not dataset.ranges
    assert dataset.labels.tolist() == [1, 2, 3, 4, 0]
    assert dataset.encoded(0) == b"file3"


def test_the_pictures_own_labels_win_over_ranges(tmp_path):
    labels = [(7.0, 0.5), 7.0, (3.0,), 3.0, -2.0]
    payloads = range_set()
    payloads[:5] = [pack_image(b"x", label=label, id=i) for i, label in enumerate(labels, 1)]
    dataset = RecordImages(write_set(tmp_path / "set", payloads))
    assert dataset.ranges
    assert dataset.labels.tolist() == [1, 1, 0, 0, -1]


def test_the_order_is_by_key_with_ranges_and_by_index_without(tmp_path):
    payloads = range_set()
    shuffled = [5, 0, 7, 2, 4, 6, 3, 1]
    keys = [*range(1, 8), 0]
    with_ranges = write_set(tmp_path / "a", [payloads[i] for i in shuffled], keys=[keys[i] for i in shuffled])
    dataset = RecordImages(with_ranges)
    assert [dataset.encoded(i) for i in range(5)] == [b"file%d" % i for i in range(1, 6)]
    without = RecordImages(write_set(tmp_path / "b", payloads[:5], keys=[9, 2, 123456789, 0, 4]))
    assert list(without.keys) == ["00000009", "00000002", "123456789", "00000000", "00000004"]
    assert without.encoded(3) == b"file4"


@pytest.mark.parametrize(
    "key_0", [(5.0, 8.0), (7.0, 8.0), (1.0, 8.0), (0.0, 2.0), (6.5, 8.0), (float("nan"),), (float("inf"), 1.0), (3e38,),
              (-6.0,), (9.0, 12.0), (100.0, 110.0)]
)  # fmt: skip
def test_a_key_0_that_contradicts_the_index_is_an_error(tmp_path, key_0):
    folder = write_set(tmp_path / "set", range_set(key_0=key_0))
    with pytest.raises(
        DataError, match=r"train\.rec: record 0 says that the pictures end before key .* 8 keys up to 7"
    ):
        RecordImages(folder)


def test_an_incomplete_index_is_an_error(golden):
    lines = (golden / "train.idx").read_text().splitlines(keepends=True)
    (golden / "train.idx").write_text("".join(lines[:2] + lines[3:]))
    with pytest.raises(DataError, match=r"record 0 says that the pictures end before key 6, .* 7 keys up to 7"):
        RecordImages(golden)
    (golden / "train.idx").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match="record 6 has labels but no picture, like one of a range"):
        RecordImages(golden)
    (golden / "train.idx").write_text("".join(lines[:5] + lines[-1:]))  # without the identities, which nobody needs
    assert len(RecordImages(golden)) == 5


# --- ranges beyond what float32 holds


@pytest.mark.parametrize("beyond", [-2, -1, 0, 1, 2, 3, 4, 5, (1 << 24) + 2, (1 << 24) + 3])
def test_the_end_of_the_pictures_is_found_although_float32_rounds_it(beyond):
    end = (1 << 24) + beyond
    keys = np.arange(end + 9)
    stated = float(np.float32(end))
    assert records.end_of_pictures(stated, keys, lambda key: key >= end) == end
    # An index without the identities will do where the number is exact.
    wanted = end if end < 1 << 24 else None
    assert records.end_of_pictures(stated, keys[:end], lambda key: key >= end) == wanted
    assert records.end_of_pictures(stated, keys, lambda key: key >= end + 9) is None
    assert records.end_of_pictures(stated, keys[: end - 1], lambda key: key >= end) is None
    assert records.end_of_pictures(stated, np.delete(keys, 5), lambda key: key >= end) is None


def test_a_set_of_more_pictures_than_float32_counts(tmp_path, monkeypatch):
    count = (1 << 24) + 4
    picture, person, head = (
        frame(pack_image(body, label=label, id=1))
        for body, label in [(b"file", 4.0), (b"", (1.0, 9.0)), (b"", (float(count + 1), float(count + 3)))]
    )
    (tmp_path / "train.rec").write_bytes(picture + person + head)
    keys = np.arange(count + 3)
    offsets = np.zeros(count + 3, dtype=np.int64)
    offsets[count + 1 :] = len(picture)
    offsets[0] = len(picture) + len(person)
    monkeypatch.setattr(records, "read_index", lambda path: RecordIndex(keys, offsets))
    dataset = RecordImages(tmp_path)
    assert float(np.float32(count + 1)) != count + 1  # so what key 0 says is rounded
    assert (len(dataset), dataset.ranges, dataset.num_classes) == (count, True, 1)
    assert (dataset.keys[-1], dataset.encoded(count - 1)) == (f"{count:08d}", b"file")


# --- keys


@given(numbers=st.lists(st.integers(0, 10**12), max_size=20), cut=st.slices(20))
def test_keys_are_a_sequence_of_text(numbers, cut):
    keys = records.RecordKeys(np.array(numbers, dtype=np.int64))
    wanted = [f"{number:08d}" for number in numbers]
    assert list(keys) == wanted
    assert [keys[i] for i in range(len(keys))] == wanted
    assert [keys[-i - 1] for i in range(len(keys))] == wanted[::-1]
    assert list(keys[cut]) == wanted[cut]
    np.testing.assert_array_equal(np.asarray(keys, dtype=np.str_), np.array(wanted, dtype=np.str_))
    assert np.asarray(keys).dtype.kind == "U"
    with pytest.raises(IndexError):
        keys[len(numbers)]


@given(labels=st.lists(st.integers(-3, 2**24 - 1) | st.integers(-3, 6), min_size=1, max_size=30))
def test_classes_are_numbered_as_everywhere(labels):
    found = records._classes(np.array(labels, np.float32), np.arange(len(labels)), Path("x"))
    np.testing.assert_array_equal(found, dense(labels))


# --- what is wrong


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (float("nan"), "the label nan is not a finite number"),
        (float("-inf"), "the label -inf is not a finite number"),
        (0.5, "the label 0.5 is not a whole number"),
        (16777216.0, "the label 16777216 may be rounded"),
    ],
)
def test_labels_that_are_no_classes_name_the_record(tmp_path, label, words):
    payloads = [pack_image(b"x", label=value, id=1) for value in (1.0, label, 2.0)]
    with pytest.raises(DataError, match=rf"train\.rec: record 2: {words}"):
        RecordImages(write_set(tmp_path / "set", payloads))


def test_a_record_set_cut_short_is_an_error(golden):
    size = (golden / "train.rec").stat().st_size
    for cut in range(1, size, 3):
        os.truncate(golden / "train.rec", size - cut)
        with pytest.raises(DataError, match=r"train\.rec: record \d+"):
            RecordImages(golden)


def test_what_is_missing_or_unclear_is_an_error(golden):
    with pytest.raises(DataError, match=r"train\.idx: no such file"):
        (golden / "train.idx").rename(golden / "kept")
        RecordImages(golden)
    (golden / "kept").rename(golden / "train.idx")
    (golden / "property").write_text("85742;112;112\n")
    with pytest.raises(DataError, match=r"property:1: expected 'classes,height,width', found '85742;112;112'"):
        RecordImages(golden)
    (golden / "property").write_text("85742, 112, 112\n5822653\n")
    assert RecordImages(golden).stated.classes == 85742
    (golden / ".hidden.rec").write_bytes(b"x")
    (golden / "val.rec").write_bytes(b"x")
    with pytest.raises(DataError, match=r"exactly one \.rec in the folder, found train\.rec, val\.rec"):
        open_images(golden)
    assert len(open_images(golden / "train.rec")) == 5
    (golden / "none").mkdir()
    with pytest.raises(DataError, match=r"found none"):
        RecordImages(golden / "none")


def test_an_index_of_another_file_is_an_error(golden, tmp_path):
    other = write_set(tmp_path / "other", range_set(labels=(0, 0, 0, 1, 1)))
    shutil.copy(other / "train.idx", golden / "train.idx")
    (golden / "train.idx").write_text((other / "train.idx").read_text().replace("\t40\n", "\t44\n"))
    with pytest.raises(DataError, match=r"record 2 at byte 44: no record begins there; is the index of this file\?"):
        RecordImages(golden)


# --- many readers


def test_many_threads_read_one_set(tmp_path):
    bodies = [MAGIC * (i % 3) + b"%03d" % i * (1 + i % 5) for i in range(200)]
    payloads = [pack_image(body, label=1.0, id=i) for i, body in enumerate(bodies)]
    dataset = RecordImages(write_set(tmp_path / "set", payloads, keys=range(200)))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(dataset.encoded, list(range(200)) * 20))
    assert found == bodies * 20


def test_a_set_travels_to_worker_processes_unless_it_changed(golden):
    dataset = RecordImages(golden)
    frozen = pickle.dumps(dataset)
    thawed = pickle.loads(frozen)
    assert (thawed.encoded(3), list(thawed.keys)) == (dataset.encoded(3), list(dataset.keys))
    os.truncate(golden / "train.rec", 100)
    with pytest.raises(DataError, match="changed after they were opened"):
        pickle.loads(frozen)
    with pytest.raises(DataError, match=r"train\.rec: record 3: .*cut short"):
        dataset.fingerprint  # noqa: B018
