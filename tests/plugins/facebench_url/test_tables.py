"""Tables of mined labels and of profiles: which faces they speak of, and what is wrong with them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facebench import DataError
from facebench.images import encode_png, fit_to
from facebench_url.tables import read_mined, read_profiles

KEYS = ["ann/a", "ann/b.2", "zoe/00000042"]


@pytest.fixture
def table(tmp_path):
    """Writes a table and returns its path."""

    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def picture(seed=0, height=112, width=112):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


@pytest.fixture
def drawn(tmp_path):
    """Three pictures, one of them of another size, below a folder."""
    pictures = {"a.png": picture(1), "below/b.png": picture(2), "below/c.png": picture(3, 130, 120)}
    (tmp_path / "below").mkdir()
    for name, pixels in pictures.items():
        (tmp_path / name).write_bytes(encode_png(pixels))
    return pictures


def test_mined_labels_go_to_the_rows_of_their_keys(table):
    path = table("\ufeffsmiling,Path, young\n0.25,zoe/00000042,\n\n1,./ann/a.jpg, 0 \n1e-3,ann\\b.2.png,0.5\n")
    names, values = read_mined(path, KEYS)
    assert names == ("smiling", "young") and values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32([[1, 0], [1e-3, 0.5], [0.25, np.nan]]))


def test_a_table_may_name_fewer_faces_and_others(table):
    names, values = read_mined(table("path,gender\nann/a,1\nsomeone/else.jpg,0.5\n"), KEYS)
    assert names == ("gender",)
    np.testing.assert_array_equal(values, np.float32([[1], [np.nan], [np.nan]]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: the header must name the column path, found ''"),
        ("\npath,young\n", "1: the header must name the column path"),
        ("name,young\nann/a,1\n", "1: the header must name the column path, found 'name,young'"),
        ("path\nann/a\n", "1: the header names no attribute"),
        ("path,young,Young\nann/a,1,1\n", "1: the header names the column 'Young' twice"),
        ("path,young,\nann/a,1,1\n", "1: column 3 of the header has no name"),
        ("path,young\n", "1: the table has a header and no lines"),
        ("path,young\nann/a,1\nann/b.2\n", "3: 1 fields where the header has 2"),
        ("path,young\nann/a,0,5\n", "2: 3 fields where the header has 2"),
        ("path,young\n ,1\n", "2: the path is empty"),
        ("path,young\nann/a,1.01\n", "2: young is '1.01'; expected a number in 0..1"),
        ("path,young\nann/a,-0.1\n", "2: young is '-0.1'"),
        ("path,young\nann/a,nan\n", "2: young is 'nan'"),
        ("path,young\nann/a,yes\n", "2: young is 'yes'"),
        ("path,young\nann/a,1\n\nann/a.jpg,1\n", "4: 'ann/a.jpg' stands on line 2 already"),
        ("path,young\nann/x,1\nann/y,1\n", "2: 'ann/x' is no picture of the training set, nor is any other"),
        ('path,young\nann/a,1\n"ann/b.2"x,1\n', "3: not a CSV line"),
        (b"path,young\nann/a,1\nann/\xff,1\n", "3: the line is not UTF-8"),
    ],
)
def test_malformed_tables_of_labels(table, text, told):
    path = table(text)
    with pytest.raises(DataError, match="^" + re.escape(f"{path}:{told}")) as caught:
        read_mined(path, KEYS)
    assert "\n" not in str(caught.value)


def test_tables_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(DataError, match="cannot read the table"):
            read_mined(path, KEYS)


def test_profiles_are_decoded_when_asked_for(table, drawn):
    text = "path,profile,from\nzoe/00000042.jpg,below/c.png,prnet\nann/a,a.png,prnet\nann/b.2,,prnet\n"
    profiles = read_profiles(table(text), KEYS)
    assert profiles.available.tolist() == [True, False, True]
    found = profiles.images(np.array([2, 0, 2]))
    assert found.shape == (3, 112, 112, 3) and found.dtype == np.uint8
    fitted = fit_to(drawn["below/c.png"], (112, 112))
    np.testing.assert_array_equal(found, np.stack([fitted, drawn["a.png"], fitted]))
    assert profiles.images(np.array([], dtype=np.int64)).shape == (0, 112, 112, 3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.png", "there is no picture 'absent.png'"),
        ("below", "there is no picture 'below'"),
        ("x" * 5000, "cannot look for"),
        ("../a.png", "is no path below the table's folder"),
        ("below/../a.png", "is no path below the table's folder"),
        ("/etc/hostname", "is no path below the table's folder"),
        ("C:\\a.png", "is no path below the table's folder"),
        ("..\\a.png", "is no path below the table's folder"),
        ("a.png\0", "is no path below the table's folder"),
    ],
)
def test_profiles_that_are_elsewhere_or_nowhere(table, drawn, name, told):
    path = table(f"path,profile\nann/a,a.png\nann/b.2,{name}\n")
    with pytest.raises(DataError, match="^" + re.escape(f"{path}:3: ") + ".*" + re.escape(told)) as caught:
        read_profiles(path, KEYS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_may_not_lead_out_of_the_folder(tmp_path, drawn, what):
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "table.csv"
    path.write_text("path,profile\nann/a,link/b.png\n" if what == "folder" else "path,profile\nann/a,link.png\n")
    if what == "folder":
        (tmp_path / "inner" / "link").symlink_to(tmp_path / "below")
    else:
        (tmp_path / "inner" / "link.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"table\.csv:2: .* is a link out of the table's folder"):
        read_profiles(path, KEYS)


def test_links_within_the_folder_are_followed(tmp_path, table, drawn):
    (tmp_path / "link").symlink_to(tmp_path / "below")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    profiles = read_profiles(table("path,profile\nann/a,link/b.png\nann/b.2,link.png\n"), KEYS)
    np.testing.assert_array_equal(profiles.images(np.arange(2)), np.stack([drawn["below/b.png"], drawn["a.png"]]))


def test_a_linked_table_has_its_pictures_where_it_lies(tmp_path, table, drawn):
    real = table("path,profile\nann/a,a.png\n")
    (tmp_path / "views").mkdir()
    linked = tmp_path / "views" / "table.csv"
    linked.symlink_to(real)
    (tmp_path / "views" / "a.png").symlink_to(tmp_path / "a.png")
    np.testing.assert_array_equal(read_profiles(linked, KEYS).images(np.arange(1))[0], drawn["a.png"])


def test_pictures_that_cannot_be_decoded_are_named(tmp_path, table, drawn):
    path = table("path,profile\nann/a,a.png\nann/b.2,below/b.png\n")
    profiles = read_profiles(path, KEYS)
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "below" / "b.png").unlink()
    with pytest.raises(DataError, match="^" + re.escape(f"{path}:2: a.png: not a picture")):
        profiles.images(np.array([0]))
    with pytest.raises(DataError, match="^" + re.escape(f"{path}:3: below/b.png: cannot read the picture")):
        profiles.images(np.array([1]))


def test_tables_of_profiles_need_their_column(table):
    path = table("path,picture\nann/a,a.png\n")
    with pytest.raises(DataError, match="the header must name the column profile"):
        read_profiles(path, KEYS)
