"""Scores of comparisons as files: those that a run keeps beside its results, and those that people bring.

Two forms are read: ``.npz`` with one array for each column, and ``.csv`` with a header line. Files come from strangers,
so nothing is unpickled, and whatever is wrong is told with the file and, in a CSV, the line.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import DataError, FacebenchError
from facebench.results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    Column = npt.NDArray[Any]

_TRUTHS = {"1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """N comparisons of two faces.

    Attributes:
        score: float64 (N,), higher is more alike, finite.
        same: Whether both faces show one person, (N,).
        subjects: Who is on either side, two (N,) arrays of strings; None when the file does not say.
        faces: Which pictures were compared, two (N,) arrays of strings; None when the file does not say.
    """

    score: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    subjects: tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None = None
    faces: tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def genuine(self) -> npt.NDArray[np.float64]:
        """Scores of one person with themself."""
        return self.score[self.same]

    @property
    def impostor(self) -> npt.NDArray[np.float64]:
        """Scores of two people."""
        return self.score[~self.same]

    @property
    def fingerprint(self) -> str:
        """Hash of what was compared, in order; the scores do not count."""
        digest = hashlib.sha256(np.packbits(self.same).tobytes())
        for sides in (self.faces, self.subjects):
            for side in sides or ():
                digest.update("\0".join(side.tolist()).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The scores of one protocol and method, with the result that they belong to.

    Attributes:
        path: The file of scores.
        columns: Its arrays by name, all of equal length.
        result: The result beside it; None for a file that people bring.
    """

    path: Path
    columns: Mapping[str, Column]
    result: Result | None

    @property
    def label(self) -> str:
        """What to call the method: plugin and model, or the file's name."""
        return self.path.name if self.result is None else f"{self.result.subject.plugin}, {self.result.subject.model}"

    def pairs(self) -> PairScores:
        """The comparisons of pairs.

        Raises:
            DataError: When the file holds something else, such as the places of an identification.
        """
        return _pairs(self.path, self.columns)


def find_scores(place: Path, *, protocol: str | None = None) -> Kept:
    """The scores at a place: a file of scores, a stored result, or a run folder.

    Args:
        place: ``scores.npz``, ``scores.csv``, ``results/lfw.json`` or ``runs/<name>``.
        protocol: Which of several results in a run folder.

    Raises:
        FacebenchError: When there is no such place, or the protocol must be named.
        DataError: When a file cannot be read.
    """
    if place.is_dir():
        return _of_result(_result_in(place, protocol))
    if not place.exists():
        raise FacebenchError(f"no scores at {place}: there is no such file or folder")
    if place.suffix == ".json":
        return _of_result(place)
    beside = place.with_name(place.name.removesuffix(".scores.npz") + ".json")
    result = Result.load(beside) if place.name.endswith(".scores.npz") and beside.is_file() else None
    return Kept(place, read_columns(place), result)


def read_columns(path: Path) -> dict[str, Column]:
    """All columns of a file of scores.

    Returns:
        One-dimensional arrays of one length: numbers, booleans or strings.

    Raises:
        DataError: When the file is neither ``.npz`` nor ``.csv``, damaged, empty, or its columns differ in length.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise DataError(f"{path}: scores are read from .npz or .csv files; found {suffix or 'no extension'}")
    columns = _from_csv(path) if suffix == ".csv" else _from_npz(path)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values()):
        told = ", ".join(f"{name} {count}" for name, count in lengths.items()) or "nothing"
        raise DataError(f"{path}: columns must have one length, at least 1; found {told}")
    return columns


def read_pairs(path: Path) -> PairScores:
    """Comparisons of pairs from a file with the columns ``score`` and ``same``.

    ``same`` is 0, 1, true or false. Optional columns: ``first_subject`` and ``second_subject`` say who is compared,
    ``first`` and ``second`` which pictures.

    Raises:
        DataError: When the file is not such a list of scores.
    """
    return _pairs(path, read_columns(path))


def _result_in(folder: Path, protocol: str | None) -> Path:
    found = {
        file.stem: file
        for base in (folder / "results", folder)
        for file in sorted(base.glob("*.json"), reverse=True)
        if not file.name.startswith(".")
    }
    names = ", ".join(sorted(found)) or "none"
    if protocol is not None and protocol not in found:
        raise FacebenchError(f"{folder} holds no result of {protocol!r}; found {names}")
    if protocol is None and len(found) != 1:
        hint = "name one with --protocol" if found else "name a run folder, a result or a file of scores"
        raise FacebenchError(f"{folder} holds {len(found)} results ({names}); {hint}")
    return found[protocol] if protocol is not None else next(iter(found.values()))


def _of_result(path: Path) -> Kept:
    result = Result.load(path)
    scores = path.with_name(f"{path.stem}.scores.npz")
    if not scores.is_file():
        raise DataError(f"{scores} is not there: the scores of {path.name} were not kept")
    return Kept(scores, read_columns(scores), result)


def _from_npz(path: Path) -> dict[str, Column]:
    """The arrays of an archive; a forged one makes numpy raise anything, and all of it means the same here."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored}
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: not an .npz file of scores: {reason}") from None
    for name, column in columns.items():
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind not in "biufUS":
            seen = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else "something that is no array"
            raise DataError(f"{path}: {name} must be one list of numbers or names, found {seen}")
    return columns


def _from_csv(path: Path) -> dict[str, Column]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            table = [(rows.line_num, row) for row in rows if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file: {error}") from None
    if not header or len(set(header)) != len(header) or not all(header):
        raise DataError(f"{path}: the first line must name the columns, as in 'score,same'; found {header!r}")
    for line, row in table:
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(header)} columns are named, found {len(row)} values")
    return {name: _csv_column(path, name, [(line, row[at]) for line, row in table]) for at, name in enumerate(header)}


def _csv_column(path: Path, name: str, cells: list[tuple[int, str]]) -> Column:
    """Truths for ``same``, numbers for ``score``, text for all else."""
    if name == "same":
        for line, cell in cells:
            if cell.strip().lower() not in _TRUTHS:
                raise DataError(f"{path}, line {line}: same must be 0, 1, true or false; found {cell[:40]!r}")
        return np.array([_TRUTHS[cell.strip().lower()] for _, cell in cells], dtype=np.bool_)
    if name != "score":
        return np.array([cell.strip() for _, cell in cells], dtype=np.str_)
    values = []
    for line, cell in cells:
        try:
            values.append(float(cell))
        except ValueError:
            raise DataError(f"{path}, line {line}: a score must be a number; found {cell[:40]!r}") from None
    return np.array(values, dtype=np.float64)


def _pairs(path: Path, columns: Mapping[str, Column]) -> PairScores:
    for name in ("score", "same"):
        if name not in columns:
            raise DataError(f"{path}: no column {name!r}; found {', '.join(columns)}")
    score, same = columns["score"], columns["same"]
    if score.dtype.kind not in "iuf":
        raise DataError(f"{path}: score must hold numbers, found {score.dtype}")
    bad = np.flatnonzero(~np.isfinite(score))
    if len(bad):
        raise DataError(f"{path}: score of comparison {bad[0] + 1} is {score[bad[0]]}, not a finite number")
    if same.dtype.kind not in "biuf" or not np.isin(same, (0, 1)).all():
        raise DataError(f"{path}: same must hold true and false, or 1 and 0; found {same.dtype}")
    return PairScores(
        score=score.astype(np.float64),
        same=same.astype(np.bool_),
        subjects=_sides(path, columns, "first_subject", "second_subject"),
        faces=_sides(path, columns, "first", "second"),
    )


def _sides(
    path: Path, columns: Mapping[str, Column], first: str, second: str
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None:
    given = [name in columns for name in (first, second)]
    if not any(given):
        return None
    if not all(given):
        raise DataError(f"{path}: columns {first!r} and {second!r} belong together; found one of them")
    return columns[first].astype(np.str_), columns[second].astype(np.str_)
