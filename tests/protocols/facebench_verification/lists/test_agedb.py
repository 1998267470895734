from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from facebench import DataError
from facebench_verification.lists.agedb import read_agedb


def cell(values):
    """A MATLAB cell array."""
    out = np.empty(np.shape(values)[:2], dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = values[index[0]][index[1]]
    return out


def split(stems, labels):
    """A split as the archive has it: a structure of a 2 x N cell array of structures, and a row of labels."""
    pictures = cell([[{"name": stem, "age": 30} for stem in side] for side in stems])
    return {"pairs": pictures, "labels": np.array([labels], dtype=np.int16)}


def saved(tmp_path, splits, name="splits", **more):
    path = tmp_path / "04_FINAL_protocol_30_years.mat"
    out = np.empty((len(splits), 1), dtype=object)
    for row, one in enumerate(splits):
        out[row, 0] = one
    savemat(path, {name: out}, **more)
    return path


SPLITS = [
    split([["12_MariaCallas_35_f", "3_JohnDoe_20_m"], ["14_MariaCallas_65_f", "9_JaneRoe_50_f"]], [1, -1]),
    split([["20_JohnDoe_20_m", "3_JohnDoe_21_m"], ["21_MariaCallas_50_f", "4_JohnDoe_52_m"]], [-1, 1]),
]


@pytest.mark.parametrize("compressed", [False, True])
def test_pairs_labels_and_splits(tmp_path, compressed):
    pairs = read_agedb(saved(tmp_path, SPLITS, do_compression=compressed))
    assert pairs.first.tolist() == ["12_MariaCallas_35_f", "3_JohnDoe_20_m", "20_JohnDoe_20_m", "3_JohnDoe_21_m"]
    assert pairs.second.tolist() == ["14_MariaCallas_65_f", "9_JaneRoe_50_f", "21_MariaCallas_50_f", "4_JohnDoe_52_m"]
    assert pairs.same.tolist() == [True, False, False, True]
    assert (pairs.fold.tolist(), pairs.folds) == ([1, 1, 2, 2], 2)
    assert pairs.subjects[0].tolist() == ["MariaCallas", "JohnDoe", "JohnDoe", "JohnDoe"]


def test_a_list_in_lfws_form(tmp_path):
    path = tmp_path / "agedb_30_pairs.txt"
    path.write_text("Ann 1 4\nAnn 1 Bob 2\n")
    assert len(read_agedb(path)) == 2


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (split([["a_1", "b_1"], ["a_2", "c_1"]], [1, 0]), "split 2, pair 2: the label is 0, expected 1 or -1"),
        (split([["a_1", "b_1"], ["a_2", "c_1"]], [1, -1, 1]), "split 2: expected a 2 x N cell array"),
        ({"pairs": cell([["x"]]), "labels": np.array([[1]])}, "split 2: expected a 2 x N cell array"),
        (split([["a_1", ""], ["a_2", "c_1"]], [1, -1]), "split 2, pair 2: expected a picture's name"),
        (np.zeros((2, 3)), "split 2: expected a 2 x N cell array of pictures and N labels, found f"),
    ],
)
def test_other_shapes_are_named(tmp_path, second, said):
    path = saved(tmp_path, [SPLITS[0], second])
    with pytest.raises(DataError, match=said) as error:
        read_agedb(path)
    assert str(path) in str(error.value)


def test_another_variable(tmp_path):
    with pytest.raises(DataError, match="expected a cell array 'splits' of ten, found NoneType"):
        read_agedb(saved(tmp_path, SPLITS, name="folds"))


@pytest.mark.parametrize("content", [b"", b"no matlab at all" * 40, b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_what_is_no_matlab_file(tmp_path, content):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.mat"):
        read_agedb(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_file_cut_short(tmp_path, keep):
    path = saved(tmp_path, SPLITS, do_compression=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError):
        read_agedb(path)


def test_version_7_3_is_told(tmp_path):
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(64))
    with pytest.raises(DataError, match=r"7\.3"):
        read_agedb(path)


def test_a_huge_file_is_not_even_opened(tmp_path):
    path = tmp_path / "x.mat"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DataError, match="1,073,741,824 bytes"):
        read_agedb(path)
