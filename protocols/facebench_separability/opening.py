"""Which faces: any labelled set below the data root, or drawn ones; what of a set takes part, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench.datasets import SelectedFaces, faces_below, open_images
from facebench.demo import DemoFaces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from facebench import FaceDataset

    Ints = npt.NDArray[np.int64]

_HOW = (
    "name labelled faces with --set protocol.separability.{option}=PATH, relative to the data root: a folder with one "
    "sub-folder per person, a plain .tar of it, a .csv list or a .rec"
)
# Training sets count identities from 0; evaluations begin far above.
FIRST_IDENTITY = 5_000_000
PEOPLE, PICTURES = 200, 10
LEAST = 2  # identities that can be apart


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Who is shown by some faces, everything in order of names.

    An identity's name is the first of its keys, which begins with the folder's name where there are folders.

    Attributes:
        order: Places of the labelled faces, sorted by key, (M,).
        number: The identity of each of them: its place among all identities sorted by name, (M,).
        names: Of the identities, sorted, (N,).
    """

    order: Ints
    number: Ints
    names: npt.NDArray[np.str_]

    @classmethod
    def of(cls, keys: Sequence[str], labels: Ints) -> People:
        """Reads who is shown from keys and labels; faces without a label are left out."""
        named = np.asarray(keys, dtype=np.str_)
        order = np.argsort(named, kind="stable")
        order = order[np.asarray(labels)[order] >= 0]
        _, first, who = np.unique(np.asarray(labels)[order], return_index=True, return_inverse=True)
        place = np.empty(first.size, dtype=np.int64)
        place[np.argsort(first)] = np.arange(first.size)
        return cls(order, place[who], named[order[np.sort(first)]])

    @property
    def counts(self) -> Ints:
        """Faces of each identity, (N,)."""
        return np.bincount(self.number, minlength=len(self.names))


def demo_faces() -> DemoFaces:
    """2,000 drawn faces of 200 people, none of whom trainers see."""
    return DemoFaces(range(FIRST_IDENTITY, FIRST_IDENTITY + PEOPLE), PICTURES)


def open_faces(root: Path, chosen: str, *, option: str) -> FaceDataset:
    """Faces below the data root.

    Args:
        root: The data root.
        chosen: The user's choice, relative to the root or absolute; LFW's usual places if empty.
        option: The option it is the value of.

    Raises:
        DatasetMissing: When there is nothing, with every place that was tried.
        DataError: When what is there cannot be read.
    """
    return open_images(faces_below(root, chosen, protocol="separability", how_to_get=_HOW.format(option=option)))


def labelled(source: FaceDataset, *, people: int = 0, images: int = 0, least: int = LEAST) -> SelectedFaces:
    """The labelled faces of a set, sorted by key.

    Args:
        source: The set.
        people: At most so many identities, the first by name; 0 all.
        images: At most so many faces of each, the first by key; 0 all.
        least: Identities that there must be.

    Raises:
        DataError: When there are fewer.
    """
    found = People.of(source.keys, source.labels)
    if len(found.names) < least:
        nobody = len(source) - len(found.order)
        raise DataError(
            f"{source.name}: {len(found.names)} identities among {len(source):,} faces, {nobody:,} of which have no "
            f"label; at least {least} must be told apart"
        )
    keep = np.ones(len(found.order), dtype=np.bool_)
    if people:
        keep &= found.number < people
    if images:
        keep &= _place_within(found.number) < images
    chosen = found.order[keep]
    keys = np.asarray(source.keys, dtype=np.str_)[chosen]
    return SelectedFaces(source.name, keys, source.labels[chosen], source=source, rows=chosen)


def _place_within(number: Ints) -> Ints:
    """How many faces of the same identity stand before each, (M,)."""
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    start = np.searchsorted(ordered, ordered, side="left")
    place = np.empty_like(number)
    place[order] = np.arange(len(number)) - start
    return place
