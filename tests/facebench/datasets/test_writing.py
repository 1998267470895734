from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from facebench.datasets import ImageFolder, TarImages, writing
from facebench.datasets.preview import SheetRow, draw_sheet
from facebench.datasets.writing import encode, write_folder, write_tar
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.images import decode

NAMES = ["000000/000.png", "000000/001.png", "000001/000.png", "000001/001.png"]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 24, 16, 3), dtype=np.uint8)


def test_png_loses_nothing_and_jpeg_little(images):
    smooth = np.sort(images, axis=1)
    for encoding, most in (("png", 0), ("jpeg", 12)):
        with ThreadPoolExecutor(3) as pool:
            encoded = encode(smooth, encoding, pool=pool)
        assert encoded == encode(smooth, encoding)
        for data, image in zip(encoded, smooth, strict=True):
            gap = np.abs(decode(data, name="x").astype(int) - image)
            assert gap.mean() <= most
    assert len(encode(images, "jpeg", quality=50)[0]) < len(encode(images, "jpeg", quality=95)[0])


def test_jpeg_keeps_colour_at_full_resolution(images):
    with Image.open(io.BytesIO(encode(images, "jpeg", quality=90)[0])) as picture:
        assert {layer[1:3] for layer in picture.layer} == {(1, 1)}


def test_an_encoding_that_is_none_is_refused(images):
    with pytest.raises(ConfigError, match="unknown encoding 'gif' of pictures; it must be one of: jpeg, png"):
        encode(images, "gif")


def test_folder_and_tar_of_a_block_are_one_data_set(tmp_path, images):
    files = encode(images, "png")
    write_folder(tmp_path / "set" / "images", NAMES, files)
    with ThreadPoolExecutor(2) as pool:
        write_folder(tmp_path / "other", NAMES, files, pool=pool)
    write_tar(tmp_path / "set.tar", NAMES, files)
    folder, archive = ImageFolder(tmp_path / "set"), TarImages(tmp_path / "set.tar")
    assert folder.keys == archive.keys == ["000000/000", "000000/001", "000001/000", "000001/001"]
    assert folder.labels.tolist() == archive.labels.tolist() == [0, 0, 1, 1]
    assert folder.fingerprint == archive.fingerprint == ImageFolder(tmp_path / "other").fingerprint
    np.testing.assert_array_equal([face.image for face in folder], images)


def test_a_block_that_is_written_again_takes_the_place_of_the_old(tmp_path, images):
    files = encode(images, "png")
    write_folder(tmp_path, ["000000/000.png", "000000/007.png", "000002/000.png"], files[:3])
    write_folder(tmp_path, NAMES, files)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [*NAMES, "000002/000.png"]
    write_folder(tmp_path, [], [])
    assert len(list(tmp_path.iterdir())) == 3


def test_who_is_stopped_leaves_no_picture(tmp_path, images, monkeypatch):
    def files():
        yield from encode(images[:3], "png")
        raise KeyboardInterrupt

    for write in (write_folder, write_tar):
        place = tmp_path / write.__name__
        with pytest.raises(KeyboardInterrupt):
            write(place, NAMES, files())
        assert not place.exists() or not list(place.iterdir())
    monkeypatch.setattr(writing, "_flush", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "third", NAMES, encode(images, "png"))
    assert list((tmp_path / "third").iterdir()) == []


def test_what_the_system_refuses_is_told_in_one_line(tmp_path, images):
    (tmp_path / "file").write_bytes(b"")
    for write, place in ((write_folder, tmp_path / "file"), (write_tar, tmp_path / "file" / "x.tar")):
        with pytest.raises(FacebenchError, match=r"cannot write .*file") as caught:
            write(place, NAMES, encode(images, "png"))
        assert "\n" not in str(caught.value)


def test_a_tar_tells_nothing_of_time_and_user(tmp_path, images):
    files = encode(images, "png")
    long = [f"{'å' * 120}/{index}.png" for index in range(4)]
    for names in (NAMES, long):
        write_tar(tmp_path / "one.tar", names, files)
        with tarfile.open(tmp_path / "one.tar") as archive:
            members = archive.getmembers()
        assert [member.name for member in members] == names
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
        before = (tmp_path / "one.tar").read_bytes()
        write_tar(tmp_path / "one.tar", names, files)
        assert (tmp_path / "one.tar").read_bytes() == before


def row(count, *, size=(112, 112), notes=(), marked=()):
    images = np.full((count, *size, 3), 90, dtype=np.uint8)
    frames = np.isin(np.arange(count), marked)
    return SheetRow("000000", images, [list(notes)] * count if notes else [], frames)


def test_a_sheet_has_room_for_every_picture_and_its_words():
    plain = draw_sheet([row(10)] * 8, title="set")
    assert plain.dtype == np.uint8
    assert 8 * 112 < plain.shape[0] < 8 * 124 + 60
    assert 10 * 112 < plain.shape[1] < 10 * 119 + 120
    told = draw_sheet([row(10, notes=("sigma 0.30", "similarity 0.81"))] * 8, title="set")
    assert told.shape[0] > plain.shape[0] + 8 * 20
    assert told.tobytes() == draw_sheet([row(10, notes=("sigma 0.30", "similarity 0.81"))] * 8, title="set").tobytes()
    assert (plain == 90).all(axis=2).sum() == 80 * 112 * 112


def test_small_pictures_are_magnified_and_large_ones_reduced():
    assert (draw_sheet([row(1, size=(32, 32))], title="") == 90).all(axis=2).sum() == 128 * 128
    assert (draw_sheet([row(1, size=(512, 512))], title="") == 90).all(axis=2).sum() == 224 * 224


def test_frames_are_explained_where_there_is_one():
    without = draw_sheet([row(2)], title="set", marks="these failed and a long word follows here")
    framed = draw_sheet([row(2, marked=(1,))], title="set", marks="these failed and a long word follows here")
    assert framed.shape[1] > without.shape[1]
    assert (framed == (0xD5, 0x5E, 0)).all(axis=2).sum() == 2 * (116 + 112) * 2


def test_a_sheet_of_nothing_is_an_error():
    for rows in ([], [row(0)]):
        with pytest.raises(DataError, match="no picture to show"):
            draw_sheet(rows, title="set")
