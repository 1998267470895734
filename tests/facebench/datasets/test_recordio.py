from __future__ import annotations

import json
import os
import pickle
import struct
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.datasets.recordio import (
    MAGIC,
    MAX_LENGTH,
    RecordFile,
    RecordIndex,
    frame,
    pack_image,
    read_index,
    read_record,
    unpack_image,
)
from facebench.errors import DataError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "recordio.json").read_text())["cases"]
RAW = {name: case for name, case in GOLDEN.items() if "rec_hex" in case}


@contextmanager
def opened(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def part(kind, payload, length=None):
    length = len(payload) if length is None else length
    return MAGIC + struct.pack("<I", kind << 29 | length) + payload + bytes(-len(payload) % 4)


def index_of(*offsets):
    return RecordIndex(np.arange(len(offsets), dtype=np.int64), np.array(offsets, dtype=np.int64))


# --- framing


@pytest.mark.parametrize("name", RAW)
def test_golden_records_are_framed_byte_for_byte(name):
    framed = [frame(bytes.fromhex(record["payload_hex"])) for record in RAW[name]["records"]]
    assert b"".join(framed).hex() == RAW[name]["rec_hex"]
    starts = np.cumsum([0, *map(len, framed)])[:-1]
    lines = [f"{record['key']}\t{start}\n" for record, start in zip(RAW[name]["records"], starts, strict=True)]
    assert "".join(lines) == RAW[name]["idx"]


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("known", [False, True])
def test_golden_records_are_read(tmp_path, name, known):
    (tmp_path / "a.rec").write_bytes(bytes.fromhex(RAW[name]["rec_hex"]))
    (tmp_path / "a.idx").write_text(RAW[name]["idx"])
    index = read_index(tmp_path / "a.idx")
    assert index.keys.tolist() == [record["key"] for record in RAW[name]["records"]]
    with opened(tmp_path / "a.rec") as handle:
        for record, offset in zip(RAW[name]["records"], index.offsets.tolist(), strict=True):
            wanted = bytes.fromhex(record["payload_hex"])
            length = len(wanted.split(MAGIC)[0]) if known else 0
            assert read_record(handle, offset, name="x", length=length) == wanted


def test_the_golden_label_array_is_taken_apart_and_made(tmp_path):
    case = GOLDEN["label_array"]
    payload = bytes.fromhex(case["records"][0]["payload_hex"])
    image = unpack_image(payload, name="x")
    assert (image.flag, list(image.labels), image.id, image.id2) == (3, case["label"], case["id"], 0)
    assert image.body.hex() == case["body_hex"]
    assert pack_image(image.body, label=image.labels, id=9) == payload


pieces = st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=6), st.sampled_from([MAGIC[:3], MAGIC[1:]])), max_size=8)


@settings(max_examples=300, deadline=None)
@given(payloads=st.lists(pieces.map(b"".join), min_size=1, max_size=5))
def test_whatever_is_framed_is_read_again(tmp_path_factory, payloads):
    path = tmp_path_factory.getbasetemp() / "any.rec"
    framed = [frame(payload) for payload in payloads]
    path.write_bytes(b"".join(framed))
    place = 0
    with opened(path) as handle:
        for payload, written in zip(payloads, framed, strict=True):
            assert read_record(handle, place, name="x") == payload
            assert len(written) % 4 == 0
            # What makes damaged files recoverable: at a multiple of four the magic is nowhere but before a part.
            magics = sum(written[i : i + 4] == MAGIC for i in range(0, len(written), 4))
            assert magics == sum(payload[i : i + 4] == MAGIC for i in range(0, len(payload), 4)) + 1
            place += len(written)


@given(
    body=st.binary(max_size=9),
    labels=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
    numbers=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    alone=st.booleans(),
)
def test_pictures_are_packed_and_unpacked(body, labels, numbers, alone):
    payload = pack_image(body, label=labels[0] if alone else labels, id=numbers[0], id2=numbers[1])
    image = unpack_image(payload, name="x")
    assert image.body == body
    assert (image.id, image.id2) == numbers
    assert list(image.labels) == (labels[:1] if alone else labels)
    assert image.flag == (0 if alone else len(labels))


class Huge(bytes):
    def __len__(self):
        return MAX_LENGTH + 1


def test_a_payload_that_does_not_fit_is_an_error():
    with pytest.raises(DataError, match="picture 7: 536,870,912 bytes do not fit into a record"):
        frame(Huge(), name="picture 7")


DAMAGED = {
    "other bytes": (b"nothing here", "no record begins at byte 0 .found 0x68746f6e"),
    "a middle": (part(2, b"abcd"), "expected the beginning of a record at byte 0, found a part of kind 2"),
    "an end": (part(3, b"abcd"), "expected the beginning of a record"),
    "an unknown kind": (part(5, b"abcd"), "found a part of kind 5"),
    "a head cut short": (part(0, b"")[:6], "cut short at byte 0"),
    "nothing": (b"", "cut short at byte 0"),
    "a body cut short": (part(0, b"abcd", length=9), "cut short: 4 of 9 bytes"),
    "no last part": (part(1, b"abcd") + part(2, b"efgh"), "cut short at byte 24"),
    "two first parts": (
        part(1, b"abcd") + part(1, b"efgh"),
        "expected its next part at byte 12, found a part of kind 1",
    ),
    "a whole record as part": (part(1, b"abcd") + part(0, b"efgh"), "expected its next part at byte 12"),
    "other bytes as part": (part(1, b"abcd") + b"nothing here", "no record begins at byte 12"),
    "a last part cut short": (part(1, b"abcd") + part(3, b"ab", length=5), "byte 12 is cut short: 4 of 5"),
}


@pytest.mark.parametrize("length", [0, 4])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_records_are_errors(tmp_path, kind, length):
    data, words = DAMAGED[kind]
    (tmp_path / "a.rec").write_bytes(data)
    with opened(tmp_path / "a.rec") as handle, pytest.raises(DataError, match=f"^a.rec: record 3: .*{words}"):
        read_record(handle, 0, name="a.rec: record 3", length=length)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "0 bytes are too short"),
        (bytes(23), "23 bytes are too short"),
        (
            struct.pack("<IfQQ", 2, 0, 1, 0) + bytes(7),
            "the header announces 2 labels, but the record has only 31 bytes",
        ),
        (struct.pack("<IfQQ", 2**32 - 1, 0, 1, 0), "the header announces 4,294,967,295 labels"),
    ],
)
def test_pictures_too_short_are_errors(payload, words):
    with pytest.raises(DataError, match=f"^a: {words}"):
        unpack_image(payload, name="a")


# --- the index


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    ["1\t0\n20\t16\n3\t9007199254740993\n", "1\t0\n20\t16\n3\t9007199254740993", "1\t0\r\n20\t16\r\n3\t9007199254740993\r\n",
     "1 0\n20 16\n3  9007199254740993\n\n", "01\t00\n20\t16 \n3\t9007199254740993\n"],
)  # fmt: skip
def test_an_index_is_read_exactly(tmp_path, text):
    index = read_index(write(tmp_path / "a.idx", text))
    assert index.keys.tolist() == [1, 20, 3]
    assert index.offsets.tolist() == [0, 16, 9007199254740993]
    assert index.keys.dtype == index.offsets.dtype == np.int64


def test_an_index_of_many_blocks_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("facebench.datasets.recordio._TEXT", 64)
    rows = [(key, key * 1000) for key in range(1, 500)]
    index = read_index(write(tmp_path / "a.idx", "".join(f"{key}\t{place}\n" for key, place in rows)))
    assert list(zip(index.keys.tolist(), index.offsets.tolist(), strict=True)) == rows
    with pytest.raises(DataError, match=r"a\.idx:400: .*found 'x\\t1'"):
        read_index(write(tmp_path / "a.idx", "".join("x\t1\n" if n == 399 else f"{n}\t1\n" for n in range(600))))
    with pytest.raises(DataError, match=r"a\.idx:2: a line of \d+ bytes"):
        read_index(write(tmp_path / "a.idx", "1\t2\n" + "3" * 200))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"a\.idx: the index is empty"),
        ("\n \n", r"a\.idx: the index is empty"),
        ("1\t0\nx\t4\n", r"a\.idx:2: expected 'key<TAB>byte offset', two whole numbers, found 'x\\t4'"),
        ("1\t0\n2\t-4\n", r"a\.idx:2: .*found '2\\t-4'"),
        ("1\t0\n2\t4.0\n", r"a\.idx:2"),
        ("1\t0\n2\n", r"a\.idx:2: .*found '2'"),
        ("\t0\n2\t4\n", r"a\.idx:1"),
        ("1\t0\n2\t4\t8\n3\n", r"a\.idx:2"),
        ("1\t0\n\n2\t4\n", r"a\.idx:2: .*found ''"),
        ("1\t99999999999999999999\n", r"a\.idx:1"),
        ("1\t0\n7\t4\n8\t8\n7\t12\n", r"a\.idx:4: the key 7 stands in line 2 already"),
        (b"\x0a\x23\xd7\xce\x00", r"a\.idx:2"),
        (b"1\t0\n\xff\t4\n", r"a\.idx:2"),
    ],
)
def test_a_malformed_index_names_the_line(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read_index(write(tmp_path / "a.idx", text))


def test_a_missing_index_says_so(tmp_path):
    with pytest.raises(DataError, match=r"a\.idx: no such file; a \.rec needs its \.idx"):
        read_index(tmp_path / "a.idx")
    with pytest.raises(DataError, match="cannot read the index"):
        read_index(tmp_path)


# --- heads of many records


def picture_file(path, payloads):
    framed = [frame(payload) for payload in payloads]
    path.write_bytes(b"".join(framed))
    return RecordFile(path), index_of(*np.cumsum([0, *map(len, framed)])[:-1])


def magic_label():
    """A label whose bytes are the magic, so that the header itself is cut."""
    return struct.unpack("<f", MAGIC)[0]


def mixed_payloads():
    return [
        pack_image(b"jpeg", label=5.0, id=1),
        pack_image(b"", label=(3.0, 9.0), id=2),
        pack_image(b"png" + MAGIC + b"p" + MAGIC, label=(7.0, 1.5, -2.0), id=3),
        pack_image(b"abc", label=(magic_label(),), id=4),
        pack_image(b"", label=(2.0, magic_label()), id=5),
        pack_image(b"a", label=8.0, id=int.from_bytes(MAGIC + MAGIC, "little")),
        pack_image(b"", label=-1.0, id=6),
    ]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_heads_are_those_of_the_records_one_by_one(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("facebench.datasets.recordio._ROWS", rows)
    payloads = mixed_payloads()
    file, index = picture_file(tmp_path / "a.rec", payloads)
    images = [unpack_image(payload, name="x") for payload in payloads]
    heads = file.headers(index)
    np.testing.assert_array_equal(heads.labels, np.array([image.labels[0] for image in images], dtype=np.float32))
    assert heads.bare.tolist() == [image.flag > 0 and not image.body for image in images]
    for row, (offset, length) in enumerate(zip(index.offsets.tolist(), heads.lengths.tolist(), strict=True)):
        assert file.payload(offset, key=row, length=length) == payloads[row]
    backwards = file.headers(RecordIndex(index.keys[::-1], index.offsets[::-1]))
    np.testing.assert_array_equal(backwards.labels, heads.labels[::-1])


BAD_HEADS = {
    "no magic": (lambda d: d.__setitem__(slice(32, 34), b"xx"), "no record begins there"),
    "a middle part": (lambda d: d.__setitem__(39, 0x40), "there lies the middle of a record"),
    "a length beyond the end": (lambda d: d.__setitem__(38, 1), "the file ends inside the record"),
    "no room for the header": (lambda d: d.__setitem__(36, 23), "too short for the header"),
    "no room for the labels": (lambda d: d.__setitem__(40, 2), "too short for the labels"),
    "no room for a million labels": (lambda d: d.__setitem__(43, 128), "too short for the labels"),
}


@pytest.mark.parametrize("kind", BAD_HEADS)
def test_bad_heads_name_the_record(tmp_path, kind):
    change, words = BAD_HEADS[kind]
    data = bytearray(b"".join(frame(pack_image(body, label=1.0, id=1)) for body in (b"", b"abcdefg", b"ab")))
    change(data)
    (tmp_path / "a.rec").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.rec: record 1 at byte 32: {words}"):
        RecordFile(tmp_path / "a.rec").headers(index_of(0, 32))


@pytest.mark.parametrize(
    ("offset", "words"),
    [(34, "no multiple of 4"), (36, "no record begins there"), (100, "beyond the end"), (1 << 61, "beyond the end")],
)
def test_places_where_no_record_is_name_it(tmp_path, offset, words):
    file, _ = picture_file(tmp_path / "a.rec", [pack_image(b"", label=1.0, id=1)] * 2)
    with pytest.raises(DataError, match=rf"a\.rec: record 1 at byte {offset:,}: {words}"):
        file.headers(index_of(0, offset))


@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=5), cut=st.integers(0, 12))
def test_damaged_files_are_read_or_data_errors(tmp_path_factory, edits, cut):
    data = bytearray(b"".join(map(frame, mixed_payloads())))
    places = np.cumsum([0, *(len(frame(payload)) for payload in mixed_payloads())])[:-1]
    for place, value in edits:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.rec"
    path.write_bytes(data[: len(data) - cut])
    file = RecordFile(path)
    try:
        heads = file.headers(index_of(*places))
    except DataError:
        return
    for row, place in enumerate(places.tolist()):
        try:
            image = file.image(place, key=row, length=int(heads.lengths[row]))
        except DataError:
            continue
        assert np.float32(image.labels[0]).tobytes() == heads.labels[row].tobytes() or np.isnan(heads.labels[row])


def test_a_file_that_changes_is_an_error(tmp_path):
    file, index = picture_file(tmp_path / "a.rec", [pack_image(b"picture", label=1.0, id=1)] * 3)
    frozen = pickle.dumps(file)
    assert pickle.loads(frozen).image(int(index.offsets[2]), key=2).body == b"picture"
    os.truncate(tmp_path / "a.rec", 50)
    with pytest.raises(DataError, match="record 1: the record at byte 40 is cut short: 2 of 31 bytes"):
        file.image(int(index.offsets[1]), key=1)
    with pytest.raises(DataError, match="changed after they were opened"):
        pickle.loads(frozen)
    with pytest.raises(DataError, match=r"none\.rec: cannot open the records"):
        RecordFile(tmp_path / "none.rec")
