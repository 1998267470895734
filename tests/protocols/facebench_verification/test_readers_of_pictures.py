"""Data sets that wrap others: aligned photographs, arrays, several as one, altered demo faces."""

from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError
from facebench.demo import DemoFaces, Nuisance
from facebench.images import TEMPLATE, align
from facebench.testing import check_dataset, toy_faces
from facebench_verification.aligned import AlignedImages, read_landmarks
from facebench_verification.altered import AlteredFaces
from facebench_verification.arrays import ArrayImages

POINTS = ",".join(f"{axis + 7:.4f}" for point in TEMPLATE for axis in point)
HEADER = "path,score," + ",".join(f"{axis}{n}" for n in range(1, 6) for axis in "xy")


def table(tmp_path, text):
    path = tmp_path / "landmarks.csv"
    path.write_text(text)
    return path


@pytest.fixture
def photographs():
    return toy_faces(num_classes=2, per_class=2, size=128)


def lines(faces):
    return "".join(f"{key}.jpg,0.9,{POINTS}\n" for key in faces.keys)


def test_photographs_are_cut_at_their_points(tmp_path, photographs):
    aligned = AlignedImages(photographs, table(tmp_path, f"{HEADER}\n{lines(photographs)}"))
    check_dataset(aligned)
    assert len(aligned) == 4
    # The points are the template's, seven pixels further right and down: the crop is a plain cut.
    assert np.array_equal(aligned[1].image, photographs[1].image[7:119, 7:119])
    assert np.array_equal(aligned[1].image, align(photographs[1].image, np.array(TEMPLATE) + 7))
    assert aligned[1].label == photographs.labels[1]


def test_points_decide_the_fingerprint(tmp_path, photographs):
    one = AlignedImages(photographs, table(tmp_path, f"{HEADER}\n{lines(photographs)}")).fingerprint
    moved = lines(photographs).replace("45.2946", "45.3946", 1)
    assert AlignedImages(photographs, table(tmp_path, f"{HEADER}\n{moved}")).fingerprint != one


def test_only_needed_pictures_need_points(tmp_path, photographs):
    wanted = photographs.keys[2]
    path = table(tmp_path, f"{HEADER}\n{wanted},1,{POINTS}\n")
    assert AlignedImages(photographs, path, needed=[wanted, "elsewhere"]).keys == [wanted]
    with pytest.raises(DataError, match=rf"landmarks.csv: no points for '{photographs.keys[0]}' \(3 of 4 pictures\)"):
        AlignedImages(photographs, path)


def test_a_table_without_names(tmp_path):
    path = table(tmp_path, "Ann/Ann_0001.jpg\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\n")
    assert read_landmarks(path) == {"Ann/Ann_0001": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER.replace(",y5", "") + "\n", "line 1: no column 'y5'"),
        (f"{HEADER}\na.jpg,1,{POINTS}\nb.jpg,1,2\n", "line 3: expected a path and five points"),
        (f"{HEADER}\na.jpg,1,{POINTS.replace('45.2946', 'nan')}\n", "line 2: expected"),
        ("a.jpg 1 2 3\n", "line 1: expected"),
    ],
)
def test_malformed_tables(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read_landmarks(table(tmp_path, text))


@pytest.mark.data
def test_the_points_of_lfw(real_data):
    points = read_landmarks(real_data / "lfw" / "lfw_deepfunneled_landmarks5.csv")
    assert len(points) == 13_233
    assert points["AJ_Cook/AJ_Cook_0001"][:2] == [104.90, 108.51]
    assert len(read_landmarks(real_data / "lfw" / "lfw_landmark.txt")) == 13_233


def arrayed(tmp_path, array, flags):
    np.save(tmp_path / "hadrian.npy", array)
    (tmp_path / "issame.txt").write_text(flags)
    return tmp_path / "hadrian.npy"


@pytest.mark.parametrize("flags", ["1\n0\n", "1.000000000000000000e+00\n0.000000000000000000e+00\n"])
def test_arrays(tmp_path, flags):
    array = np.random.default_rng(0).integers(0, 256, (4, 3, 9, 8), dtype=np.uint8)
    images = ArrayImages(arrayed(tmp_path, array, flags))
    check_dataset(images)
    assert images.same.tolist() == [True, False]
    assert np.array_equal(images[2].image, array[2].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("array", "flags", "said"),
    [
        (np.zeros((4, 3, 9, 8), np.float32), "1\n0\n", "expected uint8 \\(2N, 3, H, W\\), found float32"),
        (np.zeros((4, 9, 8, 3), np.uint8), "1\n0\n", "found uint8 \\(4, 9, 8, 3\\)"),
        (np.zeros((4, 3, 9, 8), np.uint8), "1\n", "1 pairs for the 4 pictures"),
        (np.zeros((4, 3, 9, 8), np.uint8), "1\nno\n", "issame.txt, line 2: expected 0 or 1"),
    ],
)
def test_other_arrays(tmp_path, array, flags, said):
    with pytest.raises(DataError, match=said):
        ArrayImages(arrayed(tmp_path, array, flags))


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    path = tmp_path / "hadrian.npy"
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable array"):
        ArrayImages(path)


def test_altered_faces_differ_by_the_alteration_alone():
    plain = DemoFaces(range(4), 2, first_image=3)
    same = AlteredFaces(range(4), 2, nuisance=Nuisance(), changes={}, first_image=3)
    bearded = AlteredFaces(range(4), 2, nuisance=Nuisance(), changes={"beard": 0.9, "age": 1.0}, first_image=3)
    check_dataset(bearded)
    rows = np.arange(8)
    assert same.keys == plain.keys
    assert np.array_equal(same.batch(rows), plain.batch(rows))
    assert (bearded.batch(rows) != plain.batch(rows)).any(axis=(1, 2, 3)).all()
    assert bearded.fingerprint != same.fingerprint
