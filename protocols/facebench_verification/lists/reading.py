"""What every reader of lists needs: numbered lines in, ``Pairs`` out, errors that name file and line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench_verification.pairs import Pairs

if TYPE_CHECKING:
    from pathlib import Path

_NUMBER = re.compile(r"[0-9]{1,9}")
_ENDING = re.compile(r"\.(jpe?g|png|bmp|webp|pgm|ppm)$", re.IGNORECASE)
_COUNTED = re.compile(r"^(.+)_[0-9]+$")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that hold anything, each with its number from 1 on.

    Raises:
        DataError: When the file cannot be read, is no text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a readable list: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the list: {error.strerror}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the list is empty")
    return lines


def number_in(text: str) -> int | None:
    """A whole number without sign, or None."""
    return int(text) if _NUMBER.fullmatch(text) else None


def key_of(path: str) -> str:
    """The key of a listed picture: its path without the file ending."""
    return _ENDING.sub("", path.replace("\\", "/"))


def person_of(key: str) -> str:
    """Who a picture shows by the custom of LFW's relatives: ``Name_0001`` shows ``Name``."""
    stem = key.rpartition("/")[2]
    counted = _COUNTED.match(stem)
    return counted.group(1) if counted else stem


class PairList:
    """Pairs as they are read, one after the other.

    Args:
        path: The list, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[list[str], list[str]] = ([], [])
        self._people: tuple[list[str], list[str]] = ([], [])
        self._same: list[bool] = []
        self._fold: list[int] = []
        self._lines: list[int] = []
        self._files: list[str] = []

    def __len__(self) -> int:
        return len(self._same)

    def add(
        self,
        keys: tuple[str, str],
        *,
        same: bool,
        line: int,
        people: tuple[str, str] | None = None,
        fold: int | None = None,
        file: Path | None = None,
    ) -> None:
        """One more pair.

        Args:
            keys: Of the two pictures.
            same: Whether they show one person.
            line: Where it stands in its file.
            people: Who is shown; for all pairs or for none.
            fold: Its fold; for all pairs or for none.
            file: Its file, where the list is several.
        """
        self._keys[0].append(keys[0])
        self._keys[1].append(keys[1])
        if people is not None:
            self._people[0].append(people[0])
            self._people[1].append(people[1])
        if fold is not None:
            self._fold.append(fold)
        self._same.append(same)
        self._lines.append(line)
        self._files.append(str(file or self._path))

    def pairs(self) -> Pairs:
        """All pairs, in the order in which they came.

        Names that contradict the truth values say nothing reliable about who is shown, and are left out.

        Raises:
            DataError: When there is none.
        """
        if not self._same:
            raise DataError(f"{self._path}: the list of pairs is empty")
        same = np.array(self._same, dtype=np.bool_)
        subjects = None
        if self._people[0]:
            who, partner = (np.array(names, dtype=np.str_) for names in self._people)
            subjects = (who, partner) if np.array_equal(who == partner, same) else None
        fold = np.array(self._fold, dtype=np.int64) if self._fold else None
        return Pairs(
            first=np.array(self._keys[0], dtype=np.str_),
            second=np.array(self._keys[1], dtype=np.str_),
            same=same,
            subjects=subjects,
            folds=len(np.unique(fold)) if fold is not None else None,
            lines=np.array(self._lines, dtype=np.int64),
            fold=fold,
            files=np.array(self._files, dtype=np.str_),
        )
