"""Opens TinyFace below a data root: lists and pictures joined, everything that is missing named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, DatasetMissing
from facebench.datasets import open_images
from facebench_tinyface.faces import TinyFaces
from facebench_tinyface.lists import DISTRACTOR, GALLERY, PROBE, read_lists
from facebench_tinyface.sources import ALIGNED, UNALIGNED, look

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from facebench_tinyface.lists import Listed
    from facebench_tinyface.options import TinyFaceOptions


def open_faces(root: Path, options: TinyFaceOptions, *, images: bool) -> TinyFaces:
    """The faces of TinyFace below a data root.

    Args:
        root: The data root.
        options: Which pictures, and whether with distractors.
        images: False when embeddings are at hand and pictures need not be there; distractors are then listed by the
            folder if there is one, else by the embeddings.

    Raises:
        DatasetMissing: When lists, pictures or distractors are not there.
        DataError: When lists are damaged, contradict one another, or name an absent picture.
    """
    found = look(root, images=options.images, need_images=images)
    probes, gallery = read_lists(found.probes, found.gallery)
    wanted = options.distractors == "on"
    keys: Sequence[str] = ()
    source = None
    if found.pictures is not None and (images or (wanted and found.distractors)):
        source = open_images(found.pictures)
        keys = source.keys
    others = np.sort(np.array([key for key in keys if wanted and key.startswith(f"{DISTRACTOR}/")], dtype=np.str_))
    if wanted and images and not len(others):
        raise DatasetMissing(
            "tinyface",
            [f"{found.pictures}/{DISTRACTOR}"],
            "lay the 153,428 distractors out there; or search the mates alone, which is comparable with no published "
            "figure, with --set protocol.tinyface.distractors=off",
        )
    if source is None or not images:
        listed = others if len(others) or not wanted else None
        return TinyFaces("tinyface", probes, gallery, listed)
    return TinyFaces(
        "tinyface",
        probes,
        gallery,
        others,
        source=source,
        rows=_rows(keys, [(probes, found.probes), (gallery, found.gallery)], others, str(found.pictures)),
        warnings=_warnings(keys, probes, gallery, aligned=found.aligned),
    )


def _rows(
    keys: Sequence[str], lists: Sequence[tuple[Listed, Path]], others: npt.NDArray[np.str_], where: str
) -> npt.NDArray[np.int64]:
    """The row of each face among the source's keys."""
    row_of = {key: row for row, key in enumerate(keys)}
    rows: list[int] = []
    for listed, path in lists:
        found = [row_of.get(str(key), -1) for key in listed.keys]
        absent = [place for place, row in enumerate(found) if row < 0]
        if absent:
            raise DataError(
                f"{path}, row {absent[0] + 1}: no picture {str(listed.keys[absent[0]])!r} in {where} "
                f"({len(absent)} of {len(listed)} pictures are missing)"
            )
        rows.extend(found)
    rows.extend(row_of[str(key)] for key in others)
    return np.array(rows, dtype=np.int64)


def _warnings(keys: Sequence[str], probes: Listed, gallery: Listed, *, aligned: bool) -> tuple[str, ...]:
    said = []
    if not aligned:
        said.append(
            f"the pictures of {UNALIGNED} are not aligned; published figures are from aligned ones, such as AdaFace's "
            f"{ALIGNED}, and can lie 25 points higher at rank 1"
        )
    unlisted = sum(key.startswith((f"{PROBE}/", f"{GALLERY}/")) for key in keys) - len(probes) - len(gallery)
    if unlisted:
        said.append(f"{unlisted:,} pictures in {PROBE} and {GALLERY} stand in no list and were left out")
    return tuple(said)
