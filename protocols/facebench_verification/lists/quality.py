"""XQLFW: LFW's form, with a quality score for each picture in a second file."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench_verification.lists.reading import number_in, read_lines
from facebench_verification.pairs import read_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from facebench_verification.pairs import Pairs


def read_xqlfw(path: Path) -> Pairs:
    """Reads ``xqlfw_pairs.txt`` and, if it lies beside it, ``xqlfw_scores.txt``.

    The scores (higher is better) do not change any accuracy; they are kept with each pair.

    Raises:
        DataError: When a list is malformed or a listed picture has no score.
    """
    pairs = read_pairs(path)
    scores = path.with_name("xqlfw_scores.txt")
    return with_quality(pairs, scores) if scores.is_file() else pairs


def with_quality(pairs: Pairs, path: Path) -> Pairs:
    """Pairs with the quality of their pictures.

    Args:
        pairs: The pairs.
        path: Lines ``name number score`` after one line of column names (``ID Num Score``), as in the public file.

    Raises:
        DataError: When a line does not fit or a picture has no score.
    """
    found: dict[str, float] = {}
    for line, text in read_lines(path):
        fields = text.replace(",", " ").split()
        number = number_in(fields[1]) if len(fields) == 3 else None
        if number is None and line == 1:
            continue
        score = _score(fields[-1])
        if number is None or score is None:
            raise DataError(f"{path}, line {line}: expected 'name number score', found {text[:80]!r}")
        found[f"{fields[0]}/{fields[0]}_{number:04d}"] = score
    lacking = [str(key) for key in pairs.keys if str(key) not in found]
    if lacking:
        raise DataError(f"{path}: no score for {lacking[0]!r} ({len(lacking)} of {len(pairs.keys)} pictures)")
    first, second = ([found[str(key)] for key in keys] for keys in (pairs.first, pairs.second))
    return replace(pairs, quality=(np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)))


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
