from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError, DatasetMissing
from facebench.datasets import open_images, write_pack
from facebench.images import encode_png
from facebench_topology.opening import demo_faces


def test_a_folder_named_by_the_user(kit, folder):
    faces = kit.protocol(data="mine").faces(folder)
    assert faces.keys == sorted(faces.keys)
    assert len(faces) == 16
    assert faces.name == "mine"
    assert faces[3].key == faces.keys[3]


def test_pictures_are_needed_even_where_embeddings_are_at_hand(kit, folder):
    assert kit.protocol(data="mine").faces(folder, images=False)[0].image.shape == (112, 112, 3)


def test_lfw_is_found_by_itself(kit, folder):
    (folder / "lfw").mkdir()
    (folder / "mine").rename(folder / "lfw" / "lfw_112x112")
    assert len(kit.protocol().faces(folder)) == 16


def test_missing_data_says_where_it_looked(kit, folder):
    with pytest.raises(DatasetMissing, match=r"lfw_112x112\.tar.*protocol\.topology\.data"):
        kit.protocol().faces(folder)
    with pytest.raises(DatasetMissing, match="nowhere-to-be-found"):
        kit.protocol(data="nowhere-to-be-found").faces(folder)


def test_too_few_faces_are_told_before_anything_is_embedded(kit, folder):
    with pytest.raises(DataError, match=r"16 faces; the smallest batch of .* needs 20"):
        kit.protocol(data="mine", sizes=(30, 20)).faces(folder)


def test_a_limit_takes_the_same_faces_whatever_else_is_there(kit, folder):
    some = kit.protocol(data="mine", limit=9).faces(folder)
    assert len(some) == 9
    every = kit.protocol(data="mine", limit=100).faces(folder)
    gone = next(key for key in every.keys if key not in some.keys)
    (folder / "mine" / f"{gone}.png").unlink()
    assert kit.protocol(data="mine", limit=9).faces(folder).keys == some.keys


def test_a_pack_gives_each_picture_once(kit, images, tmp_path):
    files = [encode_png(image) for image in images[:6]]
    # Three pairs with one another, and the first picture again in each of two more.
    write_pack(tmp_path / "lfw.bin", [*files, files[0], files[1], files[0], files[5]], [True, False, True, True, False])
    assert len(open_images(tmp_path / "lfw.bin")) == 10
    faces = kit.protocol(sizes=(4,)).faces(tmp_path)
    assert len(faces) == 6
    shown = {faces[row].image.tobytes() for row in range(6)}
    assert len(shown) == 6


def test_the_drawn_faces_are_enough_for_the_usual_batches():
    faces = demo_faces()
    assert len(faces) == 520
    assert np.array_equal(np.unique(faces.labels), np.arange(130))
