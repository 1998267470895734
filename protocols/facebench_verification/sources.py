"""Where LFW and its like lie below a data root: the layouts that users really have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import DatasetMissing
from facebench_verification.pairs import Pairs, read_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from facebench.datasets import PackImages
    from facebench_verification.arrays import ArrayImages

_PICTURES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".pnm", ".bmp", ".webp")
_PACKS = (".bin", ".bin.xz", ".xz", ".npy")


@dataclass(frozen=True, slots=True)
class Place:
    """What a set is called on disk.

    Attributes:
        name: The set's name.
        folders: Below the data root, in this order; ``.`` is the root itself.
        packs: InsightFace packs, which hold pictures and pairs in one, or ``.npy`` arrays beside an ``issame.txt``; in
            sets of groups ``{group}`` stands for each group's name.
        pairs: Lists of pairs; folders where the list is several files.
        images: Folders or tars of aligned pictures, best first.
        how_to_get: For the error when nothing is found.
        read: Reads what ``pairs`` names.
        groups: Names of the groups, in sets that are evaluated group by group.
    """

    name: str
    folders: tuple[str, ...]
    packs: tuple[str, ...]
    pairs: tuple[str, ...]
    images: tuple[str, ...]
    how_to_get: str
    read: Callable[[Path], Pairs] = read_pairs
    groups: tuple[str, ...] = ()


LFW = Place(
    name="lfw",
    folders=("lfw", "LFW", "."),
    packs=("lfw.bin", "lfw.bin.xz"),
    pairs=("pairs.txt",),
    images=("lfw_112x112.tar", "lfw_112x112", "lfw-112x112", "lfw_align_112", "lfw.tar", "lfw", "images"),
    how_to_get="lay out lfw.bin, or pairs.txt with aligned 112x112 pictures as lfw_112x112/Name/Name_0001.jpg or .tar, "
    "below DATA_ROOT/lfw; the lists are at vis-www.cs.umass.edu/lfw, packs in InsightFace's data sets",
)

OWN = Place(
    name="pairs",
    folders=("pairs", "."),
    packs=("pairs.bin",),
    pairs=("pairs.txt", "pairs_label.txt"),
    images=("images", "images.tar"),
    how_to_get="name your list with --set protocol.pairs.pairs=FILE and its pictures with "
    "--set protocol.pairs.images=FOLDER_OR_TAR, relative to the data root",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: a pack, or a list and its pictures.

    Attributes:
        pack: The pack.
        pairs: The list.
        images: The pictures.
    """

    pack: Path | None = None
    pairs: Path | None = None
    images: Path | None = None


def look(place: Place, root: Path, *, pairs: str = "", images: str = "", need_images: bool = True) -> Found:
    """Finds a set below the data root.

    Args:
        place: What it may be called.
        root: The data root.
        pairs: The user's own choice of a list, relative to the root or absolute; may name a pack.
        images: The user's own choice of pictures.
        need_images: False when the list alone will do.

    Raises:
        DatasetMissing: With every place that was tried.
    """
    if pairs and is_pack(pairs):
        return Found(pack=_chosen(place, root, pairs))
    bases = [root / folder for folder in place.folders]
    if not pairs and not images:
        pack = None if place.groups else _first(base / name for base in bases for name in place.packs)
        if pack is not None:
            return Found(pack=pack)
    listed = _chosen(place, root, pairs) if pairs else _first(base / name for base in bases for name in place.pairs)
    if listed is None:
        tried = [base / name for base in bases for name in (*place.packs, *place.pairs)]
        raise DatasetMissing(place.name, tried, place.how_to_get)
    if not need_images:
        return Found(pairs=listed)
    beside = [listed.parent, *(base for base in bases if base != listed.parent)]
    candidates = [base / name for base in beside for name in place.images]
    pictures = _chosen(place, root, images) if images else _first(filter(_may_hold_pictures, candidates))
    if pictures is None:
        raise DatasetMissing(place.name, candidates, place.how_to_get)
    return Found(pairs=listed, images=pictures)


def group_packs(place: Place, root: Path) -> dict[str, Path]:
    """The pack of each group, or nothing where a group has none."""
    bases = [root / folder for folder in place.folders]
    found = {}
    for group in place.groups:
        pack = _first(base / name.format(group=group) for base in bases for name in place.packs)
        if pack is None:
            return {}
        found[group] = pack
    return found


def is_pack(name: str) -> bool:
    """Whether a file name is that of a pack: pictures and pairs in one."""
    return name.endswith(_PACKS)


def _chosen(place: Place, root: Path, name: str) -> Path:
    path = (root / name).expanduser()
    if not path.exists():
        raise DatasetMissing(place.name, [path], "correct the option that names it")
    return path


def _first(candidates: Iterable[Path]) -> Path | None:
    return next((path for path in candidates if path.exists()), None)


def _may_hold_pictures(path: Path) -> bool:
    """Whether a file, or a folder of more than lists: the one the list itself lies in is a candidate for some sets."""
    if not path.is_dir():
        return path.exists()
    return any(entry.is_dir() or entry.suffix.lower() in _PICTURES for entry in path.iterdir())


def pairs_of_pack(pack: PackImages | ArrayImages) -> Pairs:
    """Pairs of an opened pack: picture 2i with picture 2i + 1. Who is shown, a pack does not say.

    Packs repeat a picture for every pair that it is in; equal files become one face, under the key of the first, and
    are embedded once.
    """
    first_of: dict[bytes, str] = {}
    digests = (hashlib.sha256(pack.encoded(row)).digest() for row in range(len(pack.keys)))
    keys = np.array([first_of.setdefault(one, key) for one, key in zip(digests, pack.keys, strict=True)], dtype=np.str_)
    return Pairs(
        first=keys[0::2],
        second=keys[1::2],
        same=pack.same,
        subjects=None,
        folds=None,
        lines=np.arange(1, len(pack.same) + 1),
    )
