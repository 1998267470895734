from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from embedding import COUNT, SIZE, every, run

from facebench import rows as room
from facebench.errors import DataError
from facebench.testing import toy_faces


@pytest.fixture
def faces():
    return toy_faces(num_classes=2, per_class=COUNT // 2, size=SIZE)


@pytest.fixture
def noted(monkeypatch):
    """A note after every batch."""
    monkeypatch.setattr(room, "NOTE_SECONDS", -1.0)


# A damaged cache.


def other_array(path):
    np.save(path, np.zeros((COUNT - 1, 12), np.float32))


def wider(path):
    np.save(path, np.zeros((COUNT, 13), np.float32))


def of_doubles(path):
    np.save(path, np.zeros((COUNT, 12)))


def flat(path):
    np.save(path, np.zeros(COUNT, np.float32))


def scalar(path):
    np.save(path, np.float32(3))


def nans(path):
    array = np.load(path)
    array[3, 4] = np.nan
    np.save(path, array)


def pickled(path):
    np.save(path, np.array([{"a": 1}] * COUNT, dtype=object), allow_pickle=True)


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "noise": lambda path: path.write_bytes(os.urandom(2000)),
    "a zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "rows missing": other_array,
    "wider": wider,
    "doubles": of_doubles,
    "flat": flat,
    "scalar": scalar,
    "not finite": nans,
    "objects": pickled,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["vectors.npy", "mirrored.npy"])
def test_what_is_damaged_in_the_cache_is_made_again(faces, tmp_path, means, name, damage):
    whole = run(means(), faces, tmp_path / "whole")
    run(means(), faces, tmp_path / "e")
    DAMAGE[damage](tmp_path / "e" / name)
    found = run(means(), faces, tmp_path / "e")
    assert not found.reused
    np.testing.assert_array_equal(found.embeddings.vectors, whole.embeddings.vectors)
    np.testing.assert_array_equal(found.embeddings.mirrored, whole.embeddings.mirrored)
    assert every(tmp_path / "e") == every(tmp_path / "whole")


@pytest.mark.parametrize("complete", [False, True])
def test_a_note_does_not_outlive_the_rows_it_tells_of(faces, tmp_path, means, monkeypatch, complete):
    class Stopped(means):
        def embed(self, images, /):
            if len(self.batches) == 6:
                raise KeyboardInterrupt
            return super().embed(images)

    run(means(), faces, tmp_path / "whole")
    if complete:
        run(means(), faces, tmp_path / "e")
    else:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(room, "NOTE_SECONDS", -1.0)
            run(Stopped(), faces, tmp_path / "e")
    (tmp_path / "e" / "vectors.npy").unlink()
    with pytest.raises(KeyboardInterrupt):  # before the first note of the new rows
        run(Stopped(), faces, tmp_path / "e")
    assert not run(means(), faces, tmp_path / "e").reused
    assert every(tmp_path / "e") == every(tmp_path / "whole")


def test_a_cache_that_is_deleted_meanwhile_is_told(faces, tmp_path, means):
    class Deleting(means):
        def embed(self, images, /):
            if len(self.batches) == 10:
                (tmp_path / "e" / "vectors.npy").unlink()
            return super().embed(images)

    with pytest.raises(DataError, match="is something deleting the cache"):
        run(Deleting(), faces, tmp_path / "e")


# Two at once.


def test_the_second_of_two_waits_and_finds_the_work_done(faces, tmp_path, means):
    begun, go_on = threading.Event(), threading.Event()

    class First(means):
        def embed(self, images, /):
            begun.set()
            assert go_on.wait(20)
            return super().embed(images)

    found = {}
    second = means()
    one = threading.Thread(target=lambda: found.update(one=run(First(), faces, tmp_path / "e")))
    two = threading.Thread(target=lambda: found.update(two=run(second, faces, tmp_path / "e")))
    one.start()
    assert begun.wait(20)
    two.start()
    time.sleep(0.1)
    assert second.batches == []
    go_on.set()
    one.join(20)
    two.join(20)
    assert not found["one"].reused
    assert found["two"].reused
    assert second.batches == []
    np.testing.assert_array_equal(found["one"].embeddings.vectors, found["two"].embeddings.vectors)


# Killed for real.

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from facebench import rows as room
from facebench.contracts import Features, Preprocess
from facebench.embed import embed
from facebench.progress import Bars

room.NOTE_SECONDS = 0.0

class Means:
    embedding_size, preprocess, fingerprint, notes = 3, Preprocess(size=(32, 32)), "k" * 64, {}
    def embed(self, images, /):
        print(len(images), flush=True)
        sys.stdin.readline()  # so that the test decides how far it gets; at the end of its input it runs on
        return Features(images.mean((1, 2)).astype(np.float32))

class Noise:
    name, fingerprint = "noise", "n" * 16
    keys = [f"{n:03d}" for n in range(200)]
    labels = np.full(200, -1)
    def __len__(self):
        return 200
    def batch(self, indices):
        return np.stack([np.random.default_rng(n).integers(0, 256, (32, 32, 3), dtype=np.uint8) for n in indices])

embed(Means(), Noise(), folder=Path(sys.argv[1]), batch_size=4, workers=1, mirror=True, progress=Bars(quiet=True))
"""


@contextmanager
def embedding(folder, stdin=subprocess.DEVNULL):
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "e"
    with embedding(whole) as process:
        calls = len(process.stdout.readlines())
        assert process.wait() == 0
    assert calls == 100
    random = np.random.default_rng()
    for _ in range(2):
        with embedding(folder, stdin=subprocess.PIPE) as process:
            for _ in range(int(random.integers(3, 45))):
                process.stdout.readline()
                process.stdin.write("\n")
                process.stdin.flush()
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
    with embedding(folder) as process:
        rest = len(process.stdout.readlines())
        assert process.wait() == 0
    assert 0 < rest < calls
    assert every(folder) == every(whole)
