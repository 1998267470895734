"""The demo faces in LFW's layout: ten folds of matched and mismatched pairs, disjoint in identity.

The identities are none of those that trainers see, so a demo accuracy is one on strangers, as LFW's is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo import DemoFaces
from facebench_verification.pairs import Pairs

if TYPE_CHECKING:
    import numpy.typing as npt

FOLDS = 10
PEOPLE = 30  # in each fold
PICTURES = 4  # of each person
MATCHED = 100  # pairs in each fold, and as many mismatched ones
# Training sets count identities from 0; evaluations begin far above.
FIRST_IDENTITY = 1_000_000


def demo_faces() -> DemoFaces:
    """The pictures that the demo pairs name."""
    people = range(FIRST_IDENTITY, FIRST_IDENTITY + FOLDS * PEOPLE)
    return DemoFaces(people, PICTURES)


def demo_pairs(faces: DemoFaces) -> Pairs:
    """2,000 pairs, always the same: 10 folds of 100 matched and 100 mismatched ones, without repetition."""
    # RandomState's stream is frozen by NumPy; a Generator's may change with a version.
    random = np.random.RandomState(20260101)
    first, second, same = [], [], []
    for fold in range(FOLDS):
        a, b = _matched(random)
        c, d = _mismatched(random)
        offset = fold * PEOPLE * PICTURES
        first.append(np.concatenate([a, c]) + offset)
        second.append(np.concatenate([b, d]) + offset)
        same.append(np.arange(2 * MATCHED) < MATCHED)
    rows, others = np.concatenate(first), np.concatenate(second)
    keys = np.asarray(faces.keys, dtype=np.str_)
    who = np.char.add("demo ", (rows // PICTURES).astype(np.str_))
    partner = np.char.add("demo ", (others // PICTURES).astype(np.str_))
    return Pairs(
        first=keys[rows],
        second=keys[others],
        same=np.concatenate(same),
        subjects=(who, partner),
        folds=FOLDS,
        lines=np.arange(1, len(rows) + 1),
    )


def _matched(random: np.random.RandomState) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of pictures of one person, as rows within a fold."""
    left, right = np.triu_indices(PICTURES, k=1)
    every = np.arange(PEOPLE)[:, None] * PICTURES
    chosen = random.permutation(PEOPLE * len(left))[:MATCHED]
    return (every + left).ravel()[chosen], (every + right).ravel()[chosen]


def _mismatched(random: np.random.RandomState) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of pictures of two people, as rows within a fold."""
    left, right = np.triu_indices(PEOPLE * PICTURES, k=1)
    apart = np.flatnonzero(left // PICTURES != right // PICTURES)
    chosen = apart[random.permutation(len(apart))[:MATCHED]]
    return left[chosen], right[chosen]
