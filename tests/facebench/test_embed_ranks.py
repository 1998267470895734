from __future__ import annotations

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from embedding import BATCH, COUNT, SIZE, every, run
from hypothesis import given
from hypothesis import strategies as st
from played_processes import Together
from processes import ProcessesFailed, run_processes

from facebench import embed as room
from facebench import rows
from facebench.contracts import Features
from facebench.embed import _stretches, fingerprint
from facebench.errors import DataError
from facebench.testing import toy_faces


@pytest.fixture
def faces():
    return toy_faces(num_classes=2, per_class=COUNT // 2, size=SIZE)


@pytest.fixture
def cut(means):
    """Embeds so that every byte tells in which batch a face was; may be interrupted after some forward passes."""

    class Cut(means):
        left = 1000

        def embed(self, images, /):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            vectors = super().embed(images).vectors + images.mean(dtype=np.float32)
            return Features(vectors, vectors[:, :2])

    return Cut


@pytest.fixture
def together(monkeypatch):
    monkeypatch.setattr(rows, "NOTE_SECONDS", -1.0)  # a note after every batch
    return Together(monkeypatch, room)


@pytest.fixture
def whole(together, faces, tmp_path, cut):
    """The bytes that one process makes."""
    together(1, lambda rank: run(cut(), faces, tmp_path / "whole"))
    return every(tmp_path / "whole")


def interrupted(together, size, faces, folder, cut, rank, passes):
    """Two processes or more of which one ends after some forward passes."""

    def call(here):
        embedder = cut()
        embedder.left = passes if here == rank else embedder.left
        return run(embedder, faces, folder)

    found = together(size, call)
    assert isinstance(found[rank], KeyboardInterrupt)
    assert not (folder / "embeddings.json").exists()


def parts(folder):
    return sorted(path.name for path in folder.glob("part-*"))


# How rows are shared out.


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 12))
def test_stretches_are_whole_batches_in_order_and_about_equal(count, batch_size, size):
    found = _stretches(count, batch_size, size)
    assert len(found) == size
    assert [row for stretch in found for row in stretch] == list(range(count))
    assert all(stretch.start % batch_size == 0 for stretch in found if stretch)
    batches = [-(-len(stretch) // batch_size) for stretch in found]
    assert max(batches) - min(batches) <= 1
    assert found[0]  # the one with the bar has something to show


# Threads in the place of processes.


@pytest.mark.parametrize("size", [1, 2, 3, 6, 9])
def test_many_write_the_bytes_of_one(together, faces, tmp_path, cut, whole, size):
    embedders = [cut() for _ in range(size)]
    found = together(size, lambda rank: run(embedders[rank], faces, tmp_path / "e"))
    assert every(tmp_path / "e") == whole
    assert sorted(whole) == ["confidence.npy", "embeddings.json", "mirrored.npy", "vectors.npy"]
    assert [sum(one.batches) for one in embedders] == [2 * len(stretch) for stretch in _stretches(COUNT, BATCH, size)]
    for one in found:
        assert (one.reused, one.resized) == (False, 0)
        assert one.embeddings.keys.tolist() == list(faces.keys)
        assert one.embeddings.vectors.tobytes() == found[0].embeddings.vectors.tobytes()
    again = together(size, lambda rank: run(embedders[rank], faces, tmp_path / "e"))
    assert all(one.reused for one in again)
    assert sum(sum(one.batches) for one in embedders) == 2 * COUNT


def test_resized_pictures_of_all_are_counted_by_all(together, tmp_path, means):
    large = toy_faces(num_classes=2, per_class=COUNT // 2, size=64)
    assert [one.resized for one in together(3, lambda rank: run(means(), large, tmp_path / "e"))] == [COUNT] * 3


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("passes", [0, 2, 3, 4])
def test_what_one_of_two_left_is_continued(together, faces, tmp_path, cut, whole, rank, passes):
    interrupted(together, 2, faces, tmp_path / "e", cut, rank, passes)
    embedders = [cut(), cut()]
    found = together(2, lambda here: run(embedders[here], faces, tmp_path / "e"))
    assert not any(one.reused for one in found)
    assert every(tmp_path / "e") == whole
    own = len(_stretches(COUNT, BATCH, 2)[rank])
    assert sum(embedders[rank].batches) == 2 * (own - passes // 2 * BATCH)
    assert embedders[1 - rank].batches == []  # that part was complete: it waited for the other one


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (2, 1), (1, 2), (3, 1)])
def test_another_number_begins_again_and_leaves_nothing_behind(together, faces, tmp_path, cut, whole, before, after):
    interrupted(together, before, faces, tmp_path / "e", cut, before - 1, 2)
    assert bool(parts(tmp_path / "e")) == (before > 1)
    together(after, lambda rank: run(cut(), faces, tmp_path / "e"))
    assert every(tmp_path / "e") == whole


@pytest.mark.parametrize("damage", ["not finite", "cut short", "gone", "another set"])
def test_a_damaged_part_is_made_again(together, faces, tmp_path, cut, whole, damage):
    interrupted(together, 2, faces, tmp_path / "e", cut, 1, 2)
    path = tmp_path / "e" / "part-0-12" / "mirrored.npy"
    if damage == "not finite":
        np.save(path, np.full_like(np.load(path), np.nan))
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "gone":
        path.unlink()
    else:
        note = path.with_name("embeddings.json")
        note.write_text(note.read_text().replace(fingerprint(cut(), faces, mirror=True), "another"))
    embedders = [cut(), cut()]
    together(2, lambda rank: run(embedders[rank], faces, tmp_path / "e"))
    assert every(tmp_path / "e") == whole
    assert sum(embedders[0].batches) == 2 * 12


@pytest.mark.parametrize("alone", [False, True])
def test_interrupted_while_parts_are_joined(together, faces, tmp_path, cut, whole, monkeypatch, alone):
    folder = tmp_path / "e"
    interrupted(together, 1, faces, folder, cut, 0, 8)
    assert json.loads((folder / "underway.json").read_text())["done"] == 16  # of arrays that are about to be replaced
    add = rows.Rows.add

    def stopping(self, arrays, *, resized):
        if self._folder == folder and self.done:
            raise KeyboardInterrupt
        monkeypatch.setattr(rows, "NOTE_SECONDS", 1e9 if self._folder == folder else -1.0)
        add(self, arrays, resized=resized)

    with monkeypatch.context() as patched:
        patched.setattr(rows.Rows, "add", stopping)
        found = together(2, lambda rank: run(cut(), faces, folder))
    assert isinstance(found[0], KeyboardInterrupt)
    assert parts(folder) == ["part-0-12", "part-12-22"]
    embedders = [cut(), cut()]
    together(1 if alone else 2, lambda rank: run(embedders[rank], faces, folder))
    assert every(folder) == whole
    assert sum(embedders[0].batches) == (2 * COUNT if alone else 0)


def test_parts_that_outlived_the_joining_are_removed(together, faces, tmp_path, cut, whole):
    together(2, lambda rank: run(cut(), faces, tmp_path / "e"))
    (tmp_path / "e" / "part-0-12").mkdir()
    assert all(one.reused for one in together(2, lambda rank: run(cut(), faces, tmp_path / "e")))
    assert every(tmp_path / "e") == whole


def test_only_the_first_shows_a_bar_and_that_of_its_own_part(together, faces, tmp_path, cut):
    shown = []

    class Shown:
        def __init__(self, rank):
            self.rank = rank

        def bar(self, total, what, *, unit, start=0):
            shown.append((self.rank, total, what, unit, start))
            return room.Bars(quiet=True).bar(total, what)

    together(2, lambda rank: run(cut(), faces, tmp_path / "e", progress=Shown(rank)))
    assert shown == [(0, 12, f"embedding {faces.name}, part 1 of 2", "face", 0)]


# What goes wrong among many.


def said(found, rank):
    assert isinstance(found[rank], DataError)
    return str(found[rank])


def test_other_weights_in_another_process_are_refused(together, faces, tmp_path, means):
    found = together(2, lambda rank: run(means("mn"[rank] * 64), faces, tmp_path / "e"))
    assert f"process 1 has other weights, or other pictures of {faces.name}, than the first" in said(found, 1)
    assert isinstance(found[0], threading.BrokenBarrierError)
    assert not (tmp_path / "e" / "embeddings.json").exists()


def test_parts_of_two_kinds_are_refused_and_not_kept(together, faces, tmp_path, cut, means):
    folder = tmp_path / "e"
    found = together(2, lambda rank: run((cut if rank else means)(), faces, folder))
    assert "it must return one kind" in said(found, 0)
    assert not (folder / "embeddings.json").exists()
    assert parts(folder) == []
    together(2, lambda rank: run(cut(), faces, folder))
    assert (folder / "confidence.npy").exists()


def test_machines_that_share_no_file_system_are_told_so(together, faces, tmp_path, cut):
    found = together(2, lambda rank: run(cut(), faces, tmp_path / f"e{rank}"))
    assert "part-12-22: the first process does not see what another wrote; on several machines" in said(found, 0)
    together(1, lambda rank: run(cut(), faces, tmp_path / "e0"))
    found = together(2, lambda rank: run(cut(), faces, tmp_path / f"e{rank}"))
    assert "process 1 does not see what the first process wrote; on several machines the cache" in said(found, 1)


def test_a_picture_that_one_cannot_read_ends_it_and_the_rest_can_be_continued(together, faces, tmp_path, cut, whole):
    class Torn(type(faces)):
        def batch(self, indices):
            if 17 in indices:
                raise DataError("picture 17 is cut short")
            return super().batch(indices)

    torn = Torn(faces._images, faces.labels, 0)
    found = together(2, lambda rank: run(cut(), torn, tmp_path / "e"))
    assert said(found, 1) == "picture 17 is cut short"
    assert not (tmp_path / "e" / "embeddings.json").exists()
    embedders = [cut(), cut()]
    together(2, lambda rank: run(embedders[rank], faces, tmp_path / "e"))
    assert embedders[0].batches == []
    assert every(tmp_path / "e") == whole


def test_what_is_left_of_a_killed_run_is_waited_for(together, faces, tmp_path, cut, whole):
    held, let_go, early = threading.Event(), threading.Event(), []

    def leftover():
        with room.locked(tmp_path / "e" / "part-12-22"):
            held.set()
            assert let_go.wait(20)

    class Second(cut):
        def embed(self, images, /):
            early.append(not let_go.is_set())
            return super().embed(images)

    together.before_waiting = lambda rank: let_go.set()  # when the first one has done its part
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(leftover)
        assert held.wait(20)
        together(2, lambda rank: run((Second if rank else cut)(), faces, tmp_path / "e"))
        left.result()
    assert early and not any(early)
    assert every(tmp_path / "e") == whole


# Real processes.

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
from embedding import run
from facebench import rows
from facebench.contracts import Features, Preprocess
from facebench.ranks import joined
from facebench.testing import toy_faces

rows.NOTE_SECONDS = -1.0
folder, stage = Path(sys.argv[1]), sys.argv[2]

class Cut:
    embedding_size, preprocess, fingerprint, notes = 3, Preprocess(size=(32, 32)), "k" * 64, {}
    def __init__(self, killed_after=-1):
        self.batches, self.left = [], killed_after
    def embed(self, images, /):
        if not self.left:
            others = [folder / "killed" / name / "embeddings.json" for name in ("part-0-8", "part-16-22")]
            while not all(path.exists() for path in others):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        self.batches.append(len(images))
        return Features(images.mean((1, 2)).astype(np.float32) + images.mean(dtype=np.float32), np.ones((len(images), 1), np.float32))

def seen(name, faces, embedder):
    found = run(embedder, faces, folder / name)
    arrays = (found.embeddings.vectors, found.embeddings.mirrored, found.embeddings.confidence)
    return [found.reused, embedder.batches, [float(array.sum(dtype=np.float64)) for array in arrays]]

many, few = (toy_faces(num_classes=2, per_class=count, size=32) for count in (11, 3))
with joined("cpu") as here:
    told = {}
    if stage == "first":
        told["many"], told["few"] = seen("many", many, Cut()), seen("few", few, Cut())
        told["again"] = seen("many", many, Cut())
    killed_after = 2 if stage == "first" and here.rank == 1 and here.size > 1 else -1
    (folder / f"told-{stage}-{here.rank}.json").write_text(json.dumps(told))
    print(json.dumps(seen("killed", many, Cut(killed_after))))
"""


@pytest.mark.slow
def test_three_processes_one_of_them_killed_write_the_bytes_of_one(tmp_path):
    alone, many = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, many):
        folder.mkdir()
    run_processes(SCRIPT, 1, alone, "first")
    with pytest.raises(ProcessesFailed) as failed:
        run_processes(SCRIPT, 3, many, "first")
    assert failed.value.codes[1] == -signal.SIGKILL, failed.value
    assert not (many / "killed" / "embeddings.json").exists()
    assert json.loads((many / "killed" / "part-8-16" / "underway.json").read_text())["done"] == BATCH

    wanted = json.loads((alone / "told-first-0.json").read_text())
    found = [json.loads((many / f"told-first-{rank}.json").read_text()) for rank in range(3)]
    for name, batches in (("many", [[4] * 4, [4] * 4, [4, 4, 2, 2]]), ("few", [[4, 4], [2, 2], []])):
        assert every(many / name) == every(alone / name)
        assert [one[name] for one in found] == [[False, batches[rank], wanted[name][2]] for rank in range(3)]
    assert [one["again"] for one in found] == [[True, [], wanted["many"][2]]] * 3

    rest = [json.loads(text) for text in run_processes(SCRIPT, 3, many, "second")]
    assert rest == [[False, batches, wanted["many"][2]] for batches in ([], [4, 4], [])]
    assert every(many / "killed") == every(alone / "killed") == every(alone / "many")
