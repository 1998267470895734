from __future__ import annotations

import logging
import os

import pytest

from facebench.errors import DataError
from facebench.keeping import keep_checkpoint, last_epoch, run_folder
from facebench.store import RunFolder

FILES = ("weights.safetensors", "checkpoint.json")
CENTRES = ("classes.json", "classes-0.safetensors", "classes-1.safetensors")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "training"
    folder.mkdir()
    for name in (*FILES, *CENTRES, "metrics.csv", "state.json"):
        (folder / name).write_text(name)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Checkpoints.


def test_weights_and_class_centres_are_kept_and_nothing_else(source, tmp_path):
    run = RunFolder(tmp_path / "run")
    keep_checkpoint(source, run)
    assert names(run.checkpoint) == sorted((*FILES, *CENTRES))
    assert all((run.checkpoint / name).read_text() == name for name in (*FILES, *CENTRES))


def test_a_training_without_centres_leaves_none_of_an_earlier_one(source, tmp_path):
    run = RunFolder(tmp_path / "run")
    keep_checkpoint(source, run)
    (source / "classes-1.safetensors").unlink()
    keep_checkpoint(source, run)
    assert names(run.checkpoint) == sorted({*FILES, *CENTRES} - {"classes-1.safetensors"})
    for name in CENTRES:
        (source / name).unlink(missing_ok=True)
    keep_checkpoint(source, run)
    assert names(run.checkpoint) == sorted(FILES)


def test_centres_are_copied_again_only_when_they_are_new(source, tmp_path):
    run = RunFolder(tmp_path / "run")
    keep_checkpoint(source, run)
    kept = run.checkpoint / "classes-0.safetensors"
    before = kept.stat().st_ino
    keep_checkpoint(source, run)
    assert kept.stat().st_ino == before
    kept.write_text("cut")
    keep_checkpoint(source, run)
    assert kept.read_text() == "classes-0.safetensors"
    (source / kept.name).write_text("classes-0.safetensorz")
    later = kept.stat().st_mtime_ns + 10**9
    os.utime(source / kept.name, ns=(later, later))
    keep_checkpoint(source, run)
    assert kept.read_text() == "classes-0.safetensorz"


# The table of epochs.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("epoch,loss,lfw/accuracy\n1,3.5,\n2,2.25,0.5\n", {"loss": 2.25, "lfw/accuracy": 0.5}),
        ("epoch,loss,lfw/accuracy\n1,3.5,0.5\n2,2.25,\n", {"loss": 2.25}),
        ("epoch,loss\n", {}),
        ("", {}),
        ("epoch,loss\n1,much\n", {}),
        ("epoch,loss\n1,2,3\n", {}),
    ],
)
def test_the_last_epoch_is_the_last_line(tmp_path, text, found):
    (tmp_path / "metrics.csv").write_text(text)
    assert last_epoch(tmp_path / "metrics.csv") == found


def test_no_table_tells_nothing(tmp_path):
    assert last_epoch(tmp_path / "metrics.csv") == {}


# Folders of runs.


def test_a_folder_is_found_again_and_logs_go_there(tmp_path):
    with run_folder(tmp_path, "tiny", "f" * 16, fresh=False) as first:
        logging.getLogger("facebench.test").warning("something happened")
        (first.path / "results").mkdir()
    assert "something happened" in first.log.read_text()
    with run_folder(tmp_path, "tiny", "f" * 16, fresh=False) as second:
        assert second == first
    with run_folder(tmp_path, "tiny", "e" * 16, fresh=False) as third:
        assert third != first


def test_a_new_folder_that_is_left_empty_by_an_error_is_removed(tmp_path):
    with pytest.raises(DataError), run_folder(tmp_path, "tiny", "f" * 16, fresh=False):
        raise DataError("no faces")
    assert list(tmp_path.iterdir()) == []
