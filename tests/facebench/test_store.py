from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from facebench.errors import DataError, FacebenchError
from facebench.store import Cache, RunFolder, cache_root, find_results, locked, write_atomic, write_text
from facebench.testing import toy_result

NOW = datetime(2026, 1, 2, 3, 4, 5)
AWKWARD = ["plain", "with space", "ümläut-日本", "dots.and.more", "x" * 200]


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Whole files or none.


@pytest.mark.parametrize("name", AWKWARD)
def test_what_was_written_is_there_and_nothing_else(tmp_path, name):
    path = tmp_path / "new" / name / f"{name}.txt"
    write_text(path, "Grüße\n")
    assert path.read_text(encoding="utf-8") == "Grüße\n"
    assert everything(path.parent) == [path.name]


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "long, long ago")
    write_text(path, "now")
    assert path.read_text() == "now"
    assert everything(tmp_path) == ["a.txt"]


def test_the_writer_sees_the_same_folder_and_ending(tmp_path):
    seen = []
    write_atomic(tmp_path / "weights.tar.gz", lambda path: seen.append(path) or path.write_bytes(b"x"))
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".gz"
    assert seen[0].name.startswith(".")


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt(), DataError("x"), SystemExit(1)])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_writer_that_fails_leaves_everything_as_it_was(tmp_path, error, old):
    path = tmp_path / "a.json"
    if old:
        path.write_text(old)

    def write(temporary):
        temporary.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert everything(tmp_path) == (["a.json"] if old else [])
    assert not old or path.read_text() == old


@pytest.mark.parametrize("step", ["fsync", "replace", "touch"])
def test_a_system_that_refuses_leaves_everything_as_it_was(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    path.write_text("old")

    def refuse(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, step)), refuse)
    with pytest.raises(FacebenchError, match=r"cannot write .*a\.json: No space left on device"):
        write_text(path, "new")
    monkeypatch.undo()
    assert everything(tmp_path) == ["a.json"]
    assert path.read_text() == "old"


def test_a_full_disk_met_by_the_writer_is_one_line(tmp_path):
    def write(temporary):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FacebenchError, match="No space left on device"):
        write_atomic(tmp_path / "a.bin", write)
    assert everything(tmp_path) == []


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(FacebenchError, match=r"cannot write .*a\.json: "):
        write_text(tmp_path / "a.json", "new")
    assert everything(tmp_path) == ["a.json"]


def test_a_file_in_the_way_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("I am a file")
    with pytest.raises(FacebenchError, match=r"cannot write .*a\.json: "):
        write_text(tmp_path / "runs" / "a.json", "new")


def test_a_killed_writer_leaves_nothing_that_looks_finished(tmp_path):
    path = tmp_path / "runs" / "20260102-030405-p-f" / "results" / "lfw.json"
    code = (
        "import os, sys; from pathlib import Path; from facebench.store import write_atomic\n"
        "def write(path): path.write_text('{\"half\": '); os._exit(9)\n"
        "write_atomic(Path(sys.argv[1]), write)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == 9
    assert not path.exists() and len(everything(path.parent)) == 1
    with pytest.raises(FacebenchError, match="no results in"):
        find_results([tmp_path / "runs"])


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_gets_the_permissions_of_any_other_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        (tmp_path / "b.txt").write_text("x")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")}
    assert modes == {0o666 & ~mask}


def test_writing_never_changes_the_mask_of_other_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask belongs to the whole process"))
    write_text(tmp_path / "a.txt", "x")


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    contents = {"a" * 50_000, "b" * 80_000}
    write_text(path, min(contents))
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        for content in contents:
            write_text(path, content)
    stop.set()
    reader.join()
    assert seen and seen <= contents


# Places.


def test_the_cache_lies_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "c c"))
    assert cache_root() == tmp_path / "c c"
    monkeypatch.delenv("FACEBENCH_CACHE")
    assert cache_root().is_absolute() and "facebench" in str(cache_root())


def test_a_cache_forgets_its_own_folders_only(tmp_path):
    cache = Cache(tmp_path / "cache")
    inside, outside = cache.training("f"), tmp_path / "precious"
    assert cache.training("f") != cache.embeddings("f")
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "a").write_text("x")
    cache.forget(inside)
    cache.forget(outside)
    cache.forget(cache.root)
    cache.forget(cache.embeddings("never made"))
    assert list(inside.iterdir()) == []
    assert (outside / "a").exists() and cache.root.exists()


def test_what_another_process_holds_is_not_forgotten(tmp_path):
    cache = Cache(tmp_path)
    folder = cache.training("f")
    with locked(folder):
        (folder / "state.json").write_text("{}")
        with pytest.raises(FacebenchError, match="another process is working"):
            cache.forget(folder)
    assert (folder / "state.json").exists()


@pytest.mark.parametrize("name", AWKWARD)
def test_a_run_is_found_again(tmp_path, name):
    root = tmp_path / name
    made = RunFolder.new(root, "arcface", "0123", NOW)
    assert made.path == root / "20260102-030405-arcface-0123"
    assert made.path.is_dir()
    assert RunFolder.find(root, "arcface", "0123") == made


def test_the_newest_run_is_found(tmp_path):
    RunFolder.new(tmp_path, "p", "f", NOW.replace(year=2027))
    RunFolder.new(tmp_path, "p", "f", NOW)
    assert RunFolder.find(tmp_path, "p", "f").path.name.startswith("2027")


@pytest.mark.parametrize(
    "name",
    [
        "20260102-030405-p.q-f2",
        "20260102-030405-pxq-f",
        "20260102-030405-other-p.q-f",
        "2026-p.q-f",
        "20260102-030405-p.q-f.old",
        "copy of 20260102-030405-p.q-f",
    ],
)
def test_other_folders_are_not_taken_for_the_run(tmp_path, name):
    (tmp_path / name).mkdir()
    assert RunFolder.find(tmp_path, "p.q", "f") is None


def test_a_file_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "20260102-030405-p-f").write_text("x")
    assert RunFolder.find(tmp_path, "p", "f") is None
    assert RunFolder.find(tmp_path / "nowhere", "p", "f") is None
    assert RunFolder.find(tmp_path / "20260102-030405-p-f", "p", "f") is None


def test_a_run_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "runs").write_text("I am a file")
    with pytest.raises(FacebenchError, match="cannot make the run folder"):
        RunFolder.new(tmp_path / "runs", "p", "f", NOW)


def test_everything_of_a_run_lies_in_its_folder(tmp_path):
    run = RunFolder(tmp_path)
    places = [run.config, run.log, run.checkpoint, run.figures, run.result("cfp-fp"), run.scores("cfp-fp")]
    assert [str(place.relative_to(tmp_path).as_posix()) for place in places] == [
        "config.toml",
        "run.log",
        "checkpoint",
        "figures",
        "results/cfp-fp.json",
        "results/cfp-fp.scores.npz",
    ]


# Finding results.


@pytest.fixture
def runs(tmp_path):
    """Two runs, of one and of two protocols."""
    root = tmp_path / "all runs"
    for plugin, protocols in (("a", ["lfw"]), ("b", ["ijbc", "lfw"])):
        run = RunFolder.new(root, plugin, "f", NOW)
        for protocol in protocols:
            write_text(run.result(protocol), toy_result().model_copy(update={"protocol": protocol}).to_json())
            run.scores(protocol).write_bytes(b"no result")
    return root


def protocols_of(results):
    return [result.protocol for result in results]


def test_results_are_found_in_files_runs_and_folders_of_runs(runs):
    last = RunFolder.find(runs, "b", "f")
    assert protocols_of(find_results([runs])) == ["lfw", "ijbc", "lfw"]
    assert protocols_of(find_results([last.path])) == ["ijbc", "lfw"]
    assert protocols_of(find_results([last.result("lfw")])) == ["lfw"]
    assert protocols_of(find_results([last.path, RunFolder.find(runs, "a", "f").path])) == ["ijbc", "lfw", "lfw"]


def test_a_result_that_is_found_twice_counts_once(runs):
    last = RunFolder.find(runs, "b", "f")
    places = [last.result("lfw"), last.path, runs, runs / "." / last.path.name / ".." / last.path.name]
    assert protocols_of(find_results(places)) == ["lfw", "ijbc", "lfw"]


def test_what_systems_leave_beside_results_is_no_result(runs):
    folder = RunFolder.find(runs, "a", "f").result("lfw").parent
    for name in (".lfw-0123.json", "._lfw.json", ".DS_Store", "lfw.json.bak"):
        (folder / name).write_text("rubbish")
    assert protocols_of(find_results([folder.parent])) == ["lfw"]


def test_a_place_that_is_not_there_is_an_error(runs):
    with pytest.raises(FacebenchError, match=r"no results at .*nowhere: there is no such file or folder"):
        find_results([runs, runs / "nowhere"])


def test_an_empty_place_says_what_to_do(tmp_path):
    with pytest.raises(FacebenchError, match=r"no results in .*; run 'facebench run"):
        find_results([tmp_path])


def test_a_result_that_cannot_be_read_is_named(runs):
    path = RunFolder.find(runs, "a", "f").result("lfw")
    path.write_text("{}")
    with pytest.raises(DataError, match=r"lfw\.json: not a facebench result"):
        find_results([runs])
