"""The demo faces in the layout of a Janus benchmark: templates of stills and video frames, two galleries, mixed probes.

One drawn set serves IJB-A, IJB-B and IJB-C, so its pictures are embedded once. The identities are none of those that
trainers see.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from facebench import Face
from facebench.demo import DemoFaces, Nuisance
from facebench_ijb.lists import Lists, Pairs, Rows, Side

if TYPE_CHECKING:
    import numpy.typing as npt

PEOPLE = 100
# Other protocols' demos use other people.
FIRST_IDENTITY = 1_100_000
STILLS = 6  # of each person
FRAMES = 11
FIRST_FRAME = 100  # number of a person's first frame among his pictures
# Templates of a person as stills and frames of one video: the one enrolled, then the probes.
TEMPLATES = ((3, 2), (1, 0), (0, 6), (2, 3))


class DemoPictures:
    """Stills and video frames of the same people, drawn when they are asked for: a ``FaceDataset``.

    Frames show harsher light and poses, and many are blurred or of few pixels.
    """

    name = "demo"

    def __init__(self) -> None:
        people = range(FIRST_IDENTITY, FIRST_IDENTITY + PEOPLE)
        frames = Nuisance.hard()
        self._parts = (DemoFaces(people, STILLS), DemoFaces(people, FRAMES, nuisance=frames, first_image=FIRST_FRAME))
        self._start = len(self._parts[0])
        self.keys = [key for part in self._parts for key in part.keys]
        self.labels: npt.NDArray[np.int64] = np.concatenate([part.labels for part in self._parts])

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the pixels."""
        return hashlib.sha256(" ".join(part.fingerprint for part in self._parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        return Face(self.batch(np.array([index]))[0], int(self.labels[index]), self.keys[index])

    def batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once, uint8 (N, 112, 112, 3)."""
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(chosen), 112, 112, 3), dtype=np.uint8)
        frame = chosen >= self._start
        for part, here, offset in zip(self._parts, (~frame, frame), (0, self._start), strict=True):
            if here.any():
                images[here] = part.batch(chosen[here] - offset)
        return images


def demo_lists(pictures: DemoPictures) -> Lists:
    """100 people, half in each gallery; 300 probes; all 30,000 pairs of a probe and an enrolled template."""
    face, template, media = _members()
    people = np.arange(PEOPLE, dtype=np.int64)
    half = PEOPLE // 2
    probes = np.arange(PEOPLE, PEOPLE * len(TEMPLATES), dtype=np.int64)
    # Enrolled templates come first, then the first probe of everybody, then the second.
    enrolled, searched = np.meshgrid(people.astype(np.int32), probes.astype(np.int32), indexing="ij")
    return Lists(
        name="demo",
        rows=Rows(
            keys=np.array(pictures.keys, dtype=np.str_),
            face=face,
            template=template,
            media=media,
            faceness=_faceness(face),
            ids=np.arange(1, 1 + PEOPLE * len(TEMPLATES), dtype=np.int64),
        ),
        pairs=Pairs(enrolled.ravel(), searched.ravel(), (enrolled == searched % PEOPLE).ravel()),
        galleries=(Side("G1", people[:half], people[:half]), Side("G2", people[half:], people[half:])),
        probes=Side("probes", probes, probes % PEOPLE),
    )


def _members() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Picture, template and media of each row; every picture is in one template."""
    face, template, media = [], [], []
    still, frame = 0, PEOPLE * STILLS
    for person in range(PEOPLE):
        own_still, own_frame = still + person * STILLS, frame + person * FRAMES
        for number, (stills, frames) in enumerate(TEMPLATES):
            face += [*range(own_still, own_still + stills), *range(own_frame, own_frame + frames)]
            template += [number * PEOPLE + person] * (stills + frames)
            media += [*range(stills), *[stills] * frames]
            own_still, own_frame = own_still + stills, own_frame + frames
    return np.array(face), np.array(template), np.array(media)


def _faceness(face: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What a detector might say: surer of stills than of frames."""
    # RandomState's stream is frozen by NumPy; a Generator's may change with a version.
    doubt = np.random.RandomState(20260102).uniform(0.0, 1.0, len(face))
    return np.where(face < PEOPLE * STILLS, 1.0 - 0.05 * doubt, 0.95 - 0.35 * doubt).astype(np.float32)
