"""The quick reader of number lists: equal to numpy's slow one, and exact about what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebench import DataError
from facebench_ijb import integers
from facebench_ijb.integers import read_integers


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "list.txt"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("block", [16, 40, 1 << 18])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("gap", [" ", "\t", ",", "  "])
def test_reads_what_numpy_reads(file, monkeypatch, block, end, gap):
    monkeypatch.setattr(integers, "_BLOCK", block)
    table = np.random.default_rng(0).integers(0, 10 ** np.array([2, 8, 1]), (200, 3))
    line = "\r\n" if end == "\r\n" else "\n"
    text = line.join(gap.join(map(str, row)) for row in table) + end
    found = read_integers(file(text.encode()), columns=3)
    np.testing.assert_array_equal(np.stack(found.columns, axis=1), table)
    assert all(column.dtype == np.int32 for column in found.columns)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**8 - 1), st.integers(0, 10**8 - 1)), min_size=1, max_size=40))
def test_any_numbers_survive(file, rows):
    text = "".join(f"{left} {right}\n" for left, right in rows)
    found = read_integers(file(text.encode()), columns=2)
    assert list(zip(*(column.tolist() for column in found.columns), strict=True)) == rows


def test_unusual_but_right(file):
    found = read_integers(file(b" 1 2 \n000000000003\t4\n\n \n"), columns=2)
    assert [column.tolist() for column in found.columns] == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"1 2 1\n3 4\n5 6 0\n", 2, "expected 3 whole numbers, found '3 4'"),
        (b"1 2 1\n3 4 0 7\n", 2, "expected 3 whole numbers"),
        (b"1 2 1\n3 4\n0\n", 2, "expected 3"),
        (b"1 2 1\n\n3 4 0\n", 2, "expected 3"),
        (b"1 2 1\n3 x 0\n", 2, "found '3 x 0'"),
        (b"1 2 1\n3 -4 0\n", 2, "below 10^8"),
        (b"1 2 1\n3 4.0 0\n", 2, "whole numbers"),
        (b"1 2 1\n3 123456789 0\n", 2, "below 10^8"),
        (b"1 2 1\n3 4 ", 2, "expected 3"),
        (b"1 2 \xff\n", 1, "whole numbers"),
        ("1 2 \u00b2\n".encode(), 1, "whole numbers"),
        (b"TEMPLATE,TEMPLATE,LABEL\n1,2,1\n", 1, "whole numbers"),
    ],
)
@pytest.mark.parametrize("block", [4, 1 << 18])
def test_what_is_wrong_is_named_with_its_line(file, monkeypatch, block, content, line, said):
    monkeypatch.setattr(integers, "_BLOCK", block)
    with pytest.raises(DataError) as error:
        read_integers(file(content), columns=3)
    assert f"list.txt, line {line}:" in str(error.value)
    if block > 4:
        assert said in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty_files(file, content):
    with pytest.raises(DataError, match="the list is empty"):
        read_integers(file(content), columns=3)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot read the list"):
        read_integers(tmp_path / "none.txt", columns=3)


def test_no_line_is_endless(file, monkeypatch):
    monkeypatch.setattr(integers, "_BLOCK", 64)
    with pytest.raises(DataError, match="line 2: expected 3 whole numbers"):
        read_integers(file(b"1 2 3\n" + b"7" * 1000), columns=3)


@pytest.fixture
def cached(file, monkeypatch, tmp_path):
    monkeypatch.setattr(integers, "_LEAST_CACHED", 0)
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    path = file(b"1 2\n3 4\n")
    first = read_integers(path, columns=2)
    (kept,) = (tmp_path / "cache" / "lists").iterdir()
    return path, first, kept


def test_the_second_reading_comes_from_the_cache(cached, monkeypatch):
    path, first, _ = cached

    def never(*_):
        raise AssertionError("parsed again")

    monkeypatch.setattr(integers, "_parse", never)
    again = read_integers(path, columns=2)
    assert again.digest == first.digest
    assert [column.tolist() for column in again.columns] == [[1, 3], [2, 4]]


def test_a_changed_file_is_read_anew(cached):
    path, first, _ = cached
    path.write_bytes(b"1 2\n3 5\n")
    again = read_integers(path, columns=2)
    assert again.columns[1].tolist() == [2, 5]
    assert again.digest != first.digest


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda _: b"", lambda data: data.replace(b"\3", b"\7", 1)])
def test_a_damaged_cache_is_done_without(cached, damage):
    path, _, kept = cached
    kept.write_bytes(damage(kept.read_bytes()))
    assert read_integers(path, columns=2).columns[0].tolist() == [1, 3]


def test_a_cache_that_cannot_be_written_is_done_without(file, monkeypatch, tmp_path):
    monkeypatch.setattr(integers, "_LEAST_CACHED", 0)
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "taken"))
    assert read_integers(file(b"1 2\n"), columns=2).columns[0].tolist() == [1]
