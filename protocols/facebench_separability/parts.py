"""The faces of one evaluation: those judged, and what they are measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets import JoinedFaces
from facebench_separability.opening import People, labelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench import Face, FaceDataset
    from facebench.datasets import SelectedFaces

DATA, BESIDE, REFERENCE = "data", "beside", "reference"


class JudgedFaces:
    """A ``FaceDataset`` that knows which of its faces are judged.

    Alone, the judged set has its own keys, so that embeddings of it can be used by other protocols too; among others
    every key begins with the part that it belongs to.

    Args:
        sets: By part: ``data``, and perhaps ``beside`` and ``reference``.
        unlabelled: Faces of the judged set that were left out since nobody knows whom they show.

    Attributes:
        sets: As given.
        unlabelled: As given.
        parts: The rows of each part.
    """

    def __init__(self, sets: Mapping[str, SelectedFaces], *, unlabelled: int = 0) -> None:
        self.sets, self.unlabelled = dict(sets), unlabelled
        data = self.sets[DATA]
        self.name = data.name
        self._faces: JoinedFaces | SelectedFaces = data if len(sets) == 1 else JoinedFaces(sets, name=data.name)
        ends = np.cumsum([len(faces) for faces in self.sets.values()]).tolist()
        self.parts = {
            part: range(end - len(faces), end) for (part, faces), end in zip(self.sets.items(), ends, strict=True)
        }
        for quick in ("pieces", "batch"):  # ways to read many faces at once
            if hasattr(self._faces, quick):
                setattr(self, quick, getattr(self._faces, quick))

    @property
    def keys(self) -> Sequence[str]:
        """One for each face, with its part in front where there are several."""
        return self._faces.keys

    @property
    def measured(self) -> Sequence[str]:
        """The keys without those of the reference, which may well be what the network was trained on."""
        return [self.keys[row] for part, rows in self.parts.items() if part != REFERENCE for row in rows]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Identity of each face, (N,); those of different parts differ."""
        return self._faces.labels

    @property
    def fingerprint(self) -> str:
        """Hash of pictures, keys and labels."""
        return self._faces.fingerprint

    @property
    def pictures(self) -> str:
        """Hash of pictures and keys alone."""
        return self._faces.pictures

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int, /) -> Face:
        """The face in that row."""
        return self._faces[index]


def judged(
    data: FaceDataset, *, beside: FaceDataset | None = None, reference: FaceDataset | None = None, images: int = 0
) -> JudgedFaces:
    """The faces to embed for judging ``data``.

    Args:
        data: Labelled faces.
        beside: Real people to be measured in the same way; of a larger set as many identities and, of each, as many
            faces as ``data`` has (the median). What is judged of it counts where it is ``JudgedFaces`` itself, and its
            reference is taken over where there is no other.
        reference: Faces that ``data`` should not repeat.
        images: At most so many of each reference identity; 0 all.

    Raises:
        DataError: When fewer than two identities can be told apart in ``data`` or ``beside``, or none in ``reference``.
    """
    given = {DATA: data, BESIDE: beside, REFERENCE: reference}
    for part in (DATA, BESIDE):
        whole = given[part]
        if isinstance(whole, JudgedFaces):
            given[part] = whole.sets[DATA]
            if given[REFERENCE] is None:
                given[REFERENCE] = whole.sets.get(REFERENCE)
    main = labelled(given[DATA] or data)
    sets = {DATA: main}
    if (real := given[BESIDE]) is not None:
        counts = People.of(main.keys, main.labels).counts
        sets[BESIDE] = labelled(real, people=len(counts), images=max(1, int(np.median(counts))))
    if (learned := given[REFERENCE]) is not None:
        sets[REFERENCE] = labelled(learned, images=images, least=1)
    unlabelled = data.unlabelled if isinstance(data, JudgedFaces) else len(data) - len(main)
    return JudgedFaces(sets, unlabelled=unlabelled)


def parts_of(faces: FaceDataset) -> Mapping[str, range]:
    """The rows of each part; a set that knows of none is judged as a whole."""
    return faces.parts if isinstance(faces, JudgedFaces) else {DATA: range(len(faces))}
