from __future__ import annotations

import json
import os
import resource
import time

import numpy as np
import pytest
from embedding import BATCH, COUNT, SIZE, every, run

from facebench import embed as room
from facebench import rows
from facebench.contracts import Face, Features, Preprocess
from facebench.embed import fingerprint
from facebench.errors import DataError, FacebenchError
from facebench.images import mirror as mirrored
from facebench.testing import toy_faces


@pytest.fixture
def faces():
    return toy_faces(num_classes=2, per_class=COUNT // 2, size=SIZE)


@pytest.fixture
def noted(monkeypatch):
    """A note after every batch."""
    monkeypatch.setattr(rows, "NOTE_SECONDS", -1.0)


class Slow:
    """Raises after some batches; ``straight`` and mirrored pictures both count."""

    def __init__(self, inner, batches):
        self.inner, self.left = inner, batches
        self.embedding_size, self.preprocess = inner.embedding_size, inner.preprocess
        self.fingerprint, self.notes = inner.fingerprint, {}

    def embed(self, images, /):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.inner.embed(images)


# What is embedded.


def test_rows_follow_the_data_set_and_mirrors_lie_beside(faces, tmp_path, means):
    found = run(means(), faces, tmp_path / "e")
    images = faces.batch(np.arange(COUNT))
    assert found.embeddings.keys.tolist() == list(faces.keys)
    np.testing.assert_array_equal(found.embeddings.vectors, means().embed(images).vectors)
    np.testing.assert_array_equal(found.embeddings.mirrored, means().embed(mirrored(images)).vectors)
    assert found.embeddings.vectors.dtype == np.float32
    assert (found.resized, found.reused) == (0, False)
    assert found.embeddings.fingerprint == fingerprint(means(), faces, mirror=True)
    assert not np.array_equal(found.embeddings.vectors, found.embeddings.mirrored)


def test_batches_are_of_the_size_asked_for(faces, tmp_path, means):
    embedder = means()
    run(embedder, faces, tmp_path / "e", mirror=False)
    assert embedder.batches == [4, 4, 4, 4, 4, 2]


def test_without_mirrors_there_are_none_and_they_are_another_set(faces, tmp_path, means):
    found = run(means(), faces, tmp_path / "e", mirror=False)
    assert found.embeddings.mirrored is None
    assert sorted(every(tmp_path / "e")) == ["embeddings.json", "vectors.npy"]
    assert fingerprint(means(), faces, mirror=False) != fingerprint(means(), faces, mirror=True)


def test_the_fingerprint_is_that_of_weights_pixels_data_and_code(faces, means, monkeypatch):
    name = fingerprint(means(), faces, mirror=True)
    assert fingerprint(means("n" * 64), faces, mirror=True) != name
    assert fingerprint(means(), toy_faces(seed=1, size=SIZE), mirror=True) != name
    other = means()
    other.preprocess = Preprocess(size=(SIZE, SIZE), color="bgr")
    assert fingerprint(other, faces, mirror=True) != name
    monkeypatch.setattr(room, "__version__", "99.0")
    assert fingerprint(means(), faces, mirror=True) != name


def test_embeddings_are_read_again_and_not_made_again(faces, tmp_path, means):
    first = run(means(), faces, tmp_path / "e")
    embedder = means()
    again = run(embedder, faces, tmp_path / "e")
    assert embedder.batches == []
    assert again.reused
    np.testing.assert_array_equal(again.embeddings.vectors, first.embeddings.vectors)
    np.testing.assert_array_equal(again.embeddings.mirrored, first.embeddings.mirrored)
    assert again.embeddings.fingerprint == first.embeddings.fingerprint


def test_a_folder_of_another_set_is_not_believed(faces, tmp_path, means):
    run(means(), faces, tmp_path / "e")
    other = means("n" * 64, scale=2.0)
    found = run(other, faces, tmp_path / "e")
    assert not found.reused
    assert found.embeddings.vectors.max() > 255


def test_pictures_of_another_size_are_counted(tmp_path, means):
    class Mixed:
        name, fingerprint = "mixed", "f" * 16
        keys = tuple("abcdef")
        labels = np.full(6, -1, dtype=np.int64)

        def __len__(self):
            return 6

        def __getitem__(self, index, /):
            side = SIZE if index % 3 else 2 * SIZE
            return Face(np.full((side, side, 3), 10 * index, np.uint8), -1, self.keys[index])

    found = run(means(), Mixed(), tmp_path / "e")
    assert found.resized == 2
    assert run(means(), Mixed(), tmp_path / "e").resized == 2
    np.testing.assert_allclose(found.embeddings.vectors[:, 0], np.arange(6) * 10.0)


def test_confidences_are_kept(faces, tmp_path, means):
    class Sure(means):
        def embed(self, images, /):
            vectors = super().embed(images).vectors
            return Features(vectors, vectors[:, :2] / 255)

    found = run(Sure(), faces, tmp_path / "e")
    np.testing.assert_array_equal(found.embeddings.confidence, found.embeddings.vectors[:, :2] / 255)
    assert run(Sure(), faces, tmp_path / "e").embeddings.confidence.shape == (COUNT, 2)


def test_reading_stays_a_few_batches_ahead(tmp_path, means):
    read, embedded, gaps = [], [], []

    class Watched:
        name, fingerprint = "watched", "f" * 16
        keys = tuple(f"{n:03d}" for n in range(200))
        labels = np.full(200, -1, dtype=np.int64)

        def __len__(self):
            return 200

        def __getitem__(self, index, /):
            raise AssertionError("asked for one by one")

        def batch(self, indices):
            read.append(len(indices))
            return np.zeros((len(indices), SIZE, SIZE, 3), np.uint8)

    class Late(means):
        def embed(self, images, /):
            time.sleep(0.002)
            gaps.append(sum(read) - sum(embedded))
            embedded.append(len(images))
            return super().embed(images)

    run(Late(), Watched(), tmp_path / "e", mirror=False, batch_size=5)
    assert sum(embedded) == 200
    assert max(gaps) <= 5 * 5  # the batch in hand, three read ahead, one more being asked for
    assert max(gaps) > 5  # and it does read ahead


# What is refused.


def bad(means, make):
    class Bad(means):
        def embed(self, images, /):
            return make(super().embed(images).vectors)

    return Bad()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda v: Features(np.where(v > 0, np.nan, v)), "NaN or infinity; are these the right weights"),
        (lambda v: Features(np.full_like(v, np.inf)), "NaN or infinity"),
        (lambda v: Features(v[:, :5]), r"vectors of shape \(4, 5\); expected \(4, 12\)"),
        (lambda v: Features(v[:2]), r"vectors of shape \(2, 12\); expected \(4, 12\)"),
        (lambda v: Features(v[:, :, None]), r"vectors of shape \(4, 12, 1\)"),
        (lambda v: Features(v, np.full((4, 1), np.nan, np.float32)), "NaN or infinity"),
        (lambda v: Features(v, v[:, 0]), r"confidences of shape \(4,\); expected \(4, K\)"),
        (lambda v: Features(v, v[:1]), r"confidences of shape \(1, 12\); expected \(4, K\)"),
    ],
)
def test_what_is_no_embedding_is_refused_at_once(faces, tmp_path, means, make, said):
    with pytest.raises(DataError, match=said):
        run(bad(means, make), faces, tmp_path / "e")
    assert not (tmp_path / "e" / "embeddings.json").exists()


def test_an_embedder_that_changes_its_mind_is_refused(faces, tmp_path, means):
    class Fickle(means):
        def embed(self, images, /):
            vectors = super().embed(images).vectors
            return Features(vectors, vectors[:, :1] if len(self.batches) > 2 else None)

    with pytest.raises(DataError, match="it must return one kind"):
        run(Fickle(), faces, tmp_path / "e")


def test_no_faces(tmp_path, means):
    class Empty:
        name = "empty"

        def __len__(self):
            return 0

    with pytest.raises(DataError, match="data set 'empty' holds no faces to embed"):
        run(means(), Empty(), tmp_path / "e")


def test_a_picture_that_cannot_be_read_ends_it(faces, tmp_path, means):
    class Torn(type(faces)):
        def batch(self, indices):
            if 9 in indices:
                raise DataError("picture 9 is cut short")
            return super().batch(indices)

    torn = Torn(faces._images, faces.labels, 0)
    with pytest.raises(DataError, match="picture 9 is cut short"):
        run(means(), torn, tmp_path / "e")


def test_a_full_disk_is_told_and_does_not_kill(faces, tmp_path, means):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, old[1]))
    try:
        with pytest.raises(FacebenchError, match=r"cannot write .*vectors.npy: File too large; set --cache"):
            run(means(), faces, tmp_path / "e")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not run(means(), faces, tmp_path / "e").reused


def test_room_is_reserved_before_rows_are_written(faces, tmp_path, means, monkeypatch):
    def full(handle, start, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(FacebenchError, match="No space left on device"):
        run(means(), faces, tmp_path / "e")


def test_a_file_system_that_reserves_nothing_will_do(faces, tmp_path, means, monkeypatch):
    def unable(handle, start, size):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert len(run(means(), faces, tmp_path / "e").embeddings.keys) == COUNT


def test_a_place_that_is_no_folder(faces, tmp_path, means):
    (tmp_path / "file").write_text("")
    with pytest.raises(FacebenchError, match="cannot make the folder"):
        run(means(), faces, tmp_path / "file" / "e")


# Interrupted and continued.


@pytest.mark.usefixtures("noted")
@pytest.mark.parametrize("batches", range(0, 12, 3))
def test_what_was_interrupted_continues_to_the_same_bytes(faces, tmp_path, means, batches):
    run(means(), faces, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Slow(means(), batches), faces, tmp_path / "e")
    assert not (tmp_path / "e" / "embeddings.json").exists()
    embedder = means()
    found = run(embedder, faces, tmp_path / "e")
    assert not found.reused
    done = batches // 2 * BATCH  # rows of which both sides were embedded
    assert sum(embedder.batches) == 2 * (COUNT - done)
    assert every(tmp_path / "e") == every(tmp_path / "whole")


def test_without_a_note_it_begins_again(faces, tmp_path, means):
    with pytest.raises(KeyboardInterrupt):
        run(Slow(means(), 6), faces, tmp_path / "e")
    embedder = means()
    run(embedder, faces, tmp_path / "e")
    assert sum(embedder.batches) == 2 * COUNT


@pytest.mark.usefixtures("noted")
def test_pictures_resized_before_the_interruption_still_count(tmp_path, means):
    large = toy_faces(num_classes=2, per_class=COUNT // 2, size=64)
    with pytest.raises(KeyboardInterrupt):
        run(Slow(means(), 6), large, tmp_path / "e")
    assert run(means(), large, tmp_path / "e").resized == COUNT


@pytest.mark.usefixtures("noted")
@pytest.mark.parametrize("name", ["vectors.npy", "mirrored.npy"])
@pytest.mark.parametrize("keep", [0, 100, 500])
def test_rows_that_were_cut_short_are_not_continued(faces, tmp_path, means, name, keep):
    run(means(), faces, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Slow(means(), 8), faces, tmp_path / "e")
    path = tmp_path / "e" / name
    path.write_bytes(path.read_bytes()[:keep])
    run(means(), faces, tmp_path / "e")
    assert every(tmp_path / "e") == every(tmp_path / "whole")


NOTES = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"name": 3}',
    '{"name": NAME}',
    '{"name": NAME, "arrays": 3, "done": 8, "resized": 0}',
    '{"name": NAME, "arrays": [], "done": 8, "resized": 0}',
    '{"name": NAME, "arrays": ["vectors", "../x"], "done": 8, "resized": 0}',
    '{"name": NAME, "arrays": ["vectors", "confidence"], "done": 8, "resized": 0}',
    '{"name": NAME, "arrays": ["mirrored", "vectors"], "done": null, "resized": 0}',
    '{"name": NAME, "arrays": ["mirrored", "vectors"], "done": -4, "resized": 0}',
    '{"name": NAME, "arrays": ["mirrored", "vectors"], "done": 1000, "resized": 0}',
]


@pytest.mark.usefixtures("noted")
@pytest.mark.parametrize("text", NOTES)
@pytest.mark.parametrize("file", ["underway.json", "embeddings.json"])
def test_a_note_that_makes_no_sense_is_not_believed(faces, tmp_path, means, text, file):
    run(means(), faces, tmp_path / "whole")
    if file == "underway.json":
        with pytest.raises(KeyboardInterrupt):
            run(Slow(means(), 6), faces, tmp_path / "e")
    else:
        run(means(), faces, tmp_path / "e")
    name = fingerprint(means(), faces, mirror=True)
    (tmp_path / "e" / file).write_text(text.replace("NAME", json.dumps(name)))
    embedder = means()
    assert not run(embedder, faces, tmp_path / "e").reused
    assert sum(embedder.batches) == 2 * COUNT
    assert every(tmp_path / "e") == every(tmp_path / "whole")
