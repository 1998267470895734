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
    assert batch.resized == 0
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
    assert (batch.labels.tolist(), batch.resized) == ([7, 5], 0)
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
