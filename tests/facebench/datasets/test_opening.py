from __future__ import annotations

import lzma

import numpy as np
import pytest

from facebench.contracts import FaceDataset
from facebench.datasets import CsvList, ImageFolder, PackImages, TarImages, open_images, write_pack
from facebench.errors import DataError


def test_the_form_is_told_by_what_is_there(tmp_path, faces, members):
    faces.folder(tmp_path / "set", members)
    faces.tar(tmp_path / "SET.TAR", members)
    (tmp_path / "set.csv").write_text("path,label\nann/a.jpeg,0\n", encoding="utf-8")
    write_pack(tmp_path / "p.bin", [faces.jpeg(0), faces.jpeg(1)], [True])
    (tmp_path / "p.bin.xz").write_bytes(lzma.compress((tmp_path / "p.bin").read_bytes()))
    forms = {"set": ImageFolder, "SET.TAR": TarImages, "set.csv": CsvList, "p.bin": PackImages, "p.bin.xz": PackImages}
    for name, form in forms.items():
        dataset = open_images(tmp_path / name)
        assert type(dataset) is form
        assert isinstance(dataset, FaceDataset)
        assert len(dataset.keys) == len(set(dataset.keys)) == len(dataset) == len(dataset.labels)
        assert dataset.labels.dtype == np.int64
        assert dataset[0].image.shape == (16, 16, 3)
        assert dataset.name in ("set", "SET", "p")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "no such file or folder; expected a folder"),
        ("x.tar.gz", "plain .tar"),
        ("x.zip", "plain .tar"),
        ("x.npz", "not a form that is read; expected a folder of pictures, a plain .tar.*csv.*bin"),
    ],
)
def test_what_cannot_be_opened_says_what_could(tmp_path, name, words):
    if name != "none":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        open_images(tmp_path / name)
