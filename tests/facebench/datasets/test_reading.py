from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facebench.contracts import Face
from facebench.datasets import ImageFolder, read_batch
from facebench.errors import DataError
from facebench.images import fit_to


@pytest.fixture
def dataset(tmp_path, faces):
    return ImageFolder(faces.folder(tmp_path, {f"p{i // 5}/{i:02d}.jpg": faces.jpeg(i) for i in range(40)}))


class Together:
    """A data set that makes many faces at once."""

    name = "together"
    fingerprint = "x"
    keys = tuple("abc")
    labels = np.array([5, 6, 7])

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("must be asked for a batch")

    def batch(self, indices):
        return self.images[indices]


class Single(Together):
    batch = None

    def __getitem__(self, index):
        return Face(self.images[index], int(self.labels[index]), self.keys[index])


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_faces_come_in_the_order_asked_for(dataset, threads):
    wanted = [3, 39, 0, 0, 17, *range(20, 38)]
    if threads:
        with ThreadPoolExecutor(threads) as pool:
            batch = read_batch(dataset, wanted, size=(16, 16), pool=pool)
    else:
        batch = read_batch(dataset, np.array(wanted), size=(16, 16))
    assert batch.images.shape == (len(wanted), 16, 16, 3)
    assert batch.images.dtype == np.uint8
    assert (batch.resized, batch.unreadable) == (0, ())
    assert batch.indices.dtype == np.int64 and batch.indices.tolist() == wanted
    assert batch.labels.tolist() == [i // 5 for i in wanted]
    for row, index in zip(batch.images, wanted, strict=True):
        np.testing.assert_array_equal(row, dataset[index].image)


def test_other_sizes_are_fitted_and_counted(tmp_path, faces):
    pictures = {f"{i}.jpg": faces.jpeg(i, 16 if i % 3 else 24) for i in range(9)}
    dataset = ImageFolder(faces.folder(tmp_path, pictures))
    batch = read_batch(dataset, range(9), size=(16, 16))
    assert batch.resized == 3
    np.testing.assert_array_equal(batch.images[3], fit_to(dataset[3].image, (16, 16)))
    np.testing.assert_array_equal(batch.images[4], dataset[4].image)


def test_no_faces_are_a_batch_too(dataset):
    assert read_batch(dataset, [], size=(16, 16)).images.shape == (0, 16, 16, 3)


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor(2)])
def test_a_damaged_picture_among_others_is_named(dataset, tmp_path, pool):
    (tmp_path / "p4" / "22.jpg").write_bytes(b"\xff\xd8\xff damaged")
    with pytest.raises(DataError, match="p4/22"):
        read_batch(dataset, range(40), size=(16, 16), pool=pool)


def test_a_data_set_that_can_is_asked_for_all_at_once():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    batch = read_batch(Together(images), [2, 0], size=(16, 16))
    np.testing.assert_array_equal(batch.images, images[[2, 0]])
    assert (batch.labels.tolist(), batch.indices.tolist(), batch.resized) == ([7, 5], [2, 0], 0)
    smaller = read_batch(Together(images), [2, 0], size=(8, 8))
    np.testing.assert_array_equal(smaller.images, fit_to(images[[2, 0]], (8, 8)))
    assert smaller.resized == 2


@pytest.mark.parametrize("kind", [Together, Single])
@pytest.mark.parametrize(
    "images",
    [np.zeros((3, 16, 16, 3), np.float32), np.zeros((3, 16, 16), np.uint8), np.zeros((3, 16, 16, 4), np.uint8)],
)
def test_what_is_not_rgb_bytes_is_an_error(kind, images):
    with pytest.raises(DataError, match=r"together.*expected uint8"):
        read_batch(kind(images), [0, 1], size=(16, 16))


def damage(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"\xff\xd8\xff damaged")


def reading(dataset, wanted, threads, **more):
    if not threads:
        return read_batch(dataset, wanted, size=(16, 16), **more)
    with ThreadPoolExecutor(threads) as pool:
        return read_batch(dataset, wanted, size=(16, 16), pool=pool, **more)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_a_skipped_picture_is_replaced_by_the_next_readable_one(dataset, tmp_path, threads):
    # 15 and 16 lie on two sides of a border between tasks, 39 is the last of the batch, 0 is gone altogether.
    damage(tmp_path, "p3/15.jpg", "p3/16.jpg", "p7/39.jpg")
    (tmp_path / "p0" / "00.jpg").unlink()
    batch = reading(dataset, np.arange(40), threads, corrupt="skip")
    shown = [1, *range(1, 15), 17, 17, *range(17, 39), 1]
    assert batch.indices.tolist() == shown
    assert batch.labels.tolist() == [index // 5 for index in shown]
    assert batch.images.shape == (40, 16, 16, 3)
    for row, index in zip(batch.images, shown, strict=True):
        np.testing.assert_array_equal(row, dataset[index].image)
    assert len(batch.unreadable) == 4
    for line, (key, reason) in zip(
        batch.unreadable,
        [("p0/00", "No such file"), ("p3/15", "damaged"), ("p3/16", "damaged"), ("p7/39", "damaged")],
        strict=True,
    ):
        assert key in line and reason in line and "\n" not in line


def test_indices_handed_in_are_left_alone(dataset, tmp_path):
    damage(tmp_path, "p0/01.jpg")
    wanted = np.array([0, 1, 2, 1])
    batch = read_batch(dataset, wanted, size=(16, 16), corrupt="skip")
    assert wanted.tolist() == [0, 1, 2, 1]
    assert batch.indices.tolist() == [0, 2, 2, 0]
    assert len(batch.unreadable) == 1, "asked for twice, named once"


@pytest.mark.parametrize("threads", [0, 2])
def test_a_batch_of_which_nothing_can_be_read_is_an_error(dataset, tmp_path, threads):
    damage(tmp_path, *(f"p{index // 5}/{index:02d}.jpg" for index in range(20)))
    with pytest.raises(DataError, match=r"none of 20 pictures can be read; the first: .*p0/00.*damaged"):
        reading(dataset, range(20), threads, corrupt="skip")
    assert read_batch(dataset, [], size=(16, 16), corrupt="skip").unreadable == ()


def test_a_skipped_picture_does_not_count_as_resized(tmp_path, faces):
    dataset = ImageFolder(faces.folder(tmp_path, {f"{i}.jpg": faces.jpeg(i, 24) for i in range(4)}))
    damage(tmp_path, "2.jpg")
    batch = read_batch(dataset, range(4), size=(16, 16), corrupt="skip")
    assert (batch.resized, batch.indices.tolist()) == (3, [0, 1, 3, 3])


class Spotted(Single):
    """One face cannot be read; all of them at once cannot either."""

    def __init__(self, images, error, together=True):
        super().__init__(images)
        self.error = error
        self.batch = self.refuse if together else None

    def refuse(self, indices):
        raise self.error

    def __getitem__(self, index):
        if index == 1:
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize(
    "error",
    [DataError("damaged face"), DataError("damaged\nface"), DataError("here: b: damaged face"), OSError("disk")],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_data_set_that_reads_many_is_asked_one_by_one_for_what_it_refuses(error, together):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    dataset = Spotted(images, error, together)
    batch = read_batch(dataset, [0, 1, 2], size=(16, 16), corrupt="skip")
    np.testing.assert_array_equal(batch.images, images[[0, 2, 2]])
    assert batch.labels.tolist() == [5, 7, 7]
    (line,) = batch.unreadable
    assert line.split(": ")[-2:] == ["b", "damaged face"] or line.endswith("b: cannot read the picture: disk")
    assert line.count("b: ") == 1
    with pytest.raises(type(error) if together else DataError, match=str(error)):
        read_batch(dataset, [0, 1, 2], size=(16, 16))


def test_a_failing_disk_is_told_with_the_picture():
    images = np.zeros((3, 16, 16, 3), np.uint8)
    with pytest.raises(DataError, match=r"together: b: cannot read the picture: Input/output error"):
        read_batch(Spotted(images, OSError(5, "Input/output error"), together=False), [0, 1], size=(16, 16))


def test_a_bug_of_a_data_set_is_not_skipped():
    dataset = Spotted(np.zeros((3, 16, 16, 3), np.uint8), KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        read_batch(dataset, [0, 1], size=(16, 16), corrupt="skip")
