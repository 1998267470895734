"""A TinyFace in small, in the layout that users have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy import io

if TYPE_CHECKING:
    from pathlib import Path

# Names count everybody, lists only those in the gallery: person 3 of the lists is 7 in the names.
IN_NAMES = {1: 1, 2: 5, 3: 7}
PROBES = [("1_1.jpg", 1), ("5_1.jpg", 2), ("5_2.jpg", 2), ("7_3.jpg", 3)]
# 5_1 stands in both folders, with other pixels.
GALLERY = [("1_4.jpg", 1), ("5_1.jpg", 2), ("5_9.jpg", 2), ("7_1.jpg", 3)]
DISTRACTORS = ["00001.jpg", "00002.jpg", "5_1.jpg"]


def write_list(path: Path, prefix: str, entries, **more) -> None:
    """A list as the data set's authors wrote it."""
    cells = np.empty((len(entries), 1), dtype=object)
    cells[:, 0] = [name for name, _ in entries]
    values = {f"{prefix}_set": cells, f"{prefix}_ids": np.array([[who] for _, who in entries], dtype=np.float64)}
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {**values, **more})


@dataclass(frozen=True)
class Tiny:
    root: Path

    @property
    def base(self) -> Path:
        return self.root / "tinyface"

    def lists(self, probes=PROBES, gallery=GALLERY, folder: str = "Testing_Set") -> None:
        write_list(self.base / folder / "probe_img_ID_pairs.mat", "probe", probes)
        write_list(self.base / folder / "gallery_match_img_ID_pairs.mat", "gallery", gallery)

    def pictures(self, folder: str, *, side: int = 20, distractors: bool = True, shade: int = 0) -> None:
        names = {"Probe": [n for n, _ in PROBES], "Gallery_Match": [n for n, _ in GALLERY]}
        if distractors:
            names["Gallery_Distractor"] = DISTRACTORS
        for number, (part, files) in enumerate(names.items()):
            (self.base / folder / part).mkdir(parents=True, exist_ok=True)
            for place, name in enumerate(files):
                pixels = np.full((side, side, 3), 40 * number + 8 * place + shade, dtype=np.uint8)
                Image.fromarray(pixels).save(self.base / folder / part / name)


@pytest.fixture
def tiny(tmp_path) -> Tiny:
    """Lists and unaligned pictures below Testing_Set."""
    made = Tiny(tmp_path / "data")
    made.pictures("Testing_Set")
    made.lists()
    return made


@pytest.fixture
def bare(tmp_path) -> Tiny:
    """Nothing but an empty data root."""
    (tmp_path / "data" / "tinyface").mkdir(parents=True)
    return Tiny(tmp_path / "data")
