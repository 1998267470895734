from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.embeddings import Embeddings
from facebench.errors import DataError

KEYS = np.array(["Ann/Ann_0001", "Ben/Ben_0001", "Ümit/Ümit_0001"])
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def make(**changed):
    return Embeddings(**{"keys": KEYS, "vectors": VECTORS, **changed})


@pytest.fixture
def stored(tmp_path):
    def write(**arrays) -> Path:
        path = tmp_path / "some faces.npz"
        np.savez(path, **arrays)
        return path

    return write


# Arrays that do not belong together.


def test_all_parts_fit():
    whole = make(mirrored=VECTORS + 1, confidence=np.ones((3, 2), np.float32), fingerprint="f")
    assert (whole.vectors.shape, whole.confidence.shape) == ((3, 4), (3, 2))


@pytest.mark.parametrize("vectors", [VECTORS[:2], VECTORS[0], VECTORS[None], VECTORS[:, :0]])
def test_vectors_are_one_row_for_every_key(vectors):
    with pytest.raises(DataError, match=r"embeddings have shape .* for 3 keys; expected \(3, D\)"):
        make(vectors=vectors)


@pytest.mark.parametrize("mirrored", [VECTORS[:2], VECTORS[:, :3], VECTORS[0]])
def test_mirrored_vectors_have_the_shape_of_the_others(mirrored):
    with pytest.raises(DataError, match=r"mirrored embeddings have shape .*, the others \(3, 4\)"):
        make(mirrored=mirrored)


@pytest.mark.parametrize("confidence", [np.ones((2, 1)), np.ones(3), np.ones((1, 3)), np.float32(1)])
def test_confidence_is_one_row_for_every_key(confidence):
    with pytest.raises(DataError, match=r"confidence has shape .* for 3 keys; expected \(3, K\)"):
        make(confidence=confidence)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("field", "said"),
    [("vectors", "embedding"), ("mirrored", "mirrored embedding"), ("confidence", "confidence")],
)
def test_values_are_finite(field, said, value):
    array = VECTORS.copy()
    array[1, 2] = value
    with pytest.raises(DataError, match=f"^{said} of 'Ben/Ben_0001' \\(row 1\\) holds NaN or infinity"):
        make(**{field: array})


def test_keys_are_unique():
    with pytest.raises(DataError, match="embedding key 'b' occurs more than once"):
        make(keys=np.array(["b", "a", "b"]))


# Rows by key.


def test_rows_come_in_the_order_asked_for():
    assert make().rows(["Ümit/Ümit_0001", "Ann/Ann_0001", "Ümit/Ümit_0001"]).tolist() == [2, 0, 2]
    assert make().rows([]).tolist() == []
    assert make().rows(KEYS[1:]).tolist() == [1, 2]


@given(st.data())
def test_rows_are_right_whatever_the_order(data):
    keys = data.draw(st.lists(st.text("ab/_ü.1", min_size=1, max_size=4), unique=True, min_size=1, max_size=20))
    asked = data.draw(st.lists(st.sampled_from(keys), max_size=30))
    vectors = np.arange(len(keys), dtype=np.float32)[:, None]
    found = Embeddings(keys=np.array(keys), vectors=vectors).rows(asked)
    assert [keys[row] for row in found] == asked


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["Ann/Ann_0001", "Zoe/Zoe_0001", "Cy/Cy_0001"], r"no embedding for 'Zoe/Zoe_0001' \(2 of 3 faces\)"),
        (["Ann/Ann_00011"], r"no embedding for 'Ann/Ann_00011' \(1 of 1 faces\)"),
        (["Ann/Ann_000"], "no embedding for 'Ann/Ann_000'"),
        ([""], "no embedding for ''"),
    ],
)
def test_a_face_without_embedding_is_named(asked, said):
    with pytest.raises(DataError, match=said):
        make().rows(asked)


def test_no_embeddings_at_all_have_no_rows():
    empty = Embeddings(keys=np.array([], dtype=np.str_), vectors=np.zeros((0, 4), np.float32))
    with pytest.raises(DataError, match="there are no embeddings"):
        empty.rows(["a"])


# Files.


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "e.npz"
    saved = make(mirrored=VECTORS * 2, confidence=VECTORS[:, :1])
    saved.save(path)
    loaded = Embeddings.load(path)
    assert loaded.keys.tolist() == KEYS.tolist()
    for name in ("vectors", "mirrored", "confidence"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name), strict=True)
    assert zipfile.ZipFile(path).namelist() == ["keys.npy", "vectors.npy", "mirrored.npy", "confidence.npy"]


def test_absent_parts_stay_absent(tmp_path):
    path = tmp_path / "e.npz"
    make().save(path)
    loaded = Embeddings.load(path)
    assert loaded.mirrored is None and loaded.confidence is None


@pytest.mark.parametrize("keys", ["keys", "names", "filenames", "paths"])
@pytest.mark.parametrize("vectors", ["vectors", "embeddings", "embedding", "features"])
def test_spellings_in_use_elsewhere_are_read(stored, keys, vectors):
    loaded = Embeddings.load(stored(**{keys: KEYS, vectors: VECTORS, "other": np.array(["ignored"])}))
    assert loaded.keys.tolist() == KEYS.tolist()
    np.testing.assert_array_equal(loaded.vectors, VECTORS)


@pytest.mark.parametrize("mirrored", ["mirrored", "embedding_flip", "embeddings_flip", "flipped"])
def test_spellings_of_the_mirrored_ones_are_read(stored, mirrored):
    loaded = Embeddings.load(stored(keys=KEYS, vectors=VECTORS, **{mirrored: VECTORS + 1}))
    np.testing.assert_array_equal(loaded.mirrored, VECTORS + 1)


def test_the_first_spelling_wins(stored):
    loaded = Embeddings.load(stored(keys=KEYS, features=VECTORS * 0, vectors=VECTORS))
    np.testing.assert_array_equal(loaded.vectors, VECTORS)


@pytest.mark.parametrize(
    ("kept", "absent", "said"),
    [
        ("keys", "vectors", "no array 'vectors' or 'embeddings' or 'embedding' or 'features'; found keys"),
        ("vectors", "keys", "no array 'keys' or 'names' or 'filenames' or 'paths'; found vectors"),
    ],
)
def test_a_missing_array_is_named_with_what_is_there(stored, kept, absent, said):
    with pytest.raises(DataError, match=said):
        Embeddings.load(stored(**{kept: {"keys": KEYS, "vectors": VECTORS}[kept]}))


def test_an_empty_archive_holds_nothing(tmp_path):
    path = tmp_path / "e.npz"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(DataError, match="found nothing"):
        Embeddings.load(path)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".JPG", ".png", ".bmp", ".webp"])
def test_the_ending_of_a_picture_is_dropped_from_keys(stored, ending):
    keys = np.array([f"Ann/Ann_0001{ending}", "Ben.png/b", "c.txt"])
    assert Embeddings.load(stored(keys=keys, vectors=VECTORS)).keys.tolist() == ["Ann/Ann_0001", "Ben.png/b", "c.txt"]


def test_keys_that_differ_in_the_ending_alone_are_repeated(stored):
    with pytest.raises(DataError, match="embedding key 'a' occurs more than once"):
        Embeddings.load(stored(keys=np.array(["a.jpg", "a.png", "b"]), vectors=VECTORS))


def test_keys_may_be_stored_as_bytes_or_numbers(stored):
    as_bytes = np.array([key.encode() for key in KEYS])
    assert Embeddings.load(stored(keys=as_bytes, vectors=VECTORS)).keys.tolist() == KEYS.tolist()
    assert Embeddings.load(stored(keys=np.array([7, 10, 8]), vectors=VECTORS)).keys.tolist() == ["7", "10", "8"]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4", np.int64, np.uint8])
def test_any_real_numbers_become_float32(stored, dtype):
    loaded = Embeddings.load(stored(keys=KEYS, vectors=np.abs(VECTORS).astype(dtype)))
    assert loaded.vectors.dtype == np.float32 and loaded.vectors.dtype.isnative
    np.testing.assert_array_equal(loaded.vectors, np.abs(VECTORS))


def test_one_confidence_for_each_face_may_be_a_plain_list(stored):
    loaded = Embeddings.load(stored(keys=KEYS, vectors=VECTORS, confidence=np.array([0.1, 0.2, 0.3])))
    np.testing.assert_array_equal(loaded.confidence, np.float32([[0.1], [0.2], [0.3]]), strict=True)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"keys": KEYS[:, None]}, "the keys must be one list of strings, found <U14 \\(3, 1\\)"),
        ({"keys": np.array("a")}, "the keys must be one list of strings"),
        ({"keys": np.array([0.5, 1, 2])}, "the keys must be one list of strings, found float64"),
        ({"keys": np.array([b"\xff", b"a", b"b"])}, "a key is not UTF-8"),
        ({"vectors": np.array([["a"], ["b"], ["c"]])}, "vectors must be an array of real numbers, found <U1"),
        ({"vectors": VECTORS * 1j}, "vectors must be an array of real numbers, found complex"),
        ({"vectors": np.float32(1)}, "vectors must be an array of real numbers, found float32 \\(\\)"),
        ({"confidence": np.float32(1)}, "confidence must be an array of real numbers"),
        ({"vectors": VECTORS.astype(float) * 1e300}, "embedding of 'Ann/Ann_0001' \\(row 0\\) holds NaN or infinity"),
        ({"vectors": VECTORS[:2]}, r"embeddings have shape \(2, 4\) for 3 keys"),
    ],
)
def test_arrays_of_another_sort_are_refused(stored, arrays, said):
    with pytest.raises(DataError, match=said):
        Embeddings.load(stored(**{"keys": KEYS, "vectors": VECTORS, **arrays}))


# Files from strangers.


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path(self.trace).write_text, ("boom",))


@pytest.mark.parametrize("where", ["keys", "vectors"])
def test_nothing_is_unpickled(tmp_path, stored, where):
    trace = tmp_path / "trace"
    bombs = np.array([Bomb(str(trace)), None, None], dtype=object)
    with pytest.raises(DataError, match="npz file of embeddings: Object arrays cannot be loaded"):
        Embeddings.load(stored(**{"keys": KEYS, "vectors": VECTORS, where: bombs}))
    assert not trace.exists()


def test_a_bare_pickle_is_not_unpickled(tmp_path):
    path, trace = tmp_path / "e.npz", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Bomb(str(trace))))
    with pytest.raises(DataError, match="npz file of embeddings"):
        Embeddings.load(path)
    assert not trace.exists()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return stream.getvalue()


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def damaged() -> bytes:
    """An archive with bits turned in the middle of its compressed data."""
    content = bytearray(archive(keys=npy(KEYS), vectors=npy(np.random.default_rng(0).normal(size=(3, 400)))))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(255 - byte for byte in content[middle : middle + 40])
    return bytes(content)


def endless() -> bytes:
    """The header of an array that no machine can hold."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (4 * 10**15, 2)})
    return stream.getvalue()


FILES = {
    "empty": b"",
    "text": b"keys,vectors\n",
    "a single array": npy(VECTORS),
    "half an archive": archive(keys=npy(KEYS), vectors=npy(VECTORS))[:-30],
    "turned bits": damaged(),
    "members that are no arrays": archive(keys=b"hello", vectors=b"world"),
    "keys but vectors that are no array": archive(keys=npy(KEYS), vectors=b"world"),
    "half an array": archive(keys=npy(KEYS), vectors=npy(VECTORS)[:-4]),
    "an array larger than any memory": archive(keys=npy(KEYS), vectors=endless()),
    "a header that breaks off": archive(keys=npy(KEYS), vectors=npy(VECTORS).replace(b"}", b" ")),
    "a header that is code": archive(keys=npy(KEYS).replace(b"{'descr'", b"{__name__"), vectors=npy(VECTORS)),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_something_else_is_one_clear_line(tmp_path, case):
    path = tmp_path / "e.npz"
    path.write_bytes(FILES[case])
    with pytest.raises(DataError) as caught:
        Embeddings.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "allow_pickle" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Embeddings.load(tmp_path / "none.npz")
    with pytest.raises(DataError, match="directory"):
        Embeddings.load(tmp_path)


# The fingerprint of loaded arrays.


def test_equal_arrays_have_equal_fingerprints_however_they_were_stored(stored):
    one = Embeddings.load(stored(keys=KEYS, vectors=VECTORS)).fingerprint
    other = Embeddings.load(stored(names=KEYS, features=np.asfortranarray(VECTORS.astype(np.float64)))).fingerprint
    assert one == other and len(one) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"keys": KEYS[::-1]},
        {"vectors": VECTORS + 1},
        {"vectors": VECTORS[:, ::-1]},
        {"mirrored": VECTORS},
        {"confidence": VECTORS},
        {"vectors": VECTORS[:, 1:], "confidence": VECTORS[:, :1]},
    ],
)
def test_any_difference_changes_the_fingerprint(stored, changed):
    base = Embeddings.load(stored(keys=KEYS, vectors=VECTORS)).fingerprint
    assert Embeddings.load(stored(**{"keys": KEYS, "vectors": VECTORS, **changed})).fingerprint != base


def test_values_that_move_between_arrays_change_the_fingerprint(stored):
    key, row = np.array(["a"]), np.arange(4, dtype=np.float32)[None]
    one = Embeddings.load(stored(keys=key, confidence=row[:, :1], vectors=row[:, 1:]))
    other = Embeddings.load(stored(keys=key, confidence=row[:, :2], vectors=row[:, 2:]))
    assert one.fingerprint != other.fingerprint
