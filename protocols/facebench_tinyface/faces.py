"""The faces of TinyFace as one data set: probes, their mates, distractors, in this order.

Keys keep the folder (``Probe/12_3``), since the same name may stand in several folders and would otherwise overwrite
the other's embedding.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Face, FaceDataset

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench_tinyface.lists import Listed

UNKNOWN = -1  # the label of a distractor: somebody, but nobody with a probe


class TinyFaces:
    """A ``FaceDataset`` of probes, gallery and distractors.

    Args:
        name: Of the data set.
        probes: Who is searched.
        gallery: Their mates in the gallery.
        distractors: Keys of all other pictures of the gallery, (K,); None when nothing on disk lists them, so that
            whoever has embeddings must find them there.
        source: Where the pictures are; None when only embeddings will be looked up.
        rows: The source's row of each of our faces, int64; empty without a source.
        official: False for drawn faces, whose numbers of pictures are not compared with TinyFace's.
        warnings: What a reader of the result must know of these pictures.
    """

    def __init__(
        self,
        name: str,
        probes: Listed,
        gallery: Listed,
        distractors: npt.NDArray[np.str_] | None,
        *,
        source: FaceDataset | None = None,
        rows: npt.NDArray[np.int64] | None = None,
        official: bool = True,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.name, self.probes, self.gallery, self.distractors = name, probes, gallery, distractors
        self.official, self.warnings = official, warnings
        self._source, self._rows = source, rows
        others = np.empty(0, dtype=np.str_) if distractors is None else distractors
        self._keys = np.concatenate([probes.keys, gallery.keys, others])
        self.labels: npt.NDArray[np.int64] = np.concatenate(
            [probes.ids, gallery.ids, np.full(len(others), UNKNOWN, dtype=np.int64)]
        )
        if hasattr(source, "batch"):
            self.batch = self._batch  # as quick as the source, where that has a quick way

    @property
    def keys(self) -> list[str]:
        """Probes, mates, distractors."""
        return list(map(str, self._keys))

    @property
    def fingerprint(self) -> str:
        """Hash of the pictures and of who is in which list, in order."""
        digest = hashlib.sha256(self._source.fingerprint.encode() if self._source is not None else b"no pictures")
        digest.update("\0".join(self._keys.tolist()).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int, /) -> Face:
        """The face in that row.

        Raises:
            DataError: When it cannot be decoded, or when only lists were opened.
        """
        source, rows = self._opened()
        face = source[int(rows[index])]
        return Face(image=face.image, label=int(self.labels[index]), key=str(self._keys[index]))

    def _batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once, uint8 (N, H, W, 3)."""
        source, rows = self._opened()
        images: npt.NDArray[np.uint8] = source.batch(rows[indices])  # type: ignore[attr-defined]
        return images

    def _opened(self) -> tuple[FaceDataset, npt.NDArray[np.int64]]:
        if self._source is None or self._rows is None:
            raise DataError(f"{self.name}: only the lists were opened, there are no pictures to embed")
        return self._source, self._rows
