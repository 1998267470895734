from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facebench.datasets import PackImages, TarImages, open_images, read_batch

pytestmark = pytest.mark.data


def test_every_picture_of_lfw_decodes(real_data):
    dataset = TarImages(real_data / "lfw" / "lfw_112x112.tar")
    assert (len(dataset), dataset.num_classes) == (7701, 4281)
    assert "Abel_Pacheco/Abel_Pacheco_0001" in dataset.keys
    resized = 0
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(dataset), 512):
            wanted = range(start, min(start + 512, len(dataset)))
            resized += read_batch(dataset, wanted, size=(112, 112), pool=pool).resized
    assert resized == 0


def test_the_pack_holds_the_pictures_of_the_first_fold(real_data):
    pack = PackImages(real_data / "lfw" / "lfw_fold1.bin")
    tar = TarImages(real_data / "lfw" / "lfw_112x112.tar")
    place = {key: index for index, key in enumerate(tar.keys)}
    lines = (real_data / "lfw" / "pairs.txt").read_text(encoding="utf-8").splitlines()[1:601]
    wanted, same = [], []
    for line in lines:
        fields = line.split()
        first = fields[:2]
        second = [fields[0], fields[2]] if len(fields) == 3 else fields[2:]
        wanted += [f"{name}/{name}_{int(number):04d}" for name, number in (first, second)]
        same.append(len(fields) == 3)
    assert pack.same.tolist() == same
    assert len(pack) == 1200
    assert [pack.encoded(i) for i in range(1200)] == [tar.encoded(place[key]) for key in wanted]


def test_the_training_list_finds_its_tar(real_data):
    dataset = open_images(real_data / "train" / "lfw_train_list.csv")
    assert (len(dataset), dataset.num_classes) == (4202, 423)
    # Its labels number the sorted names, as a folder would: the same data set either way.
    assert dataset.fingerprint == open_images(real_data / "train" / "lfw_train_112x112.tar").fingerprint


def test_grey_faces_of_another_size_are_read_and_counted(real_data):
    dataset = open_images(real_data / "train" / "orl_faces.tar")
    assert (len(dataset), dataset.num_classes) == (400, 40)
    batch = read_batch(dataset, range(400), size=(112, 112))
    assert batch.resized == 400
    assert (batch.images[..., 0] == batch.images[..., 2]).all()
    assert dataset[0].image.shape == (112, 92, 3)
    assert np.bincount(dataset.labels).tolist() == [10] * 40
