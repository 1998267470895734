"""NIST's CSV lists: the same numbers as from the release, keys by file name, and media told by name or column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, DatasetMissing, Embeddings
from facebench_ijb.options import SplitOptions, TemplateOptions
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBA, IJBC

HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,SIGHTING_ID"


def file_of(row, media):
    """Media 1 is a video, others are stills."""
    return f"frames/{media}_{row}.png" if media == 1 else f"img/{row}.jpg"


def table(made, templates, header=HEADER):
    lines = [header]
    for template, subject in zip(made.ids, made.subject_of, strict=True):
        if template in templates:
            rows = np.flatnonzero(made.template == template)
            lines += [f"{template},{subject},{file_of(row, made.media[row])},1,2,3,4,{row}" for row in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture
def nist(tmp_path, small, small_pairs):
    """The small benchmark as tests 1 and 4."""
    folder = tmp_path / "IJB-C" / "protocols"
    sets = {
        "test1/enroll_templates": small.ids[:4],
        "test1/verif_templates": small.ids[4:],
        "test4/gallery_G1": small.ids[:2],
        "test4/gallery_G2": small.ids[2:4],
        "test4/probes": small.ids[4:],
    }
    for name, templates in sets.items():
        path = folder / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table(small, templates))
    match = "\n".join(f"{first},{second}" for first, second, _ in zip(*small_pairs, strict=True))
    (folder / "test1" / "match.csv").write_text(match + "\n")
    return folder


def embeddings(made):
    keys = [file_of(row, media).rsplit(".", 1)[0] for row, media in enumerate(made.media)]
    return Embeddings(keys=np.array(keys), vectors=made.features, mirrored=made.mirrored, fingerprint="0" * 16)


def lists(root):
    return Janus(IJBC, TemplateOptions()).faces(root, images=False).lists


def test_the_same_numbers_as_from_the_release(tmp_path, nist, small, small_pairs, small_sides, write_release):
    # In the release, a media is a number; here stills are media by themselves.
    media = np.where(small.media == 1, 1, 100 + np.arange(len(small.media)))
    twin = replace(small, media=media)
    write_release(tmp_path / "other", twin, pairs=small_pairs, sides=small_sides)
    protocol = Janus(IJBC, TemplateOptions(samples=0, faceness="off"))
    one = protocol.evaluate(embeddings(small), protocol.faces(tmp_path, images=False), seed=0)
    two = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path / "other", images=False), seed=0)
    assert [(each.name, each.rule) for each in one.metrics] == [(each.name, each.rule) for each in two.metrics]
    values, others = ([each.value for each in found.metrics if each.value is not None] for found in (one, two))
    assert values == pytest.approx(others, abs=1e-9)
    np.testing.assert_allclose(one.scores["score"], two.scores["score"], atol=1e-6)
    assert one.counts == two.counts


def test_what_is_read(tmp_path, nist, small, small_pairs):
    found = lists(tmp_path)
    assert len(found.rows.keys) == 40
    np.testing.assert_array_equal(found.pairs.same, small_pairs[2])
    assert found.rows.faceness is None
    assert any("no detector scores" in said for said in found.warnings)
    assert found.subjects.tolist() == small.subject_of.tolist()


def test_a_file_with_two_people(tmp_path, nist, small):
    for name in ("test1/verif_templates", "test4/probes"):
        path = nist / f"{name}.csv"
        path.write_text(path.read_text() + "19,0,img/crowd.jpg,0,0,1,1,7\n22,1,img/crowd.jpg,0,0,1,1,8\n")
    keys = lists(tmp_path).rows.keys.tolist()
    assert {"img/crowd@0", "img/crowd@1"} <= set(keys)
    assert "img/crowd" not in keys


def test_a_picture_repeated_in_its_template_counts_once(tmp_path, nist, small):
    for name in ("test1/enroll_templates", "test4/gallery_G1"):
        path = nist / f"{name}.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, lines[1]]) + "\n")
    found = lists(tmp_path)
    assert len(found.rows.face) == 40
    assert any(said.startswith("2 lines repeat a picture") for said in found.warnings)


def test_lists_that_disagree_on_a_template(tmp_path, nist):
    path = nist / "test4" / "gallery_G1.csv"
    path.write_text(path.read_text() + "7,0,img/more.jpg,0,0,1,1,7\n")
    with pytest.raises(DataError, match=r"enroll_templates.csv: template 7 has \d+ pictures here, but"):
        lists(tmp_path)


def test_a_template_of_two_people(tmp_path, nist):
    path = nist / "test1" / "verif_templates.csv"
    lines = path.read_text().splitlines()
    fields = lines[3].split(",")
    fields[1] = str(int(fields[1]) + 1)
    path.write_text("\n".join([*lines[:3], ",".join(fields), *lines[4:]]) + "\n")
    with pytest.raises(DataError, match=r"\.csv, line \d+: template \d+ is of subject"):
        lists(tmp_path)


def test_pairs_of_unknown_templates(tmp_path, nist):
    path = nist / "test1" / "match.csv"
    path.write_text("7,19\n7,20\n")
    with pytest.raises(DataError, match=r"match.csv, line 2: template 20 has no pictures"):
        lists(tmp_path)


def test_a_header_in_the_pairs(tmp_path, nist):
    path = nist / "test1" / "match.csv"
    path.write_text("ENROLL,VERIF\n7,19\n")
    with pytest.raises(DataError, match=r"match.csv, line 1: expected whole numbers"):
        lists(tmp_path)


@pytest.mark.parametrize(("test", "left"), [("test1", "1:N"), ("test4", "1:1")])
def test_one_protocol_alone(tmp_path, nist, small, test, left):
    missing = "match.csv" if test == "test4" else "probes.csv"
    (nist / ("test1" if test == "test4" else "test4") / missing).unlink()
    protocol = Janus(IJBC, TemplateOptions())
    found = protocol.evaluate(embeddings(small), protocol.faces(tmp_path, images=False), seed=0)
    assert any(said.startswith(left) and missing in said for said in found.warnings)
    assert found.metrics


def test_the_older_names(tmp_path, small, small_pairs):
    folder = tmp_path / "IJB-C" / "protocols"
    folder.mkdir(parents=True)
    for name, templates in {
        "gallery_G1": small.ids[:2],
        "gallery_G2": small.ids[2:4],
        "probe_mixed": small.ids[4:],
    }.items():
        (folder / f"ijbc_1N_{name}.csv").write_text(table(small, templates))
    match = "".join(f"{first},{second}\n" for first, second, _ in zip(*small_pairs, strict=True))
    (folder / "ijbc_11_G1_G2_matches.csv").write_text(match)
    found = lists(tmp_path)
    assert len(found.pairs.same) == 32
    assert len(found.galleries) == 2


def test_pictures_must_have_been_aligned(tmp_path, nist):
    with pytest.raises(DatasetMissing, match=r"aligned_112x112.*protocol\.ijbc\.images=PATH"):
        Janus(IJBC, TemplateOptions()).faces(tmp_path)


@pytest.mark.parametrize("told", [True, False])
def test_aligned_pictures(tmp_path, nist, small, told):
    folder = tmp_path / ("mine" if told else "IJB-C/aligned_112x112")
    for row, media in enumerate(small.media):
        path = folder / file_of(row, media)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (112, 112), (row, 0, 0)).save(path.with_suffix(".png"))
    faces = Janus(IJBC, TemplateOptions(images="mine" if told else "")).faces(tmp_path)
    row = faces.keys.index(file_of(5, small.media[5]).rsplit(".", 1)[0])
    assert faces[row].image[0, 0, 0] == 5
    path.with_suffix(".png").unlink()
    with pytest.raises(DataError, match="1 of 40 pictures are missing"):
        Janus(IJBC, TemplateOptions(images="mine" if told else "")).faces(tmp_path)


def test_an_option_that_names_nothing(tmp_path, nist):
    with pytest.raises(DatasetMissing, match="correct the option"):
        Janus(IJBC, TemplateOptions(images="nowhere")).faces(tmp_path)


@pytest.fixture
def split_two(tmp_path, small, small_pairs):
    """IJB-A's names, with a column for media."""
    one = tmp_path / "IJB-A" / "IJB-A_11_sets" / "split2"
    many = tmp_path / "IJB-A" / "IJB-A_1N_sets" / "split2"
    one.mkdir(parents=True)
    many.mkdir(parents=True)
    header = "TEMPLATE_ID,SUBJECT_ID,FILE,MEDIA_ID,SIGHTING_ID,X,Y,Z"
    (one / "verify_metadata_2.csv").write_text(table(small, small.ids, header).replace(",1,2,3,4,", ",4,2,3,4,"))
    pairs = "".join(f"{first},{second}\r\n" for first, second, _ in zip(*small_pairs, strict=True))
    (one / "verify_comparisons_2.csv").write_bytes(pairs.encode())
    (many / "search_gallery_2.csv").write_text(table(small, small.ids[:3], header).replace(",1,2,3,4,", ",4,2,3,4,"))
    (many / "search_probe_2.csv").write_text(table(small, small.ids[4:], header).replace(",1,2,3,4,", ",4,2,3,4,"))
    return tmp_path


def test_ijba_splits_and_its_one_gallery(split_two, small):
    protocol = Janus(IJBA, SplitOptions(split=2))
    faces = protocol.faces(split_two, images=False)
    assert len(np.unique(faces.lists.rows.media)) == 1
    found = protocol.evaluate(embeddings(small), faces, seed=0)
    assert any("split 2 of ten" in said for said in found.warnings)
    names = [(one.name, one.rule) for one in found.metrics]
    assert names[0] == ("tar@far=1e-3", "reference")
    assert ("rank-1", "reference") in names
    assert ("rank-1", "joined galleries") not in names
    with pytest.raises(DatasetMissing, match="split1"):
        Janus(IJBA, SplitOptions()).faces(split_two, images=False)
