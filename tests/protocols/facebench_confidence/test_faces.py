from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, DatasetMissing
from facebench.datasets import open_images, write_pack
from facebench.images import encode_png
from facebench.testing import check_dataset


def test_every_face_stands_at_every_level(kit):
    faces = kit.protocol(blur=(2, 4.5), occlusion=(8,), faces=10).faces(None)
    names = ("clean", "blur-2", "blur-4.5", "occlusion-8")
    assert len(faces) == 40
    assert faces.keys == [f"{name}/{key}" for key in faces.source.keys for name in names]
    assert faces.labels.tolist() == np.repeat(faces.source.labels, 4).tolist()
    check_dataset(faces)


def test_one_by_one_and_together_are_the_same_pictures(kit):
    faces = kit.protocol(blur=(2, 4.5), occlusion=(8,), faces=5).faces(None)
    order = np.random.default_rng(0).permutation(len(faces))[:11]
    together = faces.batch(order)
    for image, row in zip(together, order.tolist(), strict=True):
        assert np.array_equal(image, faces[row].image)
        assert faces[row].key == faces.keys[row]
    assert np.array_equal(faces[-1].image, faces[len(faces) - 1].image)
    with pytest.raises(IndexError):
        faces[len(faces)]


def test_demo_people_are_nobody_that_trainers_see(kit):
    faces = kit.protocol(faces=500).faces(None)
    people = {int(key.split("/")[1]) for key in faces.keys}
    assert len(people) == 100
    assert min(people) >= 5_000_000
    assert len(faces) == 200 * 12


def test_fingerprints_follow_what_decides_the_pixels(kit, root):
    def of(data=None, **options):
        return kit.protocol(**options).faces(data).fingerprint

    assert of() == of()
    others = [of(blur=(1, 2)), of(occlusion=(4,)), of(seed=1), of(faces=23), of(root, images="mine")]
    assert len({of(), *others}) == 1 + len(others)
    before = of(root, images="mine")
    Image.fromarray(kit.textured(1, seed=9)[0]).save(root / "mine" / "who0" / "00.png")
    assert of(root, images="mine") != before


def test_a_folder_and_its_tar_hold_the_same(kit, root):
    with tarfile.open(root / "mine.tar", "w") as tar:
        tar.add(root / "mine", arcname=".")
    folder, tar = (kit.protocol(images=name).faces(root) for name in ("mine", "mine.tar"))
    assert folder.keys == tar.keys
    assert folder.fingerprint == tar.fingerprint
    assert np.array_equal(folder[5].image, tar[5].image)
    check_dataset(folder)


def test_a_list(kit, root):
    rows = [f"mine/who{place % 4}/{place:02d}.png,{place % 4}" for place in range(6)]
    (root / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    faces = kit.protocol(images="list.csv").faces(root)
    assert len(faces.source) == 6
    assert faces.keys[0].startswith("clean/mine/who0/")


def test_a_sample_is_the_same_in_any_company(kit, root):
    some = kit.protocol(images="mine", faces=6).faces(root)
    assert len(some.source) == 6
    assert some.source.keys == sorted(some.source.keys)
    gone = next(key for key in open_images(root / "mine").keys if key not in some.source.keys)
    (root / "mine" / f"{gone}.png").unlink()
    again = kit.protocol(images="mine", faces=6).faces(root)
    assert again.keys == some.keys
    assert again.fingerprint == some.fingerprint
    assert kit.protocol(images="mine", faces=6, seed=5).faces(root).keys != some.keys


def test_only_the_sample_is_read_to_know_it(kit, root):
    some = kit.protocol(images="mine", faces=6).faces(root)
    for key in set(open_images(root / "mine").keys) - set(some.source.keys):
        (root / "mine" / f"{key}.png").write_bytes(b"damaged")
    assert kit.protocol(images="mine", faces=6).faces(root).fingerprint == some.fingerprint


def test_lfw_is_found_by_itself(kit, root):
    (root / "lfw").mkdir()
    shutil.move(root / "mine", root / "lfw" / "lfw_112x112")
    assert len(kit.protocol().faces(root).source) == 12


def test_a_pack_gives_each_picture_once(kit, tmp_path):
    files = [encode_png(image) for image in kit.textured(4)]
    write_pack(tmp_path / "lfw.bin", [*files, files[0], files[1]], [True, False, True])
    faces = kit.protocol().faces(tmp_path)
    assert len(faces.source) == 4
    assert (faces.labels == -1).all()


def test_what_is_missing_or_too_little_is_told(kit, root):
    with pytest.raises(DatasetMissing, match=r"lfw_112x112\.tar.*protocol\.confidence\.images"):
        kit.protocol().faces(root)
    with pytest.raises(DatasetMissing, match="nowhere"):
        kit.protocol(images="nowhere").faces(root)
    (root / "few").mkdir()
    for place in range(3):
        shutil.copy(root / "mine" / "who0" / "00.png", root / "few" / f"{place}.png")
    with pytest.raises(DataError, match=r"1 different pictures; this protocol needs at least 3"):
        kit.protocol(images="few").faces(root)
