"""Which faces: any set below the data root, or the drawn ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench.datasets import PackImages, SelectedFaces, faces_below, open_images
from facebench.demo import DemoFaces

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from facebench import FaceDataset

_HOW = (
    "name faces with --set protocol.topology.data=PATH, relative to the data root: a folder, a plain .tar, a .csv "
    "list, a .bin pack or a .rec; without it LFW's aligned pictures are taken"
)
# Training sets count identities from 0; evaluations begin far above.
FIRST_IDENTITY = 4_000_000
PEOPLE, PICTURES = 130, 4


def demo_faces() -> SelectedFaces:
    """520 drawn faces of 130 people, none of whom trainers see: more than twice the largest usual batch."""
    drawn = DemoFaces(range(FIRST_IDENTITY, FIRST_IDENTITY + PEOPLE), PICTURES)
    return _selected(drawn, range(len(drawn)))


def open_faces(root: Path, data: str, *, limit: int, least: int) -> SelectedFaces:
    """Faces below the data root, sorted by key.

    A pack repeats a picture for every pair that it is in; equal files become one face, since an edge of no length
    tells nothing of a space.

    Args:
        root: The data root.
        data: The user's own choice, relative to the root or absolute; LFW's usual places if empty.
        limit: At most so many faces, 0 for all; which ones depends on the keys alone.
        least: Faces that the smallest batch needs.

    Raises:
        DatasetMissing: When there is nothing, with every place that was tried.
        DataError: When what is there cannot be read, or holds fewer faces than the smallest batch.
    """
    path = faces_below(root, data, protocol="topology", how_to_get=_HOW)
    source = open_images(path)
    rows: Iterable[int] = range(len(source))
    if isinstance(source, PackImages):
        first_of: dict[bytes, int] = {}
        for row in rows:
            first_of.setdefault(hashlib.sha256(source.encoded(row)).digest(), row)
        rows = first_of.values()
    chosen = _limited(source.keys, rows, limit)
    if len(chosen) < least:
        raise DataError(
            f"{path}: {len(chosen)} faces; the smallest batch of protocol.topology.sizes needs {least}; "
            "set smaller sizes or name more faces"
        )
    return _selected(source, chosen)


def _limited(keys: Iterable[str], rows: Iterable[int], limit: int) -> list[int]:
    """At most ``limit`` rows: those whose keys have the lowest hashes, so that the order of the set is no matter."""
    chosen = list(rows)
    named = list(keys)
    if not limit or len(chosen) <= limit:
        return chosen
    digests = {row: hashlib.sha256(named[row].encode("utf-8", "surrogateescape")).digest() for row in chosen}
    return sorted(chosen, key=digests.__getitem__)[:limit]


def _selected(source: FaceDataset, rows: Iterable[int]) -> SelectedFaces:
    """Some of a set's faces, sorted by key: other protocols over the same pictures then share their embeddings."""
    chosen = np.fromiter(rows, dtype=np.int64)
    keys = np.asarray(source.keys, dtype=np.str_)[chosen]
    order = np.argsort(keys)
    return SelectedFaces(source.name, keys[order], source.labels[chosen[order]], source=source, rows=chosen[order])
