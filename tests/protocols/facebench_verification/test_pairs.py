from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError
from facebench_verification.pairs import read_pairs


def listed(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_view_2_layout(tmp_path):
    pairs = read_pairs(listed(tmp_path, "2\t1\nAnn\t1\t4\nAnn\t1\tBob\t12\nBob\t2\t3\nBob\t2\tAnn\t4\n"))
    assert pairs.folds == 2
    assert pairs.first.tolist() == ["Ann/Ann_0001", "Ann/Ann_0001", "Bob/Bob_0002", "Bob/Bob_0002"]
    assert pairs.second.tolist() == ["Ann/Ann_0004", "Bob/Bob_0012", "Bob/Bob_0003", "Ann/Ann_0004"]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.subjects is not None
    assert pairs.subjects[1].tolist() == ["Ann", "Bob", "Bob", "Ann"]
    assert pairs.lines.tolist() == [2, 3, 4, 5]


def test_blanks_and_line_ends_of_real_copies(tmp_path):
    pairs = read_pairs(listed(tmp_path, "1 1\r\nAnn  1   4\r\n\r\nAnn 1  Bob 12 \r\n"))
    assert len(pairs) == 2


def test_a_list_without_count_line_keeps_its_first_pair(tmp_path):
    pairs = read_pairs(listed(tmp_path, "Ann 1 4\nAnn 1 Bob 2\n"))
    assert len(pairs) == 2
    assert pairs.folds is None


def test_view_1_count_line(tmp_path):
    pairs = read_pairs(listed(tmp_path, "1\nAnn 1 4\nAnn 1 Bob 2\n"))
    assert len(pairs) == 2
    assert pairs.folds is None


def test_paths_and_flags(tmp_path):
    pairs = read_pairs(listed(tmp_path, "a/x.jpg a/y.PNG 1\na/x.jpg b/z 0\n"))
    assert pairs.first.tolist() == ["a/x", "a/x"]
    assert pairs.second.tolist() == ["a/y", "b/z"]
    assert pairs.same.tolist() == [True, False]
    assert pairs.subjects is None


def test_keys_are_unique_and_sorted(tmp_path):
    pairs = read_pairs(listed(tmp_path, "Bob 1 2\nBob 1 Ann 1\n"))
    assert pairs.keys.tolist() == ["Ann/Ann_0001", "Bob/Bob_0001", "Bob/Bob_0002"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("10 300\n", "announces 10 folds"),
        ("2 2\nAnn 1 4\n", "announces 2 folds of 2 \\+ 2 pairs, found 1 pairs"),
        ("Ann 1 4\nAnn one 4\n", "line 2: expected"),
        ("Ann 1 4\nAnn 1\n", "line 2: expected"),
        ("Ann 1 Ann 2\n", "paired with itself"),
    ],
)
def test_malformed_lists_name_file_and_line(tmp_path, text, said):
    path = listed(tmp_path, text)
    with pytest.raises(DataError, match=said) as error:
        read_pairs(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_list_that_is_not_text(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a readable list"):
        read_pairs(path)


@pytest.mark.data
def test_the_official_list(real_data):
    pairs = read_pairs(real_data / "lfw" / "pairs.txt")
    assert (len(pairs), pairs.folds, int(pairs.same.sum()), len(pairs.keys)) == (6000, 10, 3000, 7701)
    assert pairs.subjects is not None
    assert len(np.unique(np.concatenate(pairs.subjects))) == 4281
    # Fold 1 matched, fold 1 mismatched, fold 2 matched, ...
    assert pairs.same.reshape(20, 300).all(axis=1).tolist() == [True, False] * 10
