"""Lists of pairs: who is compared with whom, and whether they are the same person.

Real copies differ in blanks and line ends, so every reader splits on any white space, and whatever is wrong is told
with the line it stands in.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

# Not str.isdigit: that takes superscripts too, and int() takes no number of any length.
_NUMBER = re.compile(r"[0-9]{1,9}")
_ENDING = re.compile(r"\.(jpe?g|png|bmp|webp|pgm|ppm)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """N comparisons in the order of their list.

    Attributes:
        first: Key of the first face of each pair, (N,).
        second: Key of the second one, (N,).
        same: Whether both show one person, (N,).
        subjects: Who is on either side, two (N,) arrays; None when the list does not say.
        folds: Runs of consecutive pairs to fold the list into; None when the list does not say.
        lines: Where each pair stands in its file, (N,), for messages.
        fold: Fold of each pair, (N,), where the list gives it; else runs of consecutive pairs are folds.
        group: Name of the group that each pair belongs to, (N,), in sets that are evaluated group by group.
        quality: Quality of the first and of the second picture, two float64 (N,) arrays, higher is better.
        files: File of each pair, (N,), where the list is several.
    """

    first: npt.NDArray[np.str_]
    second: npt.NDArray[np.str_]
    same: npt.NDArray[np.bool_]
    subjects: tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None
    folds: int | None
    lines: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64] | None = None
    group: npt.NDArray[np.str_] | None = None
    quality: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    files: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.same)

    @property
    def keys(self) -> npt.NDArray[np.str_]:
        """Each face once, in the order of its name."""
        return np.unique(np.concatenate([self.first, self.second]))

    def where(self, pair: int, listed_in: Path | str) -> str:
        """File and line of one pair, in words."""
        return f"{listed_in if self.files is None else self.files[pair]}, line {self.lines[pair]}"

    def rows(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Pairs:
        """Some of the pairs, or all in another order; how many folds there are stays as it is."""

        def cut(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(part[chosen] for part in value)
            return value[chosen] if isinstance(value, np.ndarray) else value

        return Pairs(**{field.name: cut(getattr(self, field.name)) for field in dataclasses.fields(self)})


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Several lists, one after the other; what one of them does not say, the whole does not say."""

    def together(values: list[Any]) -> Any:
        if any(value is None for value in values):
            return None
        if isinstance(values[0], tuple):
            return tuple(np.concatenate(part) for part in zip(*values, strict=True))
        return np.concatenate(values)

    names = [field.name for field in dataclasses.fields(Pairs) if field.name != "folds"]
    return Pairs(folds=None, **{name: together([getattr(part, name) for part in parts]) for name in names})


def read_pairs(path: Path) -> Pairs:
    """Reads a list of pairs in one of two forms, told apart by its lines.

    * LFW's: an optional first line ``folds count`` or ``count``, then ``name n m`` for the same person and
      ``name n other m`` for two people. Image 4 of Abel_Pacheco is ``Abel_Pacheco/Abel_Pacheco_0004``.
    * ``path path 0|1`` (1 = same person): each path is a key, with or without a file ending.

    Raises:
        DataError: When the file cannot be read or a line fits neither form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable list of pairs: {error}") from None
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: the list of pairs is empty")
    folds, per_fold = None, None
    if all(map(_NUMBER.fullmatch, rows[0][1])) and len(rows[0][1]) <= 2:
        folds, per_fold = _count_line(rows.pop(0)[1])
    # A person's name may be a number, so the form is that of the whole list, not of one line.
    generic = all(
        len(fields) == 3 and fields[2] in ("0", "1") and not _NUMBER.fullmatch(fields[1]) for _, fields in rows
    )
    pairs = _generic(rows) if generic else _lfw(path, rows, folds)
    if per_fold is not None and folds is not None and len(pairs) != 2 * folds * per_fold:
        raise DataError(
            f"{path}: line 1 announces {folds} folds of {per_fold} + {per_fold} pairs, found {len(pairs)} pairs"
        )
    if not len(pairs):
        raise DataError(f"{path}: the list of pairs is empty")
    return pairs


def _count_line(fields: list[str]) -> tuple[int | None, int | None]:
    """LFW view 2 begins with ``folds pairs``, view 1 with ``pairs``."""
    return (int(fields[0]), int(fields[1])) if len(fields) == 2 else (None, None)


def _lfw(path: Path, rows: list[tuple[int, list[str]]], folds: int | None) -> Pairs:
    first, second, who, other, same = [], [], [], [], []
    for number, fields in rows:
        if len(fields) not in (3, 4) or not _NUMBER.fullmatch(fields[1]) or not _NUMBER.fullmatch(fields[-1]):
            raise DataError(
                f"{path}, line {number}: expected 'name n m', 'name n name m' or 'path path 0|1', "
                f"found {' '.join(fields)[:80]!r}"
            )
        name, partner = fields[0], fields[-2] if len(fields) == 4 else fields[0]
        first.append(_image(name, fields[1]))
        second.append(_image(partner, fields[-1]))
        who.append(name)
        other.append(partner)
        same.append(len(fields) == 3)
        if len(fields) == 4 and name == partner:
            raise DataError(f"{path}, line {number}: {name!r} is paired with itself as a different person")
    return Pairs(
        first=np.array(first, dtype=np.str_),
        second=np.array(second, dtype=np.str_),
        same=np.array(same, dtype=np.bool_),
        subjects=(np.array(who, dtype=np.str_), np.array(other, dtype=np.str_)),
        folds=folds,
        lines=np.array([number for number, _ in rows], dtype=np.int64),
    )


def _image(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def _generic(rows: list[tuple[int, list[str]]]) -> Pairs:
    return Pairs(
        first=np.array([_ENDING.sub("", fields[0]) for _, fields in rows], dtype=np.str_),
        second=np.array([_ENDING.sub("", fields[1]) for _, fields in rows], dtype=np.str_),
        same=np.array([fields[2] == "1" for _, fields in rows], dtype=np.bool_),
        subjects=None,
        folds=None,
        lines=np.array([number for number, _ in rows], dtype=np.int64),
    )
