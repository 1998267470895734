"""YouTube Faces, RFW, LFW view 1 and XQLFW."""

from __future__ import annotations

import pytest

from facebench import DataError
from facebench_verification.lists.quality import read_xqlfw
from facebench_verification.lists.rfw import GROUPS, read_rfw
from facebench_verification.lists.view1 import read_view1
from facebench_verification.lists.ytf import read_ytf

YTF = "1, 1, Ann_X/1, Ann_X/5, 1\n1, 251, Ann_X/1, Bob/0, 0\n2, 1, Bob/0, Bob/2, 1\n2, 2, Bob/0, Cy/3, 0\n"


@pytest.mark.parametrize("header", ["", "split number, pair, first name, second name, is same\n"])
def test_videos(tmp_path, header):
    path = tmp_path / "splits.txt"
    path.write_text(header + YTF)
    pairs = read_ytf(path)
    assert pairs.first.tolist() == ["Ann_X/1", "Ann_X/1", "Bob/0", "Bob/0"]
    assert pairs.second.tolist() == ["Ann_X/5", "Bob/0", "Bob/2", "Cy/3"]
    assert pairs.same.tolist() == [True, False, True, False]
    assert (pairs.fold.tolist(), pairs.folds) == ([1, 1, 2, 2], 2)
    assert pairs.subjects[1].tolist() == ["Ann_X", "Bob", "Bob", "Cy"]


def test_further_columns_of_videos_are_passed_over(tmp_path):
    path = tmp_path / "splits.txt"
    path.write_text("1, 1, Ann/1, Ann/5, 0.83, 1\n1, 2, Ann/1, Bob/5, 0.1, 0\n")
    assert read_ytf(path).same.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (YTF + "2, 3, Bob/0, 1\n", "line 5: expected 'fold"),
        (YTF + "2, 3, Bob/0, Bob/1, yes\n", "line 5: expected 'fold"),
        (YTF + "two, 3, Bob/0, Bob/1, 1\n", "line 5: expected 'fold"),
        (YTF + "2, 3, Bob/0, Bob/1, 0\n", "line 5: Bob/0 and Bob/1 contradict the label 0"),
        ("split number\n", "the list of pairs is empty"),
    ],
)
def test_malformed_lists_of_videos(tmp_path, text, said):
    path = tmp_path / "splits.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read_ytf(path)
    assert str(path) in str(error.value)


@pytest.fixture
def txts(tmp_path):
    folder = tmp_path / "txts"
    for number, group in enumerate(GROUPS):
        (folder / group).mkdir(parents=True)
        text = "m.01\t1\t2\nm.01\t1\tm.02\t3\n" + "m.03\t1\t2\n" * number
        (folder / group / f"{group}_pairs.txt").write_text(text)
    return folder


def test_groups_keep_their_first_pair_and_their_order(txts):
    pairs = read_rfw(txts)
    assert len(pairs) == 2 + 3 + 4 + 5
    assert pairs.group.tolist() == ["Caucasian"] * 2 + ["Indian"] * 3 + ["Asian"] * 4 + ["African"] * 5
    assert pairs.first[0] == "Caucasian/m.01/m.01_0001"
    # One identity may occur in two groups; keys tell them apart.
    assert pairs.second[3] == "Indian/m.02/m.02_0003"
    assert pairs.where(4, txts).endswith("Indian_pairs.txt, line 3")


def test_lists_of_groups_in_one_folder(txts):
    for group in GROUPS:
        (txts / group / f"{group}_pairs.txt").rename(txts / f"{group}_pairs.txt")
    assert len(read_rfw(txts)) == 14


def test_a_group_without_list(txts):
    (txts / "Asian" / "Asian_pairs.txt").unlink()
    with pytest.raises(DataError, match="no list of the group Asian"):
        read_rfw(txts)


def test_a_malformed_list_of_a_group(txts):
    path = txts / "Indian" / "Indian_pairs.txt"
    path.write_text("m.01\t1\t2\nm.01\t1\n")
    with pytest.raises(DataError, match=r"Indian_pairs\.txt, line 2"):
        read_rfw(txts)


def test_both_halves_of_view_1(tmp_path):
    (tmp_path / "pairsDevTest.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 1\n")
    (tmp_path / "pairsDevTrain.txt").write_text("1\nCy 1 2\nCy 1 Di 1\n")
    pairs = read_view1(tmp_path / "pairsDevTest.txt")
    assert pairs.group.tolist() == ["train", "train", "test", "test"]
    assert pairs.first.tolist() == ["Cy/Cy_0001", "Cy/Cy_0001", "Ann/Ann_0001", "Ann/Ann_0001"]
    assert pairs.folds is None
    assert pairs.where(0, tmp_path).endswith("pairsDevTrain.txt, line 2")


def test_view_1_without_its_training_half(tmp_path):
    (tmp_path / "pairsDevTest.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 1\n")
    assert read_view1(tmp_path / "pairsDevTest.txt").group.tolist() == ["test", "test"]


def test_view_1_cut_short(tmp_path):
    (tmp_path / "pairsDevTest.txt").write_text("2\nAnn 1 2\nAnn 1 3\nAnn 1 Bob 1\n")
    with pytest.raises(DataError, match=r"announces 2 \+ 2 pairs, found 3"):
        read_view1(tmp_path / "pairsDevTest.txt")


@pytest.mark.data
def test_the_official_lists_of_view_1(real_data):
    pairs = read_view1(real_data / "lfw" / "pairsDevTest.txt")
    train, test = pairs.rows(pairs.group == "train"), pairs.rows(pairs.group == "test")
    assert (len(train), int(train.same.sum())) == (2200, 1100)
    assert (len(test), int(test.same.sum())) == (1000, 500)
    assert not set(train.subjects[0]) & set(test.subjects[0])


QUALITY = "ID Num Score\nAnn 1 0.25\nAnn 2 0.5\nBob 1 0.75\n"


def xqlfw(tmp_path, scores):
    path = tmp_path / "xqlfw_pairs.txt"
    path.write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n")
    if scores is not None:
        (tmp_path / "xqlfw_scores.txt").write_text(scores)
    return path


def test_quality_stands_with_its_pairs(tmp_path):
    pairs = read_xqlfw(xqlfw(tmp_path, QUALITY))
    assert pairs.quality[0].tolist() == [0.25, 0.25]
    assert pairs.quality[1].tolist() == [0.5, 0.75]


def test_quality_is_optional(tmp_path):
    assert read_xqlfw(xqlfw(tmp_path, None)).quality is None


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (QUALITY + "Bob x 0.5\n", "line 5: expected 'name number score'"),
        (QUALITY + "Bob 2 nan\n", "line 5: expected"),
        (QUALITY + "Bob 2\n", "line 5: expected"),
        ("ID Num Score\nAnn 1 0.25\nBob 1 1\n", "no score for 'Ann/Ann_0002' \\(1 of 3 pictures\\)"),
    ],
)
def test_malformed_quality(tmp_path, scores, said):
    with pytest.raises(DataError, match=said):
        read_xqlfw(xqlfw(tmp_path, scores))
