"""Pictures of the release: decoded, aligned by the five points of their line, each under its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, DatasetMissing
from facebench.images import TEMPLATE, align, decode
from facebench.testing import check_dataset
from facebench_ijb.options import TemplateOptions
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBC


@pytest.fixture
def release(tmp_path, write_release, small, small_pairs, small_sides):
    """A tiny release with real JPEG files of different sizes; picture 1 needs to be turned and halved."""
    meta = write_release(tmp_path, small, pairs=small_pairs, sides=small_sides)
    crops = meta.parent / "loose_crop"
    crops.mkdir()
    draw = np.random.default_rng(0)
    for row in range(40):
        blocks = draw.integers(0, 256, (20 + row % 3, 18, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(blocks).save(crops / f"{row + 1}.jpg", quality=95)
    points = np.array(TEMPLATE) @ [[0.0, -1.2], [1.2, 0.0]] + [10.0, 150.0]
    path = meta / "ijbc_name_5pts_score.txt"
    lines = path.read_text().splitlines()
    lines[0] = " ".join(["1.jpg", *(f"{value:.3f}" for value in points.ravel()), "0.999"])
    path.write_text("\n".join(lines) + "\n")
    return tmp_path, points


def opened(root, **changes):
    return Janus(IJBC, TemplateOptions(**changes)).faces(root)


def test_a_sound_data_set(release):
    root, _ = release
    faces = opened(root)
    check_dataset(faces)
    assert len(faces) == 40
    assert faces[7].image.shape == (112, 112, 3)
    assert "five points" in faces.aligner


def test_alignment_is_that_of_the_picture_s_own_points(release):
    root, points = release
    faces = opened(root)
    loose = decode((root / "IJBC" / "loose_crop" / "1.jpg").read_bytes(), name="1")
    np.testing.assert_array_equal(faces[faces.keys.index("1")].image, align(loose, np.round(points, 3)))
    # The list turns the face by a quarter: unturned, the crop is another.
    assert np.abs(faces[0].image.astype(int) - loose[:112, :112].astype(int)).mean() > 20


def test_labels_are_people(release, small):
    root, _ = release
    faces = opened(root)
    np.testing.assert_array_equal(faces.labels, small.subject_of[(small.template - 7) // 3])


def test_the_result_tells_the_aligner(release, small):
    root, _ = release
    protocol = Janus(IJBC, TemplateOptions(samples=0))
    found = protocol.evaluate(small.embeddings(), protocol.faces(root), seed=0)
    assert "five points" in found.rules["aligner"]
    assert (
        "by whoever"
        in protocol.evaluate(small.embeddings(), protocol.faces(root, images=False), seed=0).rules["aligner"]
    )


def test_the_fingerprint_knows_pixels_and_points(release):
    root, _ = release
    before = opened(root).fingerprint
    assert opened(root).fingerprint == before
    path = root / "IJBC" / "meta" / "ijbc_name_5pts_score.txt"
    path.write_text(path.read_text().replace("46.060", "46.061", 1))
    moved = opened(root).fingerprint
    assert moved != before
    Image.new("RGB", (90, 90)).save(root / "IJBC" / "loose_crop" / "3.jpg")
    assert opened(root).fingerprint not in (before, moved)


def test_missing_pictures(release):
    root, _ = release
    (root / "IJBC" / "loose_crop" / "5.jpg").unlink()
    (root / "IJBC" / "loose_crop" / "9.jpg").unlink()
    with pytest.raises(DataError, match=r"name_5pts_score.txt, line 5: no picture '5.jpg' in .*\(2 of 40"):
        opened(root)


def test_a_damaged_picture(release):
    root, _ = release
    path = root / "IJBC" / "loose_crop" / "5.jpg"
    path.write_bytes(path.read_bytes()[:300])
    faces = opened(root)
    with pytest.raises(DataError, match=r"loose_crop: 5: .*damaged"):
        faces[4]


def test_points_that_cannot_be_used(release):
    root, _ = release
    path = root / "IJBC" / "meta" / "ijbc_name_5pts_score.txt"
    lines = path.read_text().splitlines()
    lines[4] = "5.jpg " + "10.0 " * 10 + "0.9"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"name_5pts_score.txt, line 5: picture '5': alignment needs five points"):
        opened(root)[4]


def test_no_folder_of_pictures(release):
    root, _ = release
    (root / "IJBC" / "loose_crop").rename(root / "IJBC" / "elsewhere")
    with pytest.raises(DatasetMissing, match="loose_crop"):
        opened(root)


def test_own_aligned_pictures(release):
    root, _ = release
    faces = opened(root, images="IJBC/loose_crop")
    assert "by whoever" in faces.aligner
    assert faces[0].image.shape[1] == 144


def test_only_lists(release):
    root, _ = release
    faces = Janus(IJBC, TemplateOptions()).faces(root, images=False)
    with pytest.raises(DataError, match="only the lists were opened"):
        faces[0]
