"""The demo faces in TinyFace's layout: coarse probes, one to three coarse mates each, distractors of other people.

The identities are none of those that trainers see.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo import DemoFaces, Nuisance
from facebench_tinyface.faces import TinyFaces
from facebench_tinyface.lists import DISTRACTOR, GALLERY, PROBE, Listed

if TYPE_CHECKING:
    import numpy.typing as npt

PEOPLE = 180  # with probes
STRANGERS = 500  # seen in distractors only
MOST = 3  # probes, and mates, of a person; distractors of a stranger
# Training sets count identities from 0; evaluations begin far above.
FIRST_IDENTITY = 3_000_000
# TinyFace's faces have 20 x 16 pixels on average. Pose and light are kept mild, so that what is hard here is the few
# pixels and not what the other protocols measure already.
COARSE = replace(Nuisance.easy(), low_resolution=1.0, resolution=(8, 20), blur=1.0)


def demo_faces(*, distractors: bool = True, nuisance: Nuisance = COARSE) -> TinyFaces:
    """About 1,700 drawn faces, always the same.

    Args:
        distractors: Whether the gallery holds strangers.
        nuisance: How the pictures are taken, all of them.
    """
    # RandomState's stream is frozen by NumPy; a Generator's may change with a version.
    random = np.random.RandomState(20260102)
    probes, mates, others = (random.randint(1, MOST + 1, size) for size in (PEOPLE, PEOPLE, STRANGERS))
    slots = 2 * MOST
    # Of each person, pictures 0.. are probes and pictures MOST.. mates; of each stranger, pictures 0.. distractors.
    source = DemoFaces(range(FIRST_IDENTITY, FIRST_IDENTITY + PEOPLE + STRANGERS), slots, nuisance=nuisance)
    picture = np.arange(slots)
    is_probe = _table(picture < probes[:, None], first=0)
    is_mate = _table((picture >= MOST) & (picture < MOST + mates[:, None]), first=0)
    is_other = _table(picture < others[:, None], first=PEOPLE)
    kept = is_other if distractors else is_other[:0]
    rows = np.concatenate([is_probe, is_mate, kept])
    return TinyFaces(
        "demo",
        _listed(PROBE, is_probe),
        _listed(GALLERY, is_mate),
        _listed(DISTRACTOR, kept).keys,
        source=source,
        rows=rows,
        official=False,
    )


def _table(chosen: npt.NDArray[np.bool_], *, first: int) -> npt.NDArray[np.int64]:
    """Rows of the chosen pictures; ``chosen`` has a line for each identity from the ``first`` on."""
    return np.asarray(np.flatnonzero(chosen) + first * chosen.shape[1], dtype=np.int64)


def _listed(folder: str, rows: npt.NDArray[np.int64]) -> Listed:
    people, pictures = np.divmod(rows, 2 * MOST)
    keys = [f"{folder}/{who}_{picture}" for who, picture in zip(people, pictures, strict=True)]
    return Listed(np.array(keys, dtype=np.str_), people.astype(np.int64))
