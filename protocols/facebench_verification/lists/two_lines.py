"""CALFW, CPLFW and SLLFW: two consecutive lines make a pair.

* CALFW and CPLFW: ``picture label``, blank separated. The label of the first line counts; 0 means two people and any
  other number the same person (in CALFW it is not always 1). All pairs of one kind come first, so a cut of the file
  order into folds would hold one kind each: fold k takes the k-th tenth of either kind instead, which is what the packs
  of these sets hold.
* SLLFW: ``Name/Name_0001.jpg`` alone; equal folders are the same person. The order is LFW's, folds of 300 + 300.

Read from FaceX-Zoo's ``pairs_parser.py`` (the first form) and from public readers of ``pair_SLLFW.txt`` (the second).
Copies in LFW's form or as ``path path 0|1`` are read too, in the order they have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench_verification.lists.reading import PairList, key_of, number_in, person_of, read_lines
from facebench_verification.pairs import read_pairs

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench_verification.pairs import Pairs

FOLDS = 10


def read_two_lines(path: Path) -> Pairs:
    """Reads a list of two lines a pair, or one in LFW's form.

    Raises:
        DataError: When the file cannot be read, a line does not fit, or a pair lacks its second line.
    """
    lines = [(number, line.split()) for number, line in read_lines(path)]
    widths = {len(fields) for _, fields in lines[1:]}
    if not widths & {1, 2}:
        return read_pairs(path)
    width = len(lines[0][1])
    listed = PairList(path)
    for (number, fields), (next_number, next_fields) in zip(lines[::2], lines[1::2], strict=False):
        for place, found in ((number, fields), (next_number, next_fields)):
            if len(found) != width or width > 2 or (width == 2 and number_in(found[1].removeprefix("-")) is None):
                form = "'picture label'" if width == 2 else "one picture"
                raise DataError(f"{path}, line {place}: expected {form}, found {' '.join(found)[:80]!r}")
        keys = (key_of(fields[0]), key_of(next_fields[0]))
        people = (person_of(keys[0]), person_of(keys[1]))
        same = int(fields[1]) != 0 if width == 2 else people[0] == people[1]
        listed.add(keys, same=same, line=number, people=people)
    if len(lines) % 2:
        raise DataError(
            f"{path}, line {lines[-1][0]}: {len(lines)} lines make no pairs; the last one lacks its partner"
        )
    return _folded(listed.pairs())


def _folded(pairs: Pairs) -> Pairs:
    """Pairs in order of folds, where the list has one kind after the other."""
    turns = np.count_nonzero(np.diff(pairs.same.astype(np.int8)))
    if turns != 1:
        return replace(pairs, folds=FOLDS)
    fold = np.empty(len(pairs), dtype=np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(pairs.same == kind)
        if len(rows) < FOLDS:
            return pairs
        for number, run in enumerate(np.array_split(rows, FOLDS)):
            fold[run] = number
    order: npt.NDArray[np.int64] = np.lexsort((~pairs.same, fold))
    return replace(pairs.rows(order), fold=fold[order], folds=FOLDS)
