"""NIST's CSV lists of IJB-A, IJB-B and IJB-C.

They name whole photographs and video frames with a box for each face, but neither landmarks nor detector scores: the
pictures must have been aligned by somebody, and faceness cannot be used. Several lists may name one template; they must
then name the same pictures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from facebench import DataError
from facebench_ijb.integers import read_integers
from facebench_ijb.lists import Lists, Pairs, Rows, check_gallery, numbered, side
from facebench_ijb.naming import stems
from facebench_ijb.tables import read_csv

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench_ijb.lists import Ints, Side
    from facebench_ijb.sources import Benchmark, NistFiles

# frames/1234_56.png is frame 56 of video 1234.
_FRAME = re.compile(r"^(frames?/.*?[^/]+)_[0-9]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """One CSV list: (N,) each."""

    path: Path
    template: Ints
    subject: Ints
    stem: npt.NDArray[np.str_]
    media: npt.NDArray[np.str_]


def read_nist(benchmark: Benchmark, found: NistFiles) -> Lists:
    """Reads and checks the lists.

    The key of a picture is its file name without ending; where a file shows several of the listed people, ``@`` and the
    subject's id follow. Media are those of the column MEDIA_ID or, without one, videos by the number in a frame's file
    name, and stills each by itself; in IJB-A's lists both agree.

    Raises:
        DataError: Naming file and line of whatever is malformed or does not agree.
    """
    paths = dict.fromkeys((*found.verified, *found.galleries.values(), *((found.probes,) if found.probes else ())))
    tables = {path: _table(path) for path in paths}
    rows, owner, repeated = _rows(list(tables.values()))
    what = "the lists"
    pairs = _pairs(found.matches, rows.ids, owner) if found.matches is not None else None
    galleries = tuple(_side(name, tables[path], rows.ids, what) for name, path in found.galleries.items())
    for gallery, path in zip(galleries, found.galleries.values(), strict=True):
        check_gallery(gallery, path, rows.ids)
    probes = _side("probes", tables[found.probes], rows.ids, what) if found.probes is not None else None
    said = ["these lists hold no detector scores: faceness is not used"]
    if repeated:
        said.append(f"{repeated} lines repeat a picture within its template and count once")
    absent = ", ".join(path.name for path in found.missing)
    if pairs is None:
        said.append(f"1:1 verification is left out: {absent} not there")
    elif probes is None:
        said.append(f"1:N identification is left out: {absent} not there")
    return Lists(benchmark.name, rows, pairs, galleries, probes, tuple(said), owner=owner)


def _table(path: Path) -> _Table:
    read = read_csv(
        path,
        {"template": "integer", "subject": "integer", "file": "text", "media": "integer"},
        spellings={
            "template": ("TEMPLATE_ID",),
            "subject": ("SUBJECT_ID",),
            "file": ("FILENAME", "FILE"),
            "media": ("MEDIA_ID", ""),
        },
    )
    template, subject = cast("Ints", read["template"]), cast("Ints", read["subject"])
    for name, values in (("template", template), ("subject", subject)):
        if int(values.min()) < 0:
            at = int(np.argmin(values))
            raise DataError(f"{path}, line {at + 2}: {name} {int(values[at])} is below 0")
    stem = stems(cast("npt.NDArray[np.str_]", read["file"]), path, first_line=2)
    media = read["media"].astype(np.str_) if "media" in read else _media(stem)
    return _Table(path, template, subject, stem, media)


def _media(stem: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    distinct, back = np.unique(stem, return_inverse=True)
    return np.array([_FRAME.sub(r"\1", name) for name in distinct.tolist()], dtype=np.str_)[back]


def _rows(tables: list[_Table]) -> tuple[Rows, Ints, int]:
    """All pictures of all templates, each once; the subject of each template; how many lines repeat another.

    Raises:
        DataError: When a template has two subjects, or lists disagree on its pictures.
    """
    template = np.concatenate([table.template for table in tables])
    subject = np.concatenate([table.subject for table in tables])
    ids, numbers = np.unique(template, return_inverse=True)
    owner = np.empty(len(ids), dtype=np.int64)
    owner[numbers] = subject
    _same_subject(tables, subject != owner[numbers])
    names = _keys(np.concatenate([table.stem for table in tables]), subject)
    keys, face = np.unique(names, return_inverse=True)
    _, media = np.unique(np.concatenate([table.media for table in tables]), return_inverse=True)
    cell = numbers.astype(np.int64) * len(keys) + face
    _, first = np.unique(cell, return_index=True)
    first = np.sort(first)
    repeated = _same_pictures(tables, cell, numbers, ids, len(first))
    rows = Rows(
        keys=keys,
        face=face[first].astype(np.int64),
        template=numbers[first].astype(np.int64),
        media=media[first].astype(np.int64),
        faceness=None,
        ids=ids,
    )
    return rows, owner, repeated


def _keys(stem: npt.NDArray[np.str_], subject: Ints) -> npt.NDArray[np.str_]:
    """Names of faces: the file, and whose face it is where the file shows several of the people."""
    files, file = np.unique(stem, return_inverse=True)
    couples = np.unique(np.stack([file.astype(np.int64), subject], axis=1), axis=0)
    shared = np.bincount(couples[:, 0], minlength=len(files)) > 1
    if not shared.any():
        return stem
    told = np.char.add(np.char.add(stem, "@"), subject.astype(np.str_))
    return np.where(shared[file], told, stem)


def _same_subject(tables: list[_Table], wrong: npt.NDArray[np.bool_]) -> None:
    start = 0
    for table in tables:
        part = wrong[start : start + len(table.template)]
        start += len(part)
        if part.any():
            at = int(np.argmax(part))
            raise DataError(
                f"{table.path}, line {at + 2}: template {int(table.template[at])} is of subject "
                f"{int(table.subject[at])} here and of another subject in another line"
            )


def _same_pictures(tables: list[_Table], cell: Ints, numbers: Ints, ids: Ints, distinct: int) -> int:
    """How many lines of one list repeat another of that list; every list must name all pictures of its templates."""
    repeated, start = 0, 0
    in_all = np.bincount(numbers[np.unique(cell, return_index=True)[1]], minlength=len(ids))
    for table in tables:
        part = slice(start, start + len(table.template))
        start = part.stop
        once = np.unique(cell[part], return_index=True)[1]
        repeated += len(table.template) - len(once)
        here = np.bincount(numbers[part][once], minlength=len(ids))
        short = np.flatnonzero((here > 0) & (here != in_all))
        if short.size:
            raise DataError(
                f"{table.path}: template {int(ids[short[0]])} has {int(here[short[0]])} pictures here, but with the "
                f"other lists {int(in_all[short[0]])} ({short.size} templates differ); are all lists of one release?"
            )
    return repeated


def _pairs(path: Path, ids: Ints, owner: Ints) -> Pairs:
    """Pairs by two template ids a line; whether they are one person, their subjects tell."""
    left, right = read_integers(path, columns=2).columns
    first = numbered(ids, left, path, first_line=1, what="the lists of templates").astype(np.int32)
    second = numbered(ids, right, path, first_line=1, what="the lists of templates").astype(np.int32)
    return Pairs(first, second, owner[first] == owner[second])


def _side(name: str, table: _Table, ids: Ints, what: str) -> Side:
    return side(name, table.path, table.template, table.subject, ids, first_line=2, what=what)
