from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facebench import DataError
from facebench.datasets import ImageFolder, PackImages, write_pack
from facebench.testing import check_dataset
from facebench_verification.faces import PairFaces
from facebench_verification.pairs import read_pairs
from facebench_verification.sources import pairs_of_pack

TEXT = "Ann 1 2\nBob 1 2\nAnn 1 Bob 2\nBob 1 Cid 1\n"


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in ("Ann_0001", "Ann_0002", "Ann_0003", "Bob_0001", "Bob_0002", "Cid_0001", "Dan_0001"):
        path = tmp_path / "images" / name[:3] / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def test_faces_are_those_of_the_list_each_once(listed, folder):
    source = ImageFolder(folder)
    faces = PairFaces("x", read_pairs(listed), source, listed_in=listed)
    check_dataset(faces)
    assert faces.keys == ["Ann/Ann_0001", "Ann/Ann_0002", "Bob/Bob_0001", "Bob/Bob_0002", "Cid/Cid_0001"]
    assert faces.labels.tolist() == [0, 0, 1, 1, 2]
    for place, key in enumerate(faces.keys):
        np.testing.assert_array_equal(faces[place].image, source[source.keys.index(key)].image)
    keys = np.array(faces.keys)
    assert keys[faces.first].tolist() == read_pairs(listed).first.tolist()
    assert keys[faces.second].tolist() == read_pairs(listed).second.tolist()
    assert not hasattr(faces, "batch")  # a folder has none


def test_keys_are_made_once(listed, folder):
    """They are asked for at every picture: a list made anew each time takes minutes over a few thousand."""
    faces = PairFaces("x", read_pairs(listed), ImageFolder(folder), listed_in=listed)
    assert faces.keys is faces.keys


def test_an_absent_picture_is_named_with_file_and_line(listed, folder):
    (folder / "Bob" / "Bob_0002.png").unlink()
    (folder / "Cid" / "Cid_0001.png").unlink()
    with pytest.raises(DataError) as error:
        PairFaces("x", read_pairs(listed), ImageFolder(folder), listed_in=listed)
    assert str(error.value) == (f"{listed}, line 2: no picture 'Bob/Bob_0002' in images (2 of 5 pictures are missing)")


def test_lists_alone_have_no_pictures(listed):
    faces = PairFaces("x", read_pairs(listed), None, listed_in=listed)
    assert len(faces) == 5
    with pytest.raises(DataError, match="only the lists were opened, there are no pictures to embed"):
        faces[0]


def test_nobody_known_has_no_label(tmp_path):
    (tmp_path / "p.txt").write_text("a b 1\nc d 0\n")
    faces = PairFaces("x", read_pairs(tmp_path / "p.txt"), None, listed_in="p")
    assert faces.labels.tolist() == [-1] * 4


def test_the_fingerprint_covers_everything_that_decides_a_number(listed, folder):
    pairs, source = read_pairs(listed), ImageFolder(folder)

    def name(pairs, source=source):
        return PairFaces("x", pairs, source, listed_in=listed).fingerprint

    turned = pairs.same.copy()
    turned[0] = not turned[0]
    backwards = slice(None, None, -1)
    names = [
        name(pairs),
        name(pairs, None),
        name(replace(pairs, same=turned)),
        name(replace(pairs, first=pairs.second, second=pairs.first)),
        name(replace(pairs, first=pairs.first[backwards], second=pairs.second[backwards], same=pairs.same[backwards])),
        name(replace(pairs, folds=2)),
        name(replace(pairs, folds=4)),
        name(replace(pairs, subjects=None)),
        name(replace(pairs, subjects=(pairs.subjects[1], pairs.subjects[0]))),
    ]
    assert len(set(names)) == len(names)
    assert name(pairs) == name(read_pairs(listed), ImageFolder(folder))
    first = folder / "Ann" / "Ann_0001.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(first)
    assert name(pairs, ImageFolder(folder)) != names[0]


def test_keys_that_run_together_are_told_apart(tmp_path):
    names = set()
    for text in ("a b 1\nb cx 0\n".replace("a b", "a bc"), "a bcx 1\nb d 0\n", "a x 1\nbc d 0\n", "a cx 1\nb d 0\n"):
        (tmp_path / "p.txt").write_text(text)
        names.add(PairFaces("x", read_pairs(tmp_path / "p.txt"), None, listed_in="p").fingerprint)
    assert len(names) == 4


# Packs.


def encoded(count, tmp_path):
    random = np.random.default_rng(5)
    files = []
    for number in range(count):
        path = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
        files.append(path.read_bytes())
    return files


def test_repeated_pictures_of_a_pack_are_one_face(tmp_path):
    a, b, c = encoded(3, tmp_path)
    write_pack(tmp_path / "x.bin", [a, b, a, c, b, c, a, b], [True, False, False, True])
    pack = PackImages(tmp_path / "x.bin")
    pairs = pairs_of_pack(pack)
    assert pairs.first.tolist() == ["0000000", "0000000", "0000001", "0000000"]
    assert pairs.second.tolist() == ["0000001", "0000003", "0000003", "0000001"]
    assert pairs.same.tolist() == [True, False, False, True]
    assert (pairs.subjects, pairs.folds) == (None, None)
    faces = PairFaces("x", pairs, pack, listed_in="x.bin")
    check_dataset(faces)
    assert len(faces) == 3
    for place, key in enumerate(faces.keys):
        np.testing.assert_array_equal(faces[place].image, pack[int(key)].image)
