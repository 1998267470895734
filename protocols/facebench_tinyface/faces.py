"""The faces of TinyFace as one data set: probes, their mates, distractors, in this order.

Keys keep the folder (``Probe/12_3``), since the same name may stand in several folders and would otherwise overwrite
the other's embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets import SelectedFaces

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench import FaceDataset
    from facebench_tinyface.lists import Listed

UNKNOWN = -1  # the label of a distractor: somebody, but nobody with a probe


class TinyFaces(SelectedFaces):
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
        self.probes, self.gallery, self.distractors = probes, gallery, distractors
        self.official, self.warnings = official, warnings
        others = np.empty(0, dtype=np.str_) if distractors is None else distractors
        labels = np.concatenate([probes.ids, gallery.ids, np.full(len(others), UNKNOWN, dtype=np.int64)])
        keys = np.concatenate([probes.keys, gallery.keys, others])
        super().__init__(name, keys, labels, source=source, rows=rows)
