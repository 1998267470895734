from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError, FacebenchError
from facebench.scorefiles import find_scores, read_columns, read_pairs
from facebench.testing import toy_result


def written(tmp_path, text, name="scores.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_with_subjects(tmp_path):
    path = written(tmp_path, "score,same,first_subject,second_subject\n0.5,1,ann,ann\n-1e-3,0,ann,bob\n")
    pairs = read_pairs(path)
    assert pairs.score.tolist() == [0.5, -0.001]
    assert pairs.same.tolist() == [True, False]
    assert pairs.subjects is not None
    assert pairs.subjects[1].tolist() == ["ann", "bob"]
    assert pairs.faces is None
    assert (pairs.genuine.tolist(), pairs.impostor.tolist()) == ([0.5], [-0.001])


def test_what_spreadsheets_write(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes("\ufeffsame, score\r\nTRUE,0.5\r\n\r\nFalse,0.25\r\n".encode())
    assert read_pairs(path).same.tolist() == [True, False]
    assert read_pairs(path).score.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line must name the columns"),
        ("score,,same\n", "first line must name the columns"),
        ("score,score\n1,1\n", "first line must name the columns"),
        ("score,same\n", "one length, at least 1"),
        ("score,same\n0.5\n", "line 2: 2 columns are named, found 1"),
        ("score,same\n0.5,1\nhigh,0\n", "line 3: a score must be a number; found 'high'"),
        ("score,same\n0.5,1\n0.4,yes\n", "line 3: same must be 0, 1, true or false; found 'yes'"),
        ("score,same\n0.5,1\nnan,0\n", "score of comparison 2 is nan"),
        ("score,label\n0.5,1\n", "no column 'same'; found score, label"),
        ("score,same,first\n0.5,1,a\n", "'first' and 'second' belong together"),
        ('score,same\n"0.5,1\n', "not a readable CSV"),
    ],
)
def test_malformed_csv_files(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=said) as error:
        read_pairs(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_csv_that_is_no_text(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(b"score,same\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="not a readable CSV"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"score": np.ones((2, 2)), "same": np.ones(2)},
            r"score must be one list of numbers or names, found float64 \(2, 2\)",
        ),
        ({"score": np.ones(3), "same": np.ones(2)}, "one length, at least 1; found score 3, same 2"),
        ({"score": np.ones(2), "same": np.array([0, 2])}, "same must hold true and false"),
        ({"score": np.array(["a", "b"]), "same": np.ones(2)}, "score must hold numbers, found <U1"),
        ({"score": np.array([1.0, np.inf]), "same": np.ones(2)}, "comparison 2 is inf"),
        ({"score": np.ones(2), "same": np.array([None, 1], dtype=object)}, "not an .npz file of scores"),
    ],
)
def test_malformed_npz_files(tmp_path, arrays, said):
    path = tmp_path / "scores.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=said):
        read_pairs(path)


def test_damaged_npz_files_are_told_and_nothing_is_unpickled(tmp_path):
    path = tmp_path / "scores.npz"
    np.savez(path, score=np.ones(40), same=np.ones(40, dtype=bool))
    content = path.read_bytes()
    for cut in (0, 10, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"not an \.npz file"):
            read_pairs(path)


def test_other_forms(tmp_path):
    with pytest.raises(DataError, match=r"read from \.npz or \.csv files; found \.txt"):
        read_columns(written(tmp_path, "", "scores.txt"))


def test_the_fingerprint_is_of_the_comparisons_and_not_of_the_scores(tmp_path):
    text = "score,same,first,second\n{},1,a,b\n0.1,0,a,c\n"
    one, two = (read_pairs(written(tmp_path, text.format(score), f"{score}.csv")) for score in (0.5, 0.7))
    assert one.fingerprint == two.fingerprint
    other = read_pairs(written(tmp_path, text.format(0.5).replace("a,c", "a,d")))
    assert other.fingerprint != one.fingerprint


def run_folder(tmp_path, *protocols):
    folder = tmp_path / "runs" / "20260101-120000-toy-0000"
    (folder / "results").mkdir(parents=True)
    for name in protocols:
        (folder / "results" / f"{name}.json").write_text(toy_result(name).to_json(), encoding="utf-8")
        np.savez(folder / "results" / f"{name}.scores.npz", score=np.array([0.5, 0.1]), same=np.array([True, False]))
    return folder


def test_scores_of_a_run_a_result_and_a_file(tmp_path):
    folder = run_folder(tmp_path, "toy")
    for place in (folder, folder / "results" / "toy.json", folder / "results" / "toy.scores.npz"):
        kept = find_scores(place)
        assert kept.result is not None
        assert kept.result.protocol == "toy"
        assert kept.label == "toy, tiny"
        assert kept.pairs().score.tolist() == [0.5, 0.1]
    alone = find_scores(written(tmp_path, "score,same\n1,1\n"))
    assert alone.result is None
    assert alone.label == "scores.csv"


def test_several_results_need_a_name(tmp_path):
    folder = run_folder(tmp_path, "one", "two")
    with pytest.raises(FacebenchError, match=r"2 results \(one, two\); name one with --protocol"):
        find_scores(folder)
    assert find_scores(folder, protocol="two").path.name == "two.scores.npz"
    with pytest.raises(FacebenchError, match="no result of 'three'; found one, two"):
        find_scores(folder, protocol="three")


def test_places_without_scores(tmp_path):
    with pytest.raises(FacebenchError, match="no such file or folder"):
        find_scores(tmp_path / "nowhere")
    with pytest.raises(FacebenchError, match=r"0 results \(none\)"):
        find_scores(tmp_path)
    folder = run_folder(tmp_path, "toy")
    (folder / "results" / "toy.scores.npz").unlink()
    with pytest.raises(DataError, match=r"the scores of toy\.json were not kept"):
        find_scores(folder)
