from __future__ import annotations

import io
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebench.datasets import ImageFolder, TarImages
from facebench.errors import DataError


@pytest.mark.parametrize("prefix", ["", "./", "top/", "./top/", "top/images/"])
def test_the_tar_of_a_folder_is_the_same_data_set(tmp_path, faces, members, prefix):
    folder = ImageFolder(faces.folder(tmp_path / "set", members))
    archive = TarImages(faces.tar(tmp_path / "set.tar", {prefix + name: data for name, data in members.items()}))
    assert archive.keys == folder.keys
    assert archive.labels.tolist() == folder.labels.tolist()
    assert archive.fingerprint == folder.fingerprint
    assert archive.name == "set"
    for one, other in zip(archive, folder, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_dialects_and_long_names_are_read(tmp_path, faces, form):
    folder = tmp_path / "set"
    names = [f"{'d' * 90}/{'n' * 60}{i}.jpg" for i in range(3)] if form == tarfile.USTAR_FORMAT else []
    names += [f"{'å' * 60}/{'ü' * 80}{i}.jpg" for i in range(3)] if form != tarfile.USTAR_FORMAT else []
    faces.folder(folder, {name: faces.jpeg(i) for i, name in enumerate(names)})
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
        archive.add(folder, arcname="set")
    assert TarImages(tmp_path / "x.tar").fingerprint == ImageFolder(folder).fingerprint


@pytest.mark.parametrize("name", ["/etc/passwd.jpg", "../up.jpg", "a/../../up.jpg", "a/..", "/", "../notes.txt"])
def test_names_that_escape_are_refused(tmp_path, faces, members, name):
    faces.tar(tmp_path / "x.tar", members | {name: b"x"})
    with pytest.raises(DataError, match="points outside the archive"):
        TarImages(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "not a plain file"),
        (tarfile.FIFOTYPE, "not a plain file"),
    ],
)
def test_links_and_devices_are_refused(tmp_path, faces, members, kind, words):
    path = faces.tar(tmp_path / "x.tar", members)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("ann/linked.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match=words):
        TarImages(path)


def test_sparse_members_are_refused(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("ann/sparse.jpg")
        info.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(info)
    with pytest.raises(DataError, match="not a plain file"):
        TarImages(path)


@pytest.mark.parametrize(("mode", "kind"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_compressed_tars_are_refused_with_a_hint(tmp_path, mode, kind):
    with tarfile.open(tmp_path / "x.tar", mode) as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(DataError, match=f"compressed with {kind}.*unpack it"):
        TarImages(tmp_path / "x.tar")


def test_a_tar_that_was_cut_anywhere_is_an_error(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        boundaries = [member.offset for member in archive.getmembers()]
        end = archive.offset
    for cut in [*boundaries, *range(0, end, 700)]:
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match=r"x\.tar"):
            TarImages(path)


def test_a_damaged_header_in_the_middle_is_an_error_and_no_early_end(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    with tarfile.open(path) as archive:
        place = archive.getmembers()[3].offset
    data = bytearray(path.read_bytes())
    data[place + 148] ^= 0x15  # the checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"damaged or cut short at byte {place:,}"):
        TarImages(path)


def test_a_member_that_occurs_twice_is_an_error(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("ann/a.jpeg")
        archive.addfile(info, io.BytesIO())
    with pytest.raises(DataError, match="two pictures have the key 'ann/a'"):
        TarImages(path)


def test_an_empty_tar_is_an_error(tmp_path, faces):
    with pytest.raises(DataError, match="no pictures found"):
        TarImages(faces.tar(tmp_path / "x.tar", {"README.txt": b"hello"}))


def test_many_threads_read_one_tar(tmp_path, faces):
    pictures = {f"p{i % 7}/{i:03d}.jpg": faces.jpeg(i) for i in range(60)}
    dataset = TarImages(faces.tar(tmp_path / "x.tar", pictures))
    wanted = {name[:-4]: data for name, data in pictures.items()}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(dataset.encoded, list(range(60)) * 20))
    assert all(data == wanted[dataset.keys[i % 60]] for i, data in enumerate(found))


def test_one_handle_is_held_and_given_back(tmp_path, faces, members):
    def handles():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles()
    dataset = TarImages(faces.tar(tmp_path / "x.tar", members))
    assert len(list(dataset)) == 6
    assert handles() == before + 1
    del dataset
    assert handles() == before


def test_a_tar_travels_to_worker_processes_unless_it_changed(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    dataset = TarImages(path)
    frozen = pickle.dumps(dataset)
    assert pickle.loads(frozen).encoded(3) == dataset.encoded(3)
    faces.tar(path, members | {"zzz.jpg": faces.jpeg(9)})
    with pytest.raises(DataError, match="changed after it was opened"):
        pickle.loads(frozen)


def test_a_tar_that_shrinks_while_open_is_an_error(tmp_path, faces, members):
    path = faces.tar(tmp_path / "x.tar", members)
    dataset = TarImages(path)
    os.truncate(path, 600)
    with pytest.raises(DataError, match="became shorter"):
        dataset.fingerprint  # noqa: B018


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_tars_open_or_are_data_errors(tmp_path, faces, edits):
    path = faces.tar(tmp_path / "x.tar", {f"top/{i}/p.jpg": b"some bytes" for i in range(3)})
    data = bytearray(path.read_bytes())
    for place, value in edits:
        data[place % 4096] = value
    path.write_bytes(data)
    try:
        dataset = TarImages(path)
        for index in range(len(dataset)):
            dataset.encoded(index)
    except DataError:
        pass
