from __future__ import annotations

import pytest
from played_processes import Together
from processes import run_processes
from toy_generator import ColourfulSquares, draw, every

from facebench.errors import DataError
from facebench.generation import making as room


@pytest.fixture
def together(monkeypatch):
    return Together(monkeypatch, room)


@pytest.fixture(scope="module", params=["folder", "tar", "recordio"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def whole(form, tmp_path_factory):
    """The bytes that one process makes."""
    folder = tmp_path_factory.mktemp(form)
    draw(folder, form=form)
    return every(folder)


@pytest.mark.parametrize("size", [2, 6])
def test_many_write_the_bytes_of_one(together, tmp_path, form, whole, size):
    squares = [ColourfulSquares() for _ in range(size)]
    found = together(size, lambda rank: draw(tmp_path / "set", squares[rank], form=form))
    assert every(tmp_path / "set") == whole
    assert [one.drawn for one in squares] == [1, *[0] * (size - 1)]
    assert [len(one.asked) for one in squares] == [len(range(rank, 4, size)) for rank in range(size)]
    assert {(one.faces, one.reused, one.success) for one in found} == {(21, False, found[0].success)}
    again = together(size, lambda rank: draw(tmp_path / "set", ColourfulSquares(left=0), form=form))
    assert all(one.reused for one in again)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("size", [1, 3])
def test_what_one_of_two_left_is_continued_by_any_number(together, tmp_path, form, whole, rank, size):
    found = together(2, lambda here: draw(tmp_path / "set", ColourfulSquares(1 if here == rank else 9), form=form))
    assert isinstance(found[rank], KeyboardInterrupt)
    squares = [ColourfulSquares() for _ in range(size)]
    together(size, lambda here: draw(tmp_path / "set", squares[here], form=form))
    assert every(tmp_path / "set") == whole
    assert sum(len(one.asked) for one in squares) == 1


def test_processes_that_mean_different_faces_are_told_apart(together, tmp_path):
    found = together(2, lambda rank: draw(tmp_path / "set", seed=rank))
    assert isinstance(found[1], DataError)
    assert "process 1 is to draw other faces than the first process" in str(found[1])


def test_processes_without_a_shared_disk_say_so(together, tmp_path):
    found = together(2, lambda rank: draw(tmp_path / f"disk-{rank}"))
    assert isinstance(found[1], DataError)
    assert "must share the file system" in str(found[1])


SCRIPT = """
import pathlib, sys
from facebench.ranks import joined
from toy_generator import draw

with joined("cpu") as here:
    done = draw(pathlib.Path(sys.argv[1]), form="tar")
    print(here.size, done.faces, done.reused)
"""


@pytest.mark.slow
def test_three_processes_write_the_bytes_of_one(tmp_path):
    draw(tmp_path / "whole", form="tar")
    assert [text.split() for text in run_processes(SCRIPT, 3, tmp_path / "set")] == [["3", "21", "False"]] * 3
    assert every(tmp_path / "set") == every(tmp_path / "whole")
