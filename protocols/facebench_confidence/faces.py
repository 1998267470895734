"""Clean faces and damaged copies of each as one data set.

All pictures of a face stand together, the clean one first. Keys name the damage by its strength, not by its number on
the ladder (``blur-4.5/0007/003``), so that embeddings made for one ladder are not taken for those of another.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face, fingerprint_of
from facebench_confidence.ladders import damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import FaceDataset
    from facebench_confidence.ladders import Rung

_VERSION = 1  # of the damage: changes whenever a pixel does


class DamagedFaces:
    """A ``FaceDataset`` of faces at every level of the ladders; pictures are damaged when they are asked for.

    Args:
        source: The clean faces.
        rungs: The levels, the clean one first.
        seed: Decides which blocks are hidden.
    """

    def __init__(self, source: FaceDataset, rungs: Sequence[Rung], *, seed: int) -> None:
        self.name = source.name
        self.source, self.rungs = source, tuple(rungs)
        self._seed = seed
        self.labels: npt.NDArray[np.int64] = np.repeat(source.labels, len(self.rungs))
        if hasattr(source, "batch"):
            self.batch = self._batch  # as quick as the source, where that has a quick way

    @cached_property
    def keys(self) -> list[str]:
        """``clean/<key>``, ``blur-1/<key>``, ..., face by face."""
        return [f"{rung.name}/{key}" for key in self.source.keys for rung in self.rungs]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the clean faces, the ladders and the seed."""
        names = [rung.name for rung in self.rungs]
        return fingerprint_of(["damaged faces", _VERSION, self.source.fingerprint, names, self._seed])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> Face:
        """One face at one level.

        Raises:
            DataError: When the clean picture cannot be read.
        """
        row, place = divmod(range(len(self))[index], len(self.rungs))
        clean = self.source[row]
        if clean.image.ndim != 3:
            raise DataError(f"{self.name}: {clean.key}: expected (H, W, 3) pixels, found {clean.image.shape}")
        rung = self.rungs[place]
        image = damaged(clean.image, rung, key=clean.key, seed=self._seed)
        return Face(image=image, label=clean.label, key=f"{rung.name}/{clean.key}")

    def _batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once, uint8 (N, H, W, 3); each clean one is fetched once."""
        rows, places = np.divmod(np.asarray(indices, dtype=np.int64), len(self.rungs))
        needed, where = np.unique(rows, return_inverse=True)
        clean: npt.NDArray[np.uint8] = self.source.batch(needed)  # type: ignore[attr-defined]
        keys = self.source.keys
        found = [
            damaged(clean[at], self.rungs[place], key=keys[row], seed=self._seed)
            for at, row, place in zip(where.tolist(), rows.tolist(), places.tolist(), strict=True)
        ]
        return np.stack(found) if found else clean
