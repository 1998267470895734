"""Text tables: what is wrong is named with its line."""

from __future__ import annotations

import pytest

from facebench import DataError
from facebench_ijb.tables import read_blank_separated, read_csv

COLUMNS = {"picture": "text", "template": "integer", "score": "number"}
SPELLINGS = {"template": ("TEMPLATE_ID", "#0"), "file": ("FILENAME", "FILE"), "media": ("MEDIA_ID", "")}
CSV_COLUMNS = {"template": "integer", "file": "text", "media": "integer"}


@pytest.fixture
def file(tmp_path):
    def write(text, name="table.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text", ["1.jpg 3 0.5\nb.jpg 4 1\n", "1.jpg\t3  0.5\r\nb.jpg 4 1\r\n\n", "1.jpg 3 0.5\nb.jpg 4 1e0"]
)
def test_blank_separated(file, text):
    found = read_blank_separated(file(text), COLUMNS)
    assert [found[name].tolist() for name in COLUMNS] == [["1.jpg", "b.jpg"], [3, 4], [0.5, 1.0]]


def test_names_that_look_like_something_else_stay_names(file):
    found = read_blank_separated(file('NA 1 1\n"quoted 2 1\n007 3 1\n'), COLUMNS)
    assert found["picture"].tolist() == ["NA", '"quoted', "007"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 1\nb 2\nc 3 1\n", "line 2: expected 3 fields, found 2"),
        ("a 1 1\nb 2 1 7\n", "line 2: expected 3 fields, found 4"),
        ("a 1 1 7\nb 2 1 7\n", "line 1: expected 3 fields, found 4"),
        ("a 1 1\nb 2 1 7 8 9\n", "line 2: expected 3 fields, found 6"),
        ("a 1 1\n\nb 2 1\n", "line 2: expected 3 fields, found 0"),
        ("a 1 1\nb 2.5 1\n", "line 2: template must be a whole number, found '2.5'"),
        ("a 1 1\nb x 1\n", "line 2: template must be a whole number"),
        ("a 1 1\nb 99999999999999999999 1\n", "line 2: template must be a whole number"),
        ("a 1 1\nb 2 nan\n", "line 2: score must be a finite number, found 'nan'"),
        ("a 1 1\nb 2 1e999\n", "line 2: score must be a finite number"),
        ("a 1 1\nb 2 half\n", "line 2: score must be a finite number, found 'half'"),
        ("a\n", "line 1: expected 3 fields, found 1"),
        ("", "the list is empty"),
    ],
)
def test_wrong_lines(file, text, said):
    with pytest.raises(DataError) as error:
        read_blank_separated(file(text), COLUMNS)
    assert said in str(error.value)
    assert "table.txt" in str(error.value)


def test_csv(file):
    text = "\ufefftemplate_id,EXTRA,File,media_id\n3,x,img/1.jpg,7\n4,,frame/2_3.png,8\n"
    found = read_csv(file(text), CSV_COLUMNS, spellings=SPELLINGS)
    assert [found[name].tolist() for name in CSV_COLUMNS] == [[3, 4], ["img/1.jpg", "frame/2_3.png"], [7, 8]]


def test_csv_columns_by_place_and_absent_ones(file):
    found = read_csv(file("number,FILE\n3,a.jpg\n"), CSV_COLUMNS, spellings=SPELLINGS)
    assert {name: values.tolist() for name, values in found.items()} == {"template": [3], "file": ["a.jpg"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TEMPLATE_ID,NAME\n1,a\n", "line 1: no column FILENAME or FILE; found 'TEMPLATE_ID,NAME'"),
        ("TEMPLATE_ID,FILE\n", "a header and no rows"),
        ("TEMPLATE_ID,FILE\n1,a.jpg\n2\n", "line 3: expected 2 fields, found 1"),
        ("TEMPLATE_ID,FILE\n1,a.jpg\n2,b.jpg,c\n", "line 3: expected 2 fields, found 3"),
        ("TEMPLATE_ID,FILE\n1,a.jpg\n,b.jpg\n", "line 3: template must be a whole number, found ''"),
        ("TEMPLATE_ID,FILE\n1,a.jpg\n2,\n", "line 3: file must be text, found ''"),
        ("TEMPLATE_ID,FILE\n1,a.jpg\n\n2,b.jpg\n", "line 3: expected 2 fields"),
        ("", "the list is empty"),
    ],
)
def test_wrong_csv(file, text, said):
    with pytest.raises(DataError) as error:
        read_csv(file(text), CSV_COLUMNS, spellings=SPELLINGS)
    assert said in str(error.value)


def test_bytes_that_are_no_text(file):
    with pytest.raises(DataError, match=r"table\.txt"):
        read_blank_separated(file(b"\xff\xfe\x00 1 1\n\xff 2\n"), COLUMNS)
