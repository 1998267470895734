from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest

from facebench.errors import DataError
from facebench.loading import read_ahead
from facebench.testing import ToyFaces, toy_faces


class Watched(ToyFaces):
    """Counts what was asked of it."""

    def __init__(self, faces, broken=()):
        super().__init__(faces.batch(np.arange(len(faces))), faces.labels, 0)
        self.asked = []
        self.broken = broken

    def batch(self, indices):
        self.asked.append(list(indices))
        if set(indices) & set(self.broken):
            raise DataError("broken face")
        return super().batch(indices)


PARTS = [np.arange(start, start + 4) for start in range(0, 32, 4)]


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_batches_come_in_order(workers):
    faces = toy_faces()
    found = [batch.images for batch in read_ahead(faces, PARTS, size=(112, 112), workers=workers)]
    assert len(found) == 8
    for images, part in zip(found, PARTS, strict=True):
        assert np.array_equal(images, faces.batch(part))


def test_only_a_few_batches_wait_to_be_taken():
    faces = Watched(toy_faces())
    with closing(read_ahead(faces, iter(PARTS), size=(112, 112), workers=1)) as batches:
        next(batches)
        assert len(faces.asked) <= 4
    assert len(faces.asked) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "read-ahead"))]


def test_an_error_comes_where_its_batch_would_have():
    batches = read_ahead(Watched(toy_faces(), broken=[9]), PARTS, size=(112, 112), workers=1)
    next(batches), next(batches)
    with pytest.raises(DataError, match="broken face"):
        next(batches)


def test_pictures_of_another_size_are_counted():
    batches = read_ahead(toy_faces(size=64), PARTS[:1], size=(112, 112), workers=1)
    batch = next(batches)
    assert batch.images.shape == (4, 112, 112, 3) and batch.resized == 4
    batches.close()


def test_what_cannot_be_read_is_skipped_on_demand():
    """The same batches whatever the number of threads, of the same size, and every replaced face is named."""

    class Spotted(ToyFaces):
        def __getitem__(self, index):
            if index in (9, 10, 31):
                raise DataError(f"face {self.keys[index]} is damaged")
            return super().__getitem__(index)

        def batch(self, indices):
            return np.stack([self[int(index)].image for index in indices])

    toys = toy_faces()
    faces = Spotted(toys.batch(np.arange(len(toys))), toys.labels, 0)
    for workers in (1, 3):
        batches = list(read_ahead(faces, PARTS, size=(112, 112), workers=workers, corrupt="skip"))
        assert [batch.indices.tolist() for batch in batches] == [
            *(part.tolist() for part in PARTS[:2]),
            [8, 11, 11, 11],
            *(part.tolist() for part in PARTS[3:7]),
            [28, 29, 30, 28],
        ]
        assert [len(batch.unreadable) for batch in batches] == [0, 0, 2, 0, 0, 0, 0, 1]
        for batch in batches:
            assert np.array_equal(batch.images, toys.batch(batch.indices))
            assert np.array_equal(batch.labels, toys.labels[batch.indices])
