from __future__ import annotations

import numpy as np
import pytest

from facebench.contracts import Face, FaceDataset
from facebench.datasets import ImageFolder
from facebench.errors import DataError
from facebench.images import decode


def test_keys_labels_and_order_follow_the_names(tmp_path, faces, members):
    dataset = ImageFolder(faces.folder(tmp_path / "set", members))
    assert list(dataset.keys) == ["ann/a", "ann/b", "ann-marie/c", "loose", "zoe/zoe_10", "zoe/zoe_2"]
    assert dataset.labels.tolist() == [0, 0, 1, -1, 2, 2]
    assert (dataset.name, len(dataset), dataset.num_classes) == ("set", 6, 3)
    assert isinstance(dataset, FaceDataset)


def test_a_face_is_its_file(tmp_path, faces, members):
    dataset = ImageFolder(faces.folder(tmp_path, members))
    face = dataset[4]
    assert isinstance(face, Face)
    assert (face.key, face.label) == ("zoe/zoe_10", 2)
    np.testing.assert_array_equal(face.image, decode(members["zoe/zoe_10.jpg"], name="x"))
    assert [f.key for f in dataset] == list(dataset.keys)
    with pytest.raises(IndexError):
        dataset[6]


def test_a_wrapping_folder_called_images_is_not_part_of_the_key(tmp_path, faces, members):
    plain = ImageFolder(faces.folder(tmp_path / "a", members))
    wrapped = ImageFolder(faces.folder(tmp_path / "b", {f"images/{name}": data for name, data in members.items()}))
    assert wrapped.keys == plain.keys
    assert wrapped.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(wrapped[2].image, plain[2].image)


def test_a_single_person_keeps_the_folder_in_the_key(tmp_path, faces):
    dataset = ImageFolder(faces.folder(tmp_path, {"ann/1.jpg": faces.jpeg(0)}))
    assert dataset.keys == ["ann/1"]
    assert dataset.labels.tolist() == [0]


def test_other_and_hidden_files_are_passed_over(tmp_path, faces, members):
    extra = {"README.txt": b"x", "ann/._a.jpg": b"x", ".cache/z.jpg": b"x", "__MACOSX/a.jpg": b"x", "ann/.jpg": b"x"}
    assert len(ImageFolder(faces.folder(tmp_path, members | extra))) == len(members)


def test_two_extensions_of_one_name_are_an_error(tmp_path, faces):
    faces.folder(tmp_path, {"ann/a.jpg": faces.jpeg(0), "ann/a.png": faces.jpeg(1)})
    with pytest.raises(DataError, match="two pictures have the key 'ann/a'"):
        ImageFolder(tmp_path)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="no pictures found"):
        ImageFolder(tmp_path)


def test_a_damaged_picture_is_named_when_it_is_read(tmp_path, faces, members):
    members["zoe/zoe_2.jpg"] = members["zoe/zoe_2.jpg"][:200]
    dataset = ImageFolder(faces.folder(tmp_path, members))
    with pytest.raises(DataError, match=rf"{tmp_path}: zoe/zoe_2"):
        dataset[5]


def test_a_picture_that_vanished_is_an_error(tmp_path, faces, members):
    dataset = ImageFolder(faces.folder(tmp_path, members))
    (tmp_path / "loose.jpg").unlink()
    with pytest.raises(DataError, match=r"loose\.jpg: cannot read"):
        dataset[3]


def test_links_are_followed_but_not_in_circles(tmp_path, faces, members):
    faces.folder(tmp_path / "real", members)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "real" / "ann")
    assert ImageFolder(tmp_path / "set").keys == ["linked/a", "linked/b"]
    (tmp_path / "set" / "linked2").symlink_to(tmp_path / "set")
    with pytest.raises(DataError, match="point upwards"):
        ImageFolder(tmp_path / "set")


def test_the_fingerprint_hears_every_change(tmp_path, faces, members):
    found = {ImageFolder(faces.folder(tmp_path / "0", members)).fingerprint}
    changed = dict(members) | {"loose.jpg": members["loose.jpg"] + b"\0"}
    found.add(ImageFolder(faces.folder(tmp_path / "1", changed)).fingerprint)
    renamed = dict(members)
    renamed["ann/z.jpg"] = renamed.pop("ann/a.jpeg")
    found.add(ImageFolder(faces.folder(tmp_path / "2", renamed)).fingerprint)
    swapped = dict(members) | {"zoe/zoe_2.jpg": members["zoe/zoe_10.jpg"], "zoe/zoe_10.jpg": members["zoe/zoe_2.jpg"]}
    found.add(ImageFolder(faces.folder(tmp_path / "3", swapped)).fingerprint)
    assert len(found) == 4
    assert ImageFolder(faces.folder(tmp_path / "4", members)).fingerprint in found
