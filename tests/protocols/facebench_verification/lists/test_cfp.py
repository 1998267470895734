from __future__ import annotations

import pytest

from facebench import DataError
from facebench_verification.lists.cfp import read_cfp

PEOPLE = 3


@pytest.fixture
def protocol(tmp_path):
    """The archive's layout for three people: ten frontal pictures and four profiles of each, one pair of each kind a fold."""
    folder = tmp_path / "Protocol"
    for name, kind, count in (("F", "frontal", 10), ("P", "profile", 4)):
        pictures = [
            f"../Data/Images/{who:03d}/{kind}/{n:02d}.jpg" for who in range(1, PEOPLE + 1) for n in range(1, count + 1)
        ]
        folder.mkdir(exist_ok=True)
        (folder / f"Pair_list_{name}.txt").write_text("".join(f"{n} {p}\n" for n, p in enumerate(pictures, 1)))
    for kind in ("FF", "FP"):
        for fold in range(1, 11):
            place = folder / "Split" / kind / f"{fold:02d}"
            place.mkdir(parents=True)
            (place / "same.txt").write_text("11,5\r\n" if kind == "FP" else "11,12\n")
            (place / "diff.txt").write_text("1,12\n" if kind == "FP" else "10,30\n")
    return folder


def test_profiles_are_counted_in_their_own_list(protocol):
    pairs = read_cfp(protocol, kind="FP")
    assert (len(pairs), pairs.folds) == (20, 10)
    assert (pairs.first[0], pairs.second[0]) == ("002/frontal/01", "002/profile/01")
    assert (pairs.first[1], pairs.second[1]) == ("001/frontal/01", "003/profile/04")
    assert pairs.same.tolist() == [True, False] * 10
    assert pairs.fold.tolist() == [fold for fold in range(1, 11) for _ in range(2)]
    assert pairs.subjects[0][:2].tolist() == ["002", "001"]


def test_frontal_pairs_count_from_1_on_both_sides(protocol):
    pairs = read_cfp(protocol, kind="FF")
    assert (pairs.first[0], pairs.second[0]) == ("002/frontal/01", "002/frontal/02")
    assert (pairs.first[1], pairs.second[1]) == ("001/frontal/10", "003/frontal/10")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("Split/FP/04/same.txt", "11,5\n0,5\n", "line 2: expected 'n,m' up to 30 and 12, found '0,5'"),
        ("Split/FP/04/same.txt", "11,13\n", "line 1: expected 'n,m' up to 30 and 12"),
        ("Split/FP/04/same.txt", "11 5\n", "line 1: expected 'n,m'"),
        ("Split/FP/04/same.txt", "11,9\n", "do not belong into same.txt"),
        ("Split/FP/04/diff.txt", "11,5\n", "do not belong into diff.txt"),
        ("Split/FP/10/diff.txt", None, "cannot read the list"),
        (
            "Pair_list_P.txt",
            "1 ../Data/Images/001/profile/01.jpg\n3 ../Data/Images/001/profile/02.jpg\n",
            "line 2: expected '2 ",
        ),
        ("Pair_list_F.txt", "1 01.jpg\n", "line 1: expected '1 "),
    ],
)
def test_malformed_files_are_named(protocol, file, text, said):
    path = protocol / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(DataError, match=said) as error:
        read_cfp(protocol, kind="FP")
    assert str(path) in str(error.value)
