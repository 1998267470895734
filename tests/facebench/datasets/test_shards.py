from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebench.datasets import ImageFolder, TarImages, TarShards, open_images, shards
from facebench.errors import DataError
from facebench.testing import check_dataset

OPEN_FILES = Path("/proc/self/fd")


def cut(faces, folder, members, where):
    """Members dealt out over shards; ``where`` says in which shard each lies."""
    folder.mkdir(exist_ok=True)
    for number in sorted(set(where)):
        chosen = {name: data for (name, data), place in zip(members.items(), where, strict=True) if place == number}
        faces.tar(folder / f"shard-{number:05d}.tar", chosen)
    return folder


@pytest.mark.parametrize("prefix", ["", "top/", "images/", "top/images/"])
def test_shards_are_the_same_data_set_as_their_folder(tmp_path, faces, members, prefix):
    folder = ImageFolder(faces.folder(tmp_path / "plain", members))
    named = {prefix + name: data for name, data in members.items()}
    found = open_images(cut(faces, tmp_path / "set", named, [0, 1, 2, 0, 1, 0]))
    assert type(found) is TarShards
    assert found.keys == folder.keys
    assert found.labels.tolist() == folder.labels.tolist()
    assert found.fingerprint == folder.fingerprint
    assert found.name == "set"
    assert [found.file(index) for index in range(len(found))] == [folder.file(index) for index in range(len(folder))]
    for one, other in zip(found, folder, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    check_dataset(found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.lists(st.integers(0, 3), min_size=6, max_size=6), most=st.sampled_from([2, 128]))
def test_where_a_set_was_cut_does_not_matter(tmp_path_factory, faces, members, monkeypatch, where, most):
    monkeypatch.setattr(shards, "_MOST_OPEN", most)
    folder = tmp_path_factory.mktemp("set")
    whole = TarImages(faces.tar(folder.with_suffix(".tar"), members))
    found = TarShards(cut(faces, folder, members, where))
    assert found.fingerprint == whole.fingerprint
    for index, key in enumerate(whole.keys):
        assert found.shard(index).name == f"shard-{where[list(members).index(whole.file(index))]:05d}.tar"
        assert found[index].key == key


def test_a_single_shard_is_the_tar_alone(tmp_path, faces, members):
    folder = cut(faces, tmp_path / "set", members, [0] * 6)
    assert TarShards(folder).fingerprint == TarImages(folder / "shard-00000.tar").fingerprint


@pytest.mark.parametrize("again", ["ann/a.jpeg", "ann/a.png"])
def test_a_key_in_two_shards_is_an_error_that_names_both(tmp_path, faces, again):
    faces.tar(tmp_path / "one.tar", {"ann/a.jpeg": faces.jpeg(1), "ann/b.jpeg": faces.jpeg(2)})
    faces.tar(tmp_path / "two.tar", {again: faces.jpeg(1), "zoe/b.jpeg": faces.jpeg(2)})
    with pytest.raises(DataError, match=r"both one\.tar and two\.tar have a picture 'ann/a'"):
        TarShards(tmp_path)


def test_a_key_twice_in_one_shard_names_that(tmp_path, faces):
    faces.tar(tmp_path / "one.tar", {"ann/a.jpeg": faces.jpeg(1), "ann/a.png": faces.jpeg(2)})
    with pytest.raises(DataError, match=r"one\.tar: two pictures have the key 'a'"):
        TarShards(tmp_path)


def test_a_damaged_shard_is_named(tmp_path, faces, members):
    folder = cut(faces, tmp_path / "set", members, [0, 0, 0, 1, 1, 1])
    (folder / "shard-00001.tar").write_bytes((folder / "shard-00001.tar").read_bytes()[:700])
    with pytest.raises(DataError, match=r"shard-00001\.tar"):
        TarShards(folder)


def test_a_folder_without_tars_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no shards found"):
        TarShards(tmp_path)
    with pytest.raises(DataError, match="cannot read the folder"):
        TarShards(tmp_path / "none")
    with pytest.raises(DataError, match="cannot read the folder"):
        shards.holds_shards(tmp_path / "none")


def test_which_folders_are_shards(tmp_path, faces, members):
    folder = cut(faces, tmp_path / "set", members, [0, 0, 0, 1, 1, 1])
    for name in ("manifest.json", "pictures.csv", "identities.npy", "README.md", ".hidden.jpg"):
        (folder / name).write_bytes(b"x")
    (folder / ".generation").mkdir()
    assert type(open_images(folder)) is TarShards
    (folder / "preview.png").write_bytes(b"x")
    assert len(open_images(folder)) == 6
    (folder / "manifest.json").unlink()
    assert not shards.holds_shards(folder)  # without a manifest it may be anybody's face
    (folder / "preview.png").unlink()
    assert shards.holds_shards(folder)
    faces.folder(folder, {"zoe/a.jpg": faces.jpeg(0)})
    assert type(open_images(folder)) is ImageFolder


@pytest.mark.parametrize("most", [1, 128])
def test_many_threads_and_other_processes_read(tmp_path, faces, members, monkeypatch, most):
    monkeypatch.setattr(shards, "_MOST_OPEN", most)
    found = TarShards(cut(faces, tmp_path / "set", members, [0, 0, 0, 1, 1, 1]))
    wanted = [found.encoded(index) for index in range(6)] * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.encoded, [*range(6)] * 50)) == wanted
    there = pickle.loads(pickle.dumps(found))
    assert [there.encoded(index) for index in range(6)] == wanted[:6]


@pytest.mark.parametrize("most", [1, 128])
def test_a_shard_that_changes_is_noticed(tmp_path, faces, members, monkeypatch, most):
    monkeypatch.setattr(shards, "_MOST_OPEN", most)
    folder = cut(faces, tmp_path / "set", members, [0, 0, 0, 1, 1, 1])
    found = TarShards(folder)
    stored = pickle.dumps(found)
    last = max(range(6), key=lambda index: found.shard(index).name)
    with (folder / "shard-00001.tar").open("rb+") as file:
        file.truncate(512)
    words = "became shorter" if most > 1 else "changed after it was opened"
    with pytest.raises(DataError, match=rf"shard-00001\.tar.*{words}"):
        found.encoded(last)
    with pytest.raises(DataError, match="changed after it was opened; open the folder again"):
        pickle.loads(stored).encoded(last)


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs a system that tells which files are open")
def test_of_many_shards_none_stays_open(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(shards, "_MOST_OPEN", 3)
    for number in range(8):
        faces.tar(tmp_path / f"{number}.tar", {f"{number}/a.jpg": faces.jpeg(number)})
    before = len(list(OPEN_FILES.iterdir()))
    found = TarShards(tmp_path)
    assert [face.label for face in found] == list(range(8))
    assert len(list(OPEN_FILES.iterdir())) <= before
