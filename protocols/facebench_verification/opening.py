"""From a data root to pairs and pictures: what ``sources`` found, opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import ConfigError, DatasetMissing
from facebench.datasets import JoinedFaces, PackImages, open_images
from facebench_verification.aligned import AlignedImages
from facebench_verification.arrays import ArrayImages
from facebench_verification.lists.rfw import together
from facebench_verification.sources import group_packs, look, pairs_of_pack

if TYPE_CHECKING:
    from pathlib import Path

    from facebench import FaceDataset
    from facebench_verification.options import VerificationOptions
    from facebench_verification.pairs import Pairs
    from facebench_verification.sources import Place


@dataclass(frozen=True, slots=True)
class Opened:
    """A set as it lies on disk.

    Attributes:
        pairs: The comparisons.
        source: The pictures; None when only lists were wanted.
        listed_in: The list, for messages.
    """

    pairs: Pairs
    source: FaceDataset | None
    listed_in: Path


def open_set(place: Place, root: Path, options: VerificationOptions, *, images: bool, every: bool = False) -> Opened:
    """Finds and opens a set.

    Args:
        place: What it may be called.
        root: The data root.
        options: What the user chose instead.
        images: Whether pictures are needed, or lists will do.
        every: Whether all pictures are needed, not only those that the list names.

    Raises:
        DatasetMissing: When lists, pictures or landmarks are not there.
        DataError: When they are damaged.
        ConfigError: When landmarks are given for a pack.
    """
    if place.groups and not (options.pairs or options.images):
        packs = group_packs(place, root)
        if packs:
            return _open_groups(place, packs, options)
    found = look(place, root, pairs=options.pairs, images=options.images, need_images=images)
    if found.pack is not None:
        _refuse_landmarks(place, found.pack, options)
        pack = open_pack(found.pack)
        return Opened(pairs_of_pack(pack), pack, found.pack)
    if found.pairs is None:
        raise RuntimeError("look() found neither a pack nor a list and did not say so")
    pairs = place.read(found.pairs)
    source: FaceDataset | None = open_images(found.images) if found.images is not None else None
    if source is not None and options.landmarks:
        landmarks = (root / options.landmarks).expanduser()
        if not landmarks.is_file():
            raise DatasetMissing(place.name, [landmarks], "correct the option landmarks")
        source = AlignedImages(source, landmarks, needed=None if every else pairs.keys.tolist())
    return Opened(pairs, source, found.pairs)


def open_pack(path: Path) -> PackImages | ArrayImages:
    """A pack by its form."""
    return ArrayImages(path) if path.suffix == ".npy" else PackImages(path)


def _open_groups(place: Place, packs: dict[str, Path], options: VerificationOptions) -> Opened:
    first = next(iter(packs.values()))
    _refuse_landmarks(place, first, options)
    opened = {group: open_pack(path) for group, path in packs.items()}
    pairs = {group: pairs_of_pack(pack) for group, pack in opened.items()}
    whole = together(pairs, {group: str(path) for group, path in packs.items()})
    return Opened(whole, JoinedFaces(opened, name=place.name), first.parent)


def _refuse_landmarks(place: Place, pack: Path, options: VerificationOptions) -> None:
    if options.landmarks:
        raise ConfigError(
            f"protocol.{place.name}.landmarks is set, but {pack} holds aligned pictures; leave it out, or name a list "
            "and photographs with pairs and images"
        )
