"""Where TinyFace lies below a data root: the layouts that users really have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import DatasetMissing
from facebench_tinyface.lists import DISTRACTOR, GALLERY, GALLERY_LIST, PROBE, PROBE_LIST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UNALIGNED = "Testing_Set"
ALIGNED = "aligned_pad_0.1_pad_high"  # the folder that AdaFace gives out
_BASES = ("tinyface", "TinyFace", ".")
_PICTURES = (ALIGNED, f"{ALIGNED}.tar", UNALIGNED, f"{UNALIGNED}.tar", ".")
_LISTS = (UNALIGNED, "Face_Identification_Evaluation", f"{UNALIGNED}/Face_Identification_Evaluation", ".")
_HOW = (
    "get TinyFace at qmul-tinyface.github.io and lay out Testing_Set, or a folder of aligned pictures named with "
    "--set protocol.tinyface.images=FOLDER, below DATA_ROOT/tinyface"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        probes: The list of probes.
        gallery: The list of mates.
        pictures: Folder or tar of pictures; None when there is none and none is needed.
        distractors: Whether that folder holds distractors; true of a tar, which is looked into later.
        aligned: False for the data set's own, unaligned crops.
    """

    probes: Path
    gallery: Path
    pictures: Path | None
    distractors: bool
    aligned: bool


def look(root: Path, *, images: str = "", need_images: bool = True) -> Found:
    """Finds lists and pictures below the data root.

    Args:
        root: The data root.
        images: The user's own choice of pictures, relative to the root or absolute.
        need_images: False when the lists alone will do.

    Raises:
        DatasetMissing: With every place that was tried.
    """
    bases = [root / base for base in _BASES]
    pictures = _pictures(root, bases, images, needed=need_images)
    beside = [] if pictures is None else [pictures, pictures.parent]
    folders = [*beside, *(base / part for base in bases for part in _LISTS)]
    return Found(
        probes=_list(folders, PROBE_LIST),
        gallery=_list(folders, GALLERY_LIST),
        pictures=pictures,
        distractors=pictures is not None and (pictures.is_file() or (pictures / DISTRACTOR).is_dir()),
        aligned=pictures is None or pictures.name.removesuffix(".tar") != UNALIGNED,
    )


def _list(folders: Iterable[Path], name: str) -> Path:
    tried = list(dict.fromkeys(folder / name for folder in folders))
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise DatasetMissing("tinyface", tried, _HOW)
    return found


def _pictures(root: Path, bases: list[Path], images: str, *, needed: bool) -> Path | None:
    if images:
        # Users name the aligned folder as it stands beside Testing_Set, or from the data root.
        tried = [root / images, *(base / images for base in bases)]
    else:
        tried = [base / part for base in bases for part in _PICTURES]
    tried = list(dict.fromkeys(path.expanduser() for path in tried))
    found = next((path for path in tried if _is_set(path)), None)
    if found is None and (needed or images):
        raise DatasetMissing("tinyface", [f"{path}/{{{PROBE},{GALLERY}}}" for path in tried], _HOW)
    return found


def _is_set(path: Path) -> bool:
    """Whether a folder holds probes and gallery, or there is a tar."""
    return (path / PROBE).is_dir() and (path / GALLERY).is_dir() if path.is_dir() else path.is_file()
