"""InsightFace's text lists of IJB-B and IJB-C (``IJB_release``).

Line k of the two lists of pictures is one picture; the reference never checks that. Here both are read whole, compared
line by line, and every template that a pair, a gallery or a probe names must have pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from facebench import DataError
from facebench_ijb.integers import read_integers
from facebench_ijb.lists import Lists, Rows, check_gallery, labelled_pairs, side
from facebench_ijb.naming import keys_of
from facebench_ijb.tables import read_blank_separated, read_csv

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench_ijb.lists import Ints, Side
    from facebench_ijb.sources import Benchmark, ReleaseFiles

_POINTS = tuple(f"{axis}{point}" for point in range(1, 6) for axis in "xy")


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """The lists, and what is needed to cut the pictures out.

    Attributes:
        lists: Pictures, templates, pairs, galleries, probes.
        files: Name of each picture below ``loose_crop``, (F,).
        points: Five points of each picture, float64 (F, 5, 2), x and y in pixels of the loose crop; None without list.
    """

    lists: Lists
    files: npt.NDArray[np.str_]
    points: npt.NDArray[np.float64] | None


def read_release(benchmark: Benchmark, found: ReleaseFiles) -> Release:
    """Reads and checks the lists.

    Raises:
        DataError: Naming file and line of whatever is malformed or does not agree.
    """
    members = read_blank_separated(found.members, {"picture": "text", "template": "integer", "media": "integer"})
    files = cast("npt.NDArray[np.str_]", members["picture"])
    points, faceness = _points(found.points, found.members, files) if found.points is not None else (None, None)
    ids, numbers = np.unique(cast("Ints", members["template"]), return_inverse=True)
    if int(ids[0]) < 0:
        at = int(np.argmin(cast("Ints", members["template"])))
        raise DataError(f"{found.members}, line {at + 1}: template {int(ids[0])} is below 0")
    rows = Rows(
        keys=keys_of(files, found.members, first_line=1),
        face=np.arange(len(files), dtype=np.int64),
        template=numbers.astype(np.int64),
        media=cast("Ints", members["media"]),
        faceness=faceness,
        ids=ids,
    )
    what = found.members.name
    pairs = None
    if found.pairs is not None:
        pairs = labelled_pairs(found.pairs, read_integers(found.pairs, columns=3).columns, ids, what=what)
    galleries = tuple(_side(name, path, ids, what) for name, path in found.galleries.items())
    for gallery, path in zip(galleries, found.galleries.values(), strict=True):
        check_gallery(gallery, path, ids)
    probes = _side("probes", found.probes, ids, what) if found.probes is not None else None
    lists = Lists(benchmark.name, rows, pairs, galleries, probes, tuple(_warnings(found)))
    return Release(lists, files, points)


def _points(
    path: Path, members: Path, files: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Five points (F, 5, 2) and detector score (F,) of each picture, line by line the same as the other list."""
    read = read_blank_separated(path, {"picture": "text", **dict.fromkeys(_POINTS, "number"), "faceness": "number"})
    names = read["picture"]
    count = min(len(names), len(files))
    differ = np.flatnonzero(names[:count] != files[:count])
    if differ.size:
        at = int(differ[0])
        raise DataError(
            f"{path}, line {at + 1}: picture {str(names[at])!r}, but {members.name} has {str(files[at])!r} there "
            f"({differ.size} lines differ); the two lists must go line by line"
        )
    if len(names) != len(files):
        shorter = path if len(names) < len(files) else members
        raise DataError(
            f"{shorter}, line {count + 1}: the list ends, but the other one goes on: {path.name} has {len(names)} "
            f"lines, {members.name} {len(files)}; is the file complete?"
        )
    faceness = cast("npt.NDArray[np.float64]", read["faceness"])
    if float(faceness.min()) < 0:
        at = int(np.argmin(faceness))
        raise DataError(f"{path}, line {at + 1}: the detector score is {faceness[at]:g}; it must not be below 0")
    points = np.stack([cast("npt.NDArray[np.float64]", read[name]) for name in _POINTS], axis=1)
    return points.reshape(-1, 5, 2), faceness.astype(np.float32)


def _side(name: str, path: Path, ids: Ints, what: str) -> Side:
    """A gallery or the probes: a CSV with one line for each picture, template and subject in the first two columns."""
    read = read_csv(
        path,
        {"template": "integer", "subject": "integer"},
        spellings={"template": ("TEMPLATE_ID", "#0"), "subject": ("SUBJECT_ID", "#1")},
    )
    templates, subjects = cast("Ints", read["template"]), cast("Ints", read["subject"])
    return side(name, path, templates, subjects, ids, first_line=2, what=what)


def _warnings(found: ReleaseFiles) -> list[str]:
    said = []
    if found.points is None:
        said.append("there is no list of detector scores (name_5pts_score): faceness is not used")
    absent = ", ".join(path.name for path in found.missing if path != found.points and "5pts" not in path.name)
    if found.pairs is None:
        said.append(f"1:1 verification is left out: {absent} is not there")
    elif found.probes is None:
        said.append(f"1:N identification is left out: {absent} not there")
    return said
