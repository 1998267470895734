from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pytest

from facebench import DataError, DatasetMissing
from facebench.testing import check_dataset
from facebench_tinyface.opening import open_faces
from facebench_tinyface.options import TinyFaceOptions
from facebench_tinyface.sources import look

OFF = TinyFaceOptions(distractors="off")
ON = TinyFaceOptions()


def test_probes_mates_distractors_in_this_order(tiny):
    faces = open_faces(tiny.root, ON, images=True)
    check_dataset(faces)
    assert faces.keys == [
        *("Probe/1_1", "Probe/5_1", "Probe/5_2", "Probe/7_3"),
        *("Gallery_Match/1_4", "Gallery_Match/5_1", "Gallery_Match/5_9", "Gallery_Match/7_1"),
        *("Gallery_Distractor/00001", "Gallery_Distractor/00002", "Gallery_Distractor/5_1"),
    ]
    assert faces.labels.tolist() == [1, 2, 2, 3, 1, 2, 2, 3, -1, -1, -1]


def test_equal_names_in_three_folders_are_three_pictures(tiny):
    faces = open_faces(tiny.root, ON, images=True)
    shades = [
        int(faces[faces.keys.index(f"{part}/5_1")].image.mean())
        for part in ("Probe", "Gallery_Match", "Gallery_Distractor")
    ]
    assert np.diff(shades).min() > 20


def test_aligned_pictures_are_preferred_and_no_warning_is_said(tiny):
    unaligned = open_faces(tiny.root, ON, images=True)
    assert any("not aligned" in said for said in unaligned.warnings)
    tiny.pictures("aligned_pad_0.1_pad_high", side=112)
    aligned = open_faces(tiny.root, ON, images=True)
    assert aligned[0].image.shape == (112, 112, 3)
    assert not aligned.warnings
    assert aligned.fingerprint != unaligned.fingerprint


@pytest.mark.parametrize("told", ["mine", "tinyface/mine", "absolute"])
def test_a_folder_of_ones_own(tiny, told):
    tiny.pictures("mine", side=30)
    images = str(tiny.base / "mine") if told == "absolute" else told
    faces = open_faces(tiny.root, TinyFaceOptions(images=images), images=True)
    assert faces[0].image.shape == (30, 30, 3)


def test_a_tar_of_the_pictures(tiny):
    folder = open_faces(tiny.root, ON, images=True)
    with tarfile.open(tiny.base / "packed.tar", "w") as tar:
        tar.add(tiny.base / "Testing_Set", arcname="packed")
    packed = open_faces(tiny.root, TinyFaceOptions(images="packed.tar"), images=True)
    assert packed.keys == folder.keys
    assert packed.fingerprint == folder.fingerprint


@pytest.mark.parametrize(
    "folder", ["Testing_Set", "Face_Identification_Evaluation", "Testing_Set/Face_Identification_Evaluation"]
)
def test_where_lists_may_lie(bare, folder):
    bare.pictures("Testing_Set")
    bare.lists(folder=folder)
    assert look(bare.root).probes == bare.base / folder / "probe_img_ID_pairs.mat"


def test_nothing_there(bare):
    with pytest.raises(DatasetMissing, match="qmul-tinyface") as error:
        open_faces(bare.root, ON, images=True)
    assert str(bare.base / "aligned_pad_0.1_pad_high") in str(error.value)


def test_lists_missing(bare):
    bare.pictures("Testing_Set")
    with pytest.raises(DatasetMissing, match=r"Face_Identification_Evaluation/probe_img_ID_pairs\.mat"):
        open_faces(bare.root, ON, images=True)


def test_a_folder_that_is_not_there(tiny):
    with pytest.raises(DatasetMissing, match="elsewhere"):
        open_faces(tiny.root, TinyFaceOptions(images="elsewhere"), images=False)


def test_missing_distractors_are_an_error_unless_switched_off(tiny):
    shutil.rmtree(tiny.base / "Testing_Set" / "Gallery_Distractor")
    with pytest.raises(DatasetMissing, match=r"protocol\.tinyface\.distractors=off"):
        open_faces(tiny.root, ON, images=True)
    faces = open_faces(tiny.root, OFF, images=True)
    assert len(faces) == 8
    check_dataset(faces)


def test_distractors_switched_off_are_left_out(tiny):
    assert {key.partition("/")[0] for key in open_faces(tiny.root, OFF, images=True).keys} == {"Probe", "Gallery_Match"}


def test_a_listed_picture_that_is_not_there(tiny):
    (tiny.base / "Testing_Set" / "Gallery_Match" / "5_9.jpg").unlink()
    with pytest.raises(DataError, match=r"row 3: no picture 'Gallery_Match/5_9' in .* \(1 of 4 pictures are missing\)"):
        open_faces(tiny.root, ON, images=True)


def test_pictures_in_no_list_are_told(tiny):
    folder = tiny.base / "Testing_Set" / "Probe"
    shutil.copy(folder / "1_1.jpg", folder / "9_9.jpg")
    faces = open_faces(tiny.root, ON, images=True)
    assert "Probe/9_9" not in faces.keys
    assert any("1 pictures in Probe and Gallery_Match stand in no list" in said for said in faces.warnings)


def test_lists_alone_will_do_for_embeddings(bare):
    bare.lists()
    faces = open_faces(bare.root, ON, images=False)
    assert faces.distractors is None
    assert len(faces) == 8
    with pytest.raises(DataError, match="only the lists were opened"):
        faces[0]


def test_embeddings_beside_a_folder_take_its_distractors(tiny):
    faces = open_faces(tiny.root, ON, images=False)
    assert faces.distractors is not None
    assert faces.distractors.tolist() == [
        "Gallery_Distractor/00001",
        "Gallery_Distractor/00002",
        "Gallery_Distractor/5_1",
    ]


def test_the_fingerprint_is_of_pictures_and_lists(tiny):
    before = open_faces(tiny.root, ON, images=True).fingerprint
    assert open_faces(tiny.root, ON, images=True).fingerprint == before
    assert open_faces(tiny.root, OFF, images=True).fingerprint != before
    tiny.lists(probes=[("1_1.jpg", 1), ("5_2.jpg", 2), ("5_1.jpg", 2), ("7_3.jpg", 3)])
    reordered = open_faces(tiny.root, ON, images=True).fingerprint
    assert reordered != before
    tiny.pictures("Testing_Set", shade=3)
    assert open_faces(tiny.root, ON, images=True).fingerprint != reordered
