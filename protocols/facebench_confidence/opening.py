"""Which faces: a sample of any set below the data root, or of the drawn ones."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench.datasets import SelectedFaces, faces_below, open_images
from facebench.demo import DemoFaces, Nuisance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HOW = (
    "name clean faces with --set protocol.confidence.images=PATH, relative to the data root: a folder, a plain .tar, a "
    ".csv list, a .bin pack or a .rec; without it LFW's aligned pictures are taken"
)
# Training sets count identities from 0; evaluations begin far above.
FIRST_IDENTITY = 6_000_000
PEOPLE, PICTURES = 100, 2
LEAST = 3  # faces without which no correlation between faces means anything
# Nothing hides, blurs or coarsens these faces: what is damaged here, the ladders damage.
CLEAR = Nuisance(occlusion=0.0, blur=0.0, low_resolution=0.0, noise=0.5)


class Sample(SelectedFaces):
    """Some faces of a set, known by their own pictures: a set of millions is not read to know two hundred of them."""

    pictures_hash = ""

    @cached_property
    def pictures(self) -> str:
        """Hash of the pictures and their keys."""
        return hashlib.sha256(
            "\0".join([self.pictures_hash, *self.keys]).encode("utf-8", "surrogateescape")
        ).hexdigest()


def demo_faces(*, limit: int, seed: int) -> SelectedFaces:
    """At most 200 drawn faces of 100 people, none of whom trainers see, sorted by key.

    Args:
        limit: At most so many.
        seed: Decides which, where they are not all.
    """
    drawn = DemoFaces(range(FIRST_IDENTITY, FIRST_IDENTITY + PEOPLE), PICTURES, nuisance=CLEAR)
    rows = np.sort(np.array(_shuffled(drawn.keys, seed)[:limit], dtype=np.int64))
    keys = np.asarray(drawn.keys, dtype=np.str_)[rows]
    return SelectedFaces(drawn.name, keys, drawn.labels[rows], source=drawn, rows=rows)


def open_faces(root: Path, images: str, *, limit: int, seed: int) -> Sample:
    """A sample of the faces below the data root, sorted by key.

    Which faces are taken depends on their keys and the seed alone. A pack repeats a picture for every pair that it is
    in; equal files are taken once.

    Args:
        root: The data root.
        images: The user's own choice, relative to the root or absolute; LFW's usual places if empty.
        limit: At most so many faces.
        seed: Another one takes others.

    Raises:
        DatasetMissing: When there is nothing, with every place that was tried.
        DataError: When what is there cannot be read, or holds fewer than three different pictures.
    """
    path = faces_below(root, images, protocol="confidence", how_to_get=_HOW)
    source = open_images(path)
    row_of: dict[str, int] = {}
    for row in _shuffled(source.keys, seed):
        row_of.setdefault(hashlib.sha256(source.encoded(row)).hexdigest(), row)
        if len(row_of) == limit:
            break
    if len(row_of) < LEAST:
        raise DataError(f"{path}: {len(row_of)} different pictures; this protocol needs at least {LEAST}")
    named = sorted((source.keys[row], row, digest) for digest, row in row_of.items())
    rows = np.array([row for _, row, _ in named], dtype=np.int64)
    keys = np.array([key for key, _, _ in named], dtype=np.str_)
    found = Sample(source.name, keys, source.labels[rows], source=source, rows=rows)
    found.pictures_hash = "\0".join(digest for _, _, digest in named)
    return found


def _shuffled(keys: Sequence[str], seed: int) -> list[int]:
    """All rows, in an order that does not depend on that of the set."""
    marks = [hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest() for key in keys]
    return sorted(range(len(marks)), key=marks.__getitem__)
