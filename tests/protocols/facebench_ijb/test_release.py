"""InsightFace's lists: read whole, compared line by line, every inconsistency told with file and line."""

from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError, DatasetMissing
from facebench_ijb.options import TemplateOptions
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBC


@pytest.fixture
def meta(tmp_path, write_release, small, small_pairs, small_sides):
    return write_release(tmp_path, small, pairs=small_pairs, sides=small_sides)


def lists(root, **changes):
    return Janus(IJBC, TemplateOptions(**changes)).faces(root, images=False).lists


def change(path, number, old, new):
    """Changes one line of a file; a new of None drops it."""
    lines = path.read_text().splitlines()
    assert old in lines[number - 1]
    lines[number - 1 : number] = [] if new is None else [lines[number - 1].replace(old, new, 1)]
    path.write_text("\n".join(lines) + "\n")


def test_everything_is_read(tmp_path, meta, small, small_pairs):
    found = lists(tmp_path)
    assert found.rows.keys.tolist() == [str(row + 1) for row in range(40)]
    np.testing.assert_array_equal(found.rows.ids, small.ids)
    np.testing.assert_array_equal(found.rows.ids[found.rows.template], small.template)
    np.testing.assert_array_equal(found.rows.media, small.media)
    np.testing.assert_array_equal(found.rows.faceness, small.faceness)
    np.testing.assert_array_equal(found.rows.ids[found.pairs.first], small_pairs[0])
    np.testing.assert_array_equal(found.pairs.same, small_pairs[2])
    assert [(side.name, side.subjects.tolist()) for side in found.galleries] == [("G1", [0, 1]), ("G2", [2, 3])]
    assert found.probes.subjects.tolist() == [0, 1, 2, 3] * 2
    assert found.warnings == ()
    assert found.contradictions == 0


@pytest.mark.parametrize("folder", ["IJBC", "ijbc", "IJB-C", "IJB_release/IJBC", "ijb/IJBC"])
def test_where_it_may_lie(tmp_path, write_release, small, small_pairs, folder):
    write_release(tmp_path, small, pairs=small_pairs, folder=folder)
    assert len(lists(tmp_path).rows.keys) == 40


def test_the_root_may_be_the_folder_itself(tmp_path, meta):
    assert len(lists(meta.parent).rows.keys) == 40


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetMissing) as error:
        lists(tmp_path)
    assert str(tmp_path / "IJBC" / "meta" / "ijbc_face_tid_mid.txt") in str(error.value)
    assert str(tmp_path / "IJB-C" / "protocols" / "test1" / "enroll_templates.csv") in str(error.value)
    assert "NIST" in str(error.value)


CASES = [
    ("face_tid_mid", 3, "3.jpg", "9999.jpg", "name_5pts_score.txt, line 3: picture '3.jpg', but ijbc_face_tid_mid.txt has '9999.jpg'"),
    ("face_tid_mid", 40, "40.jpg", None, "face_tid_mid.txt, line 40: the list ends, but the other one goes on"),
    ("name_5pts_score", 40, "40.jpg", None, "name_5pts_score.txt, line 40: the list ends"),
    ("face_tid_mid", 2, "2.jpg ", "2.jpg x", "face_tid_mid.txt, line 2: template must be a whole number"),
    ("face_tid_mid", 2, "2.jpg", "2.jpg 5", "face_tid_mid.txt, line 2: expected 3 fields, found 4"),
    ("face_tid_mid", 2, "2.jpg ", "2.jpg -", "face_tid_mid.txt, line 2: template -"),
    ("name_5pts_score", 7, "62.026", "nan", "name_5pts_score.txt, line 7: y1 must be a finite number"),
    ("name_5pts_score", 7, " 62.026", "", "name_5pts_score.txt, line 7: expected 12 fields, found 11"),
    ("name_5pts_score", 7, "98.648 ", "98.648 -", "name_5pts_score.txt, line 7: the detector score is -"),
    ("template_pair_label", 6, " 0", " 2", "template_pair_label.txt, line 6: the label must be 0 or 1, found 2"),
    ("template_pair_label", 6, " 0", "", "template_pair_label.txt, line 6: expected 3 whole numbers"),
    ("template_pair_label", 5, "7 ", "8 ", "template_pair_label.txt, line 5: template 8 has no pictures in ijbc_face_tid_mid.txt"),
    ("template_pair_label", 5, "7 ", "70000007 ", "template_pair_label.txt, line 5: template 70000007 has no pictures"),
    ("1N_gallery_G1", 2, "7,0", "8,0", "1N_gallery_G1.csv, line 2: template 8 has no pictures"),
    ("1N_gallery_G1", 2, "7,0", "7,x", "1N_gallery_G1.csv, line 2: subject must be a whole number"),
    ("1N_gallery_G1", 2, "7,0", "7,1", "subject 0 here and of subject 1 before"),
    ("1N_probe_mixed", 3, ",img", "", "1N_probe_mixed.csv, line 3: expected 3 fields, found 2"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "number", "old", "new", "said"), CASES)
def test_inconsistent_files(tmp_path, meta, file, number, old, new, said):
    suffix = "csv" if file.startswith("1N") else "txt"
    change(meta / f"ijbc_{file}.{suffix}", number, old, new)
    with pytest.raises(DataError) as error:
        lists(tmp_path)
    assert said in str(error.value)


def test_a_picture_listed_twice(tmp_path, meta):
    for name in ("face_tid_mid", "name_5pts_score"):
        change(meta / f"ijbc_{name}.txt", 9, "9.jpg", "4.jpg")
    with pytest.raises(DataError, match=r"face_tid_mid.txt, line 9: picture '4' stands in the list twice"):
        lists(tmp_path)


@pytest.mark.parametrize("name", ["../9.jpg", "/etc/9.jpg", "a/../../9.jpg"])
def test_a_picture_outside_the_folder(tmp_path, meta, name):
    for file in ("face_tid_mid", "name_5pts_score"):
        change(meta / f"ijbc_{file}.txt", 9, "9.jpg", name)
    with pytest.raises(DataError, match=r"face_tid_mid.txt, line 9: .* points outside"):
        lists(tmp_path)


def test_two_templates_of_one_person_in_a_gallery(tmp_path, meta, small):
    path = meta / "ijbc_1N_gallery_G1.csv"
    path.write_text(path.read_text() + f"{small.ids[4]},0,img/x.jpg\n")
    with pytest.raises(DataError, match=r"gallery_G1.csv: subject 0 has several templates in one gallery, 7 and 19"):
        lists(tmp_path)


def test_a_header_of_other_words(tmp_path, meta):
    change(meta / "ijbc_1N_gallery_G2.csv", 1, "TEMPLATE_ID,SUBJECT_ID", "tid,sid")
    assert lists(tmp_path).galleries[1].subjects.tolist() == [2, 3]


@pytest.mark.parametrize("missing", ["gallery_G1", "gallery_G2", "probe_mixed"])
def test_without_search_lists_only_verification(tmp_path, meta, small, missing):
    (meta / f"ijbc_1N_{missing}.csv").unlink()
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert any(f"1:N identification is left out: ijbc_1N_{missing}.csv" in said for said in found.warnings)
    assert {one.name.split("@")[0] for one in found.metrics} == {"tar", "eer", "auc"}
    assert "tpir@fpir" not in found.rules


def test_without_pairs_only_identification(tmp_path, meta, small):
    (meta / "ijbc_template_pair_label.txt").unlink()
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert any("1:1 verification is left out: ijbc_template_pair_label.txt" in said for said in found.warnings)
    assert found.metrics[0].name == "rank-1"
    assert len(set(map(len, found.scores.values()))) == 1


def test_without_both(tmp_path, meta):
    (meta / "ijbc_template_pair_label.txt").unlink()
    (meta / "ijbc_1N_probe_mixed.csv").unlink()
    with pytest.raises(DatasetMissing, match=r"ijbc_template_pair_label\.txt"):
        lists(tmp_path)


def test_without_detector_scores(tmp_path, meta, small):
    (meta / "ijbc_name_5pts_score.txt").unlink()
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert any("faceness is not used" in said for said in found.warnings)
    assert "the lists have none" in found.rules["faceness"]
    with pytest.raises(DatasetMissing, match="name_5pts_score"):
        (tmp_path / "IJBC" / "loose_crop").mkdir()
        protocol.faces(tmp_path)


def test_subjects_follow_from_genuine_pairs(tmp_path, write_release, small, small_pairs):
    write_release(tmp_path, small, pairs=small_pairs)
    found = lists(tmp_path).subjects
    assert len(np.unique(found)) == 4
    assert len(np.unique(np.stack([found, small.subject_of]), axis=1).T) == 4


def test_labels_that_contradict_the_subjects(tmp_path, meta, small):
    change(meta / "ijbc_template_pair_label.txt", 1, "19 1", "19 0")
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert any("1 pairs are labelled otherwise" in said for said in found.warnings)


def test_lists_of_other_size_are_told(tmp_path, meta, small):
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert "these lists have 40 pictures, the published ones 469,375: not comparable" in found.warnings


def test_the_fingerprint_knows_the_lists(tmp_path, meta):
    before = Janus(IJBC, TemplateOptions()).faces(tmp_path, images=False).fingerprint
    assert Janus(IJBC, TemplateOptions()).faces(tmp_path, images=False).fingerprint == before
    change(meta / "ijbc_template_pair_label.txt", 1, "19 1", "19 0")
    assert Janus(IJBC, TemplateOptions()).faces(tmp_path, images=False).fingerprint != before
