from __future__ import annotations

import lzma
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebench.datasets import PackImages, read_pack, write_pack
from facebench.errors import DataError
from facebench.images import decode


@pytest.fixture
def pictures(faces):
    return [faces.jpeg(i) for i in range(6)]


SAME = [True, False, True]


def python2_protocol_2(pictures, same):
    """As cPickle of Python 2 wrote packs: byte strings as BINSTRING with memo entries, lists in batches."""
    out = [b"\x80\x02", b"]q\x01("]
    for number, picture in enumerate(pictures):
        out.append(b"T" + struct.pack("<i", len(picture)) + picture + b"q" + bytes([number + 2]))
    out.append(b"e]q\xf0(" + b"".join(b"\x88" if value else b"\x89" for value in same) + b"e\x86q\xf1.")
    return b"".join(out)


def python2_protocol_0(pictures, same):
    """As pickle of Python 2 wrote by default: everything as text."""

    def quoted(data):
        return "'" + "".join(chr(c) if 32 <= c < 127 and c not in (39, 92) else f"\\x{c:02x}" for c in data) + "'"

    out = ["((lp1\n"]
    for number, picture in enumerate(pictures):
        out.append(f"S{quoted(picture)}\np{number + 2}\na")
    out.append("(lp90\n")
    out.extend(f"I0{int(value)}\na" for value in same)
    return ("".join(out) + "tp91\n.").encode("latin-1")


def arrays(pictures, shape):
    return [np.frombuffer(p, np.uint8).reshape(shape) for p in pictures]


def old_numpy(data):
    """The name that NumPy 1 wrote, which every pack in circulation has."""
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


ENCODINGS = {
    "bytes, protocol 3": lambda p: pickle.dumps((p, SAME), protocol=3),
    "bytes, protocol 4": lambda p: pickle.dumps((p, SAME), protocol=4),
    "bytes, protocol 5": lambda p: pickle.dumps((p, SAME), protocol=5),
    "list of two": lambda p: pickle.dumps([tuple(p), tuple(SAME)], protocol=3),
    "python 2, binary": lambda p: python2_protocol_2(p, SAME),
    "python 2, text": lambda p: python2_protocol_0(p, SAME),
    "arrays (n,)": lambda p: old_numpy(pickle.dumps((arrays(p, (-1,)), SAME), protocol=3)),
    "arrays (n, 1)": lambda p: old_numpy(pickle.dumps((arrays(p, (-1, 1)), SAME), protocol=3)),
    "arrays, numpy 2": lambda p: pickle.dumps((arrays(p, (-1, 1)), SAME), protocol=4),
    "truths as array": lambda p: pickle.dumps((p, np.array(SAME)), protocol=3),
    "truths as numbers": lambda p: pickle.dumps((p, np.array(SAME, dtype=">i8")), protocol=3),
    "truths as 0 and 1": lambda p: pickle.dumps((p, [1, 0, 1]), protocol=3),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_encodings_give_the_same_pack(tmp_path, pictures, encoding):
    data = ENCODINGS[encoding](pictures)
    wanted = pickle.loads(data, encoding="bytes")
    assert [bytes(p) for p in wanted[0]] == pictures  # the dialects by hand are what the reference reads
    (tmp_path / "lfw.bin").write_bytes(data)
    pack = read_pack(tmp_path / "lfw.bin")
    assert pack.images == pictures
    assert pack.same.dtype == np.bool_
    assert pack.same.tolist() == SAME


def test_a_pack_is_a_data_set(tmp_path, pictures):
    write_pack(tmp_path / "lfw.bin", pictures, SAME)
    dataset = PackImages(tmp_path / "lfw.bin")
    assert (dataset.name, dataset.keys[5], dataset.num_classes) == ("lfw", "0000005", 0)
    assert dataset.labels.tolist() == [-1] * 6
    assert dataset.same.tolist() == SAME
    np.testing.assert_array_equal(dataset[2].image, decode(pictures[2], name="x"))


def test_the_reference_reader_reads_what_is_written(tmp_path, pictures):
    write_pack(tmp_path / "a.bin", pictures, np.array(SAME))
    with (tmp_path / "a.bin").open("rb") as file:
        bins, same = pickle.load(file, encoding="bytes")
    assert bins == pictures
    assert same == SAME


def test_compression_changes_nothing(tmp_path, pictures):
    write_pack(tmp_path / "lfw.bin", pictures, SAME)
    write_pack(tmp_path / "lfw.bin.xz", pictures, SAME)
    data = (tmp_path / "lfw.bin").read_bytes()
    (tmp_path / "two.bin.xz").write_bytes(lzma.compress(data[:300]) + bytes(8) + lzma.compress(data[300:]))
    assert (tmp_path / "lfw.bin.xz").read_bytes()[:1] == b"\xfd"
    prints = {PackImages(tmp_path / name).fingerprint for name in ("lfw.bin", "lfw.bin.xz", "two.bin.xz")}
    assert len(prints) == 1
    assert PackImages(tmp_path / "lfw.bin.xz").name == "lfw"


def test_truths_decide_the_fingerprint(tmp_path, pictures):
    write_pack(tmp_path / "a.bin", pictures, [True, True, True])
    write_pack(tmp_path / "b.bin", pictures, [True, True, False])
    assert PackImages(tmp_path / "a.bin").fingerprint != PackImages(tmp_path / "b.bin").fingerprint


@pytest.mark.parametrize(("images", "same"), [(5, 3), (4, 3), (0, 0)])
def test_pairs_that_do_not_fit_are_errors(tmp_path, faces, images, same):
    encoded = [faces.jpeg(i) for i in range(images)]
    with pytest.raises(DataError, match=f"{images} pictures for {same} pairs"):
        write_pack(tmp_path / "a.bin", encoded, [True] * same)
    (tmp_path / "b.bin").write_bytes(pickle.dumps((encoded, [True] * same), protocol=3))
    with pytest.raises(DataError, match=f"{images} pictures for {same} pairs"):
        read_pack(tmp_path / "b.bin")


ODD = {
    "a picture of floats": (([np.zeros(4, np.float32)] * 2, [True]), "picture 0 is an array of f4"),
    "a picture of objects": (([np.array([b"x", None], dtype=object)] * 2, [True]), "not a readable pack|picture 0"),
    "a decoded picture": (([np.zeros((4, 4), np.uint8)] * 2, [True]), "picture 0 is an array of u1 with 2 axes"),
    "text": ((["abc", "def"], [True]), "picture 0 is a str"),
    "truths of text": (([b"a", b"b"], ["yes"]), "truth values are a list of 1"),
    "truths of floats": (([b"a", b"b"], np.array([1.0])), "truth values are an array of f8"),
    "truths in a square": (([b"a", b"b"], np.ones((1, 1), bool)), "truth values are an array of b1 with 2 axes"),
    "three parts": (([b"a", b"b"], [True], 1), "expected a pair .*found a tuple of 3"),
    "a number": (7, "expected a pair .*found a int"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_pack_is_an_error(tmp_path, kind):
    value, words = ODD[kind]
    (tmp_path / "a.bin").write_bytes(pickle.dumps(value, protocol=3))
    with pytest.raises(DataError, match=words):
        read_pack(tmp_path / "a.bin")


@pytest.mark.parametrize(
    "shape", [b"J\xff\xff\xff\x7f\x85", b"J\xff\xff\xff\xff\x85", b"K\x03K\x01\x86", b"N\x85", b")"]
)
def test_an_array_whose_shape_lies_is_an_error(tmp_path, shape):
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01"
        + shape
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02abtb"
    )
    (tmp_path / "a.bin").write_bytes(b"\x80\x02(](" + array * 2 + b"e]\x88at.")
    with pytest.raises(DataError, match="picture 0 is an array of u1"):
        read_pack(tmp_path / "a.bin")


def test_a_hostile_pack_runs_nothing(tmp_path, pictures):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/was-here",)

    for value in (Hostile(), (pictures, Hostile()), ([*pictures, Hostile()], SAME)):
        for name in ("a.bin", "a.bin.xz"):
            data = pickle.dumps(value)
            (tmp_path / name).write_bytes(lzma.compress(data) if name.endswith("xz") else data)
            with pytest.raises(DataError, match=rf"{name}: refused: the pack asks Python for '(posix|nt)\.system'"):
                PackImages(tmp_path / name)
    assert not (tmp_path / "was-here").exists()


def test_a_decompression_bomb_is_stopped(tmp_path):
    (tmp_path / "a.bin.xz").write_bytes(lzma.compress(bytes(100 << 20), preset=0))
    with pytest.raises(DataError, match="grows beyond 67,108,864 bytes"):
        read_pack(tmp_path / "a.bin.xz")


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_compression_is_an_error(tmp_path, pictures, damage):
    write_pack(tmp_path / "a.bin.xz", pictures, SAME)
    data = bytearray((tmp_path / "a.bin.xz").read_bytes())
    data = data[:-40] if damage == "cut" else data[:100] + bytes([data[100] ^ 255]) + data[101:]
    (tmp_path / "a.bin.xz").write_bytes(data)
    with pytest.raises(DataError, match=r"cut short|damaged"):
        read_pack(tmp_path / "a.bin.xz")


def test_a_missing_pack_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot read the pack"):
        read_pack(tmp_path / "none.bin")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    encoding=st.sampled_from(list(ENCODINGS)),
    edits=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 200),
)
def test_a_damaged_pack_is_a_pack_or_a_data_error(tmp_path, encoding, edits, cut):
    data = bytearray(ENCODINGS[encoding]([b"first", b"second", b"", b"x", b"y", b"z"]))
    for place, value in edits:
        data[place % len(data)] = value
    (tmp_path / "a.bin").write_bytes(data[: len(data) - cut % len(data)])
    try:
        pack = read_pack(tmp_path / "a.bin")
    except DataError:
        return
    assert all(type(image) is bytes for image in pack.images)
    assert len(pack.images) == 2 * len(pack.same)
