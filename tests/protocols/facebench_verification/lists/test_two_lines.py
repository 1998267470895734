from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError
from facebench_verification.lists.two_lines import read_two_lines


def listed(tmp_path, lines):
    path = tmp_path / "pairs_CALFW.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def two_lines(count, *, label="1"):
    """All positives first, as CALFW and CPLFW have them; 0 means two people."""
    same = [line for k in range(count) for line in (f"P{k}_0001.jpg {label}", f"P{k}_0002.jpg {label}")]
    apart = [line for k in range(count) for line in (f"P{k}_0001.jpg 0", f"Q{k}_0001.jpg 0")]
    return same + apart


def test_positives_first_are_spread_over_the_folds(tmp_path):
    pairs = read_two_lines(listed(tmp_path, two_lines(30)))
    assert (len(pairs), pairs.folds) == (60, 10)
    # Fold k: positives 3k to 3k + 2, then negatives 3k to 3k + 2.
    assert pairs.fold.tolist() == np.repeat(np.arange(10), 6).tolist()
    assert pairs.same.reshape(10, 6).tolist() == [[True] * 3 + [False] * 3] * 10
    assert pairs.first[:6].tolist() == [f"P{k}_0001" for k in (0, 1, 2, 0, 1, 2)]
    assert pairs.second[6:12].tolist() == ["P3_0002", "P4_0002", "P5_0002", "Q3_0001", "Q4_0001", "Q5_0001"]
    assert pairs.lines[:4].tolist() == [1, 3, 5, 61]
    assert pairs.subjects[1][:4].tolist() == ["P0", "P1", "P2", "Q0"]


def test_uneven_numbers_lose_no_pair(tmp_path):
    lines = two_lines(33)
    pairs = read_two_lines(listed(tmp_path, lines))
    assert sorted(pairs.lines.tolist()) == list(range(1, len(lines), 2))
    assert np.bincount(pairs.fold).tolist() == [8, 8, 8, 6, 6, 6, 6, 6, 6, 6]


def test_any_number_but_0_is_the_same_person_and_the_first_line_counts(tmp_path):
    pairs = read_two_lines(listed(tmp_path, ["A_1.jpg 7", "A_2.jpg 0", "A_1.jpg 0", "B_1.jpg 3"]))
    assert pairs.same.tolist() == [True, False]


def test_sllfw_has_no_labels(tmp_path):
    lines = ["Ann/Ann_0001.jpg", "Ann/Ann_0004.jpg", "Ann/Ann_0001.jpg", "Bob/Bob_0002.jpg"] * 10
    pairs = read_two_lines(listed(tmp_path, lines))
    assert pairs.same.tolist() == [True, False] * 10
    assert pairs.second[:2].tolist() == ["Ann/Ann_0004", "Bob/Bob_0002"]
    # LFW's order of folds is kept.
    assert pairs.fold is None
    assert pairs.folds == 10


def test_lfws_form_is_read_too(tmp_path):
    pairs = read_two_lines(listed(tmp_path, ["1\t1", "Ann\t1\t4", "Ann\t1\tBob\t12"]))
    assert pairs.first.tolist() == ["Ann/Ann_0001", "Ann/Ann_0001"]


def test_names_that_contradict_the_labels_are_not_used(tmp_path):
    pairs = read_two_lines(listed(tmp_path, ["A_1.jpg 1", "B_1.jpg 1", "A_1.jpg 0", "B_1.jpg 0"]))
    assert pairs.subjects is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["A_1.jpg 1", "A_2.jpg 1", "B_1.jpg 0"], "line 3: 3 lines make no pairs"),
        (["A_1.jpg 1", "A_2.jpg one"], "line 2: expected 'picture label'"),
        (["A_1.jpg 1", "A_2.jpg"], "line 2: expected 'picture label'"),
        (["A_1.jpg", "A_2.jpg 1"], "line 2: expected one picture"),
        (["A_1.jpg 1", "A_2.jpg 1 1"], "expected 'name n m'"),
        ([""], "empty"),
    ],
)
def test_malformed_lists_name_file_and_line(tmp_path, lines, said):
    path = listed(tmp_path, lines)
    with pytest.raises(DataError, match=said) as error:
        read_two_lines(path)
    assert str(path) in str(error.value)
