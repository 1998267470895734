from __future__ import annotations

import pytest

from facebench.datasets import CsvList, ImageFolder, TarImages
from facebench.errors import DataError

LIST = "path,label,identity,fold\nzoe/zoe_2.jpg,1,Zoe,3\nann/a.jpeg,0,Ann,1\nzoe/zoe_10.jpg,1,Zoe,3\n"


@pytest.fixture
def place(tmp_path, faces, members):
    faces.tar(tmp_path / "set_112.tar", {f"set/{name}": data for name, data in members.items()})
    (tmp_path / "list.csv").write_text(LIST, encoding="utf-8")
    return tmp_path


def test_rows_choose_order_and_label_the_pictures(place, members):
    dataset = CsvList(place / "list.csv")
    assert list(dataset.keys) == ["zoe/zoe_2", "ann/a", "zoe/zoe_10"]
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.num_classes == 2
    assert dataset.encoded(0) == members["zoe/zoe_2.jpg"]
    assert dataset[1].key == "ann/a"


def test_the_pictures_may_be_named_or_found(place, faces, members, tmp_path_factory):
    found = CsvList(place / "list.csv")
    assert CsvList(place / "list.csv", place / "set_112.tar").fingerprint == found.fingerprint
    folder = faces.folder(tmp_path_factory.mktemp("elsewhere"), members)
    assert CsvList(place / "list.csv", folder).fingerprint == found.fingerprint
    (folder / "in.csv").write_text(LIST, encoding="utf-8")
    assert CsvList(folder / "in.csv").fingerprint == found.fingerprint
    beside = folder.parent / f"{folder.name}.csv"
    beside.write_text(LIST, encoding="utf-8")
    assert CsvList(beside).fingerprint == found.fingerprint


def test_paths_may_name_the_wrapping_folder(place):
    (place / "full.csv").write_text("path,label\nset/ann/a.jpeg,0\n./set/zoe/zoe_2.jpg,1\n", encoding="utf-8")
    assert list(CsvList(place / "full.csv").keys) == ["ann/a", "zoe/zoe_2"]


def test_a_list_of_everything_is_the_folder(tmp_path, faces, members):
    del members["loose.jpg"]
    folder = ImageFolder(faces.folder(tmp_path / "set", members))
    rows = [f"{folder.file(i)},{folder.labels[i]}" for i in range(len(folder))]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert CsvList(tmp_path / "all.csv", tmp_path / "set").fingerprint == folder.fingerprint


def test_labels_decide_the_fingerprint(place):
    before = CsvList(place / "list.csv").fingerprint
    (place / "list.csv").write_text(LIST.replace(",0,Ann", ",1,Ann"), encoding="utf-8")
    assert CsvList(place / "list.csv").fingerprint != before


def test_labels_become_dense_in_ascending_order_and_negatives_unknown(place):
    (place / "list.csv").write_text(
        "label,path\n700,zoe/zoe_2.jpg\n-5,loose.jpg\n30,ann/a.jpeg\n700,zoe/zoe_10.jpg\n", encoding="utf-8"
    )
    dataset = CsvList(place / "list.csv")
    assert dataset.labels.tolist() == [1, -1, 0, 1]
    assert dataset.num_classes == 2


def test_spreadsheet_habits_are_read(place):
    text = '\ufeffPath , Label\r\n"zoe/zoe_2.jpg", 1\r\n\r\nann\\a.jpeg,0\r\n'
    (place / "list.csv").write_bytes(text.encode())
    assert list(CsvList(place / "list.csv").keys) == ["zoe/zoe_2", "ann/a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"list\.csv:1: the header"),
        ("zoe/zoe_2.jpg,1\n", r"list\.csv:1: the header"),
        ("path,label\n", "the list is empty"),
        ("path,label\nzoe/zoe_2.jpg,1\nann/a.jpeg\n", r"list\.csv:3: 1 fields"),
        ("path,label\nzoe/zoe_2.jpg,one\n", r"list\.csv:2: the label 'one'"),
        ("path,label\nzoe/zoe_2.jpg,1.0\n", r"list\.csv:2: the label '1\.0'"),
        ("path,label\nzoe/zoe_2.jpg,99999999999999999999\n", r"list\.csv:2: the label"),
        ("path,label\nzoe/zoe_2.jpg,1\n../secret.jpg,1\n", r"list\.csv:3: '\.\./secret\.jpg' is not a path relative"),
        ("path,label\nzoe/zoe_2.jpg,1\n/etc/passwd,1\n", r"list\.csv:3: '/etc/passwd' is not a path relative"),
        ("path,label\nzoe/zoe_2.jpg,1\n,1\n", r"list\.csv:3: '' is not a path"),
        ("path,label\nzoe/zoe_2.jpg,1\n\nann/none.jpg,1\n", r"list\.csv:4: the picture 'ann/none\.jpg' is not in"),
        ("path,label\nann/none.jpg,1\n", r"list\.csv:2: no folder or tar beside the list.*set_112\.tar"),
        ("path,label\nzoe/zoe_2.jpg,1\nzoe/zoe_2.jpg,1\n", "two pictures have the key 'zoe/zoe_2'"),
        ('path,label\n"zoe/zoe_2.jpg,1\n', "not a CSV line"),
    ],
)
def test_errors_name_file_and_line(place, text, words):
    (place / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        CsvList(place / "list.csv")


def test_a_list_that_is_no_text_is_an_error(place):
    (place / "list.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="not UTF-8"):
        CsvList(place / "list.csv")


def test_two_neighbours_that_hold_the_picture_are_an_error(place, faces, members):
    faces.tar(place / "other.tar", members)
    with pytest.raises(DataError, match=r"each of other\.tar, set_112\.tar"):
        CsvList(place / "list.csv")
    (place / "list.csv").rename(place / "other.csv")  # the one of the list's own name is meant
    assert CsvList(place / "other.csv").fingerprint == CsvList(place / "other.csv", place / "other.tar").fingerprint


def test_a_broken_neighbour_does_not_matter(place):
    (place / "broken.tar").write_bytes(b"nothing")
    assert len(CsvList(place / "list.csv")) == 3
    with pytest.raises(DataError, match="not a readable tar"):
        TarImages(place / "broken.tar")
