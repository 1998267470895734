"""Small pictures in every form."""

from __future__ import annotations

import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebench.images import encode_jpeg, encode_png

if TYPE_CHECKING:
    from pathlib import Path


def make_jpeg(seed: int, size: int = 16) -> bytes:
    """A different picture for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return encode_jpeg(np.kron(blocks, np.ones((size // 4, size // 4, 1), np.uint8)))


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    """A tar of plain files in the order given."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    """The same as files below a folder."""
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture
def members() -> dict[str, bytes]:
    """Three people in an order that is not name order; names where plain and natural order differ."""
    png = encode_png(np.full((16, 16, 3), 9, np.uint8))
    return {
        "zoe/zoe_2.jpg": make_jpeg(1),
        "zoe/zoe_10.jpg": make_jpeg(2),
        "ann/b.PNG": png,
        "ann/a.jpeg": make_jpeg(3),
        "ann-marie/c.jpg": make_jpeg(4),
        "loose.jpg": make_jpeg(5),
    }


@pytest.fixture
def faces() -> object:
    """The makers, for tests that cannot import from here."""

    class Makers:
        jpeg = staticmethod(make_jpeg)
        tar = staticmethod(make_tar)
        folder = staticmethod(make_folder)

    return Makers
