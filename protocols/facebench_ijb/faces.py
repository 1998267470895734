"""The pictures of a benchmark, each once, cut out and aligned when they are asked for.

InsightFace's release gives five points for every picture, so alignment is ours and is told in the result: it moves
IJB-C numbers more than many a method does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face, FaceDataset
from facebench.datasets import EncodedImages, SelectedFaces
from facebench.images import align

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench_ijb.lists import Lists


class LooseCrops(EncodedImages):
    """Pictures of ``loose_crop/``, aligned to 112 x 112 by their five points.

    Args:
        folder: Where they lie.
        files: File name of each, (F,).
        keys: Key of each, (F,).
        points: float64 (F, 5, 2), x and y in pixels of the picture.
        listed_in: The list of the points, for messages.

    Raises:
        DataError: When pictures of the list are missing.
    """

    def __init__(
        self,
        folder: Path,
        files: npt.NDArray[np.str_],
        keys: npt.NDArray[np.str_],
        points: npt.NDArray[np.float64],
        *,
        listed_in: Path,
    ) -> None:
        super().__init__(
            folder, name=folder.parent.name, keys=keys.tolist(), labels=np.full(len(keys), -1, dtype=np.int64)
        )
        self._files: list[str] = files.tolist()
        self._points, self._listed_in = points, listed_in
        have = {entry.name for entry in folder.iterdir()}
        absent = [
            row
            for row, file in enumerate(self._files)
            if file not in have and not ("/" in file and (folder / file).is_file())
        ]
        if absent:
            raise DataError(
                f"{listed_in}, line {absent[0] + 1}: no picture {self._files[absent[0]]!r} in {folder} "
                f"({len(absent)} of {len(files)} pictures are missing)"
            )

    def encoded(self, index: int, /) -> bytes:
        """The file of one picture."""
        file = self._files[index]
        try:
            return Path(self.path, file).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: {file}: cannot read the picture: {error.strerror}") from None

    def __getitem__(self, index: int, /) -> Face:
        loose = super().__getitem__(index)
        try:
            image = align(loose.image, self._points[index])
        except DataError as error:
            raise DataError(f"{self._listed_in}, line {index + 1}: picture {loose.key!r}: {error}") from None
        return Face(image, loose.label, loose.key)

    def _also_fingerprinted(self) -> bytes:
        return b"aligned 112\0" + self._points.astype("<f8").tobytes()


class TemplateFaces(SelectedFaces):
    """A ``FaceDataset`` of the pictures that a benchmark's lists name.

    Args:
        lists: The benchmark.
        source: Where the pictures are; None when only embeddings will be looked up.
        aligner: How the pictures were or are aligned, in words.

    Raises:
        DataError: When the source lacks pictures of the lists.
    """

    def __init__(self, lists: Lists, source: FaceDataset | None, *, aligner: str) -> None:
        self.lists, self.aligner = lists, aligner
        labels = np.full(len(lists.rows.keys), -1, dtype=np.int64)
        labels[lists.rows.face] = lists.subjects[lists.rows.template]
        super().__init__(lists.name, lists.rows.keys, labels, source=source, lists=lists.digest.encode())
