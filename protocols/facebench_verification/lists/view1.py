"""LFW view 1: ``pairsDevTest.txt`` and, beside it, ``pairsDevTrain.txt``.

Either begins with one number n and holds n matched, then n mismatched pairs in LFW's form. There are no folds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench_verification.lists.reading import number_in, read_lines
from facebench_verification.pairs import Pairs, joined, read_pairs

if TYPE_CHECKING:
    from pathlib import Path

TRAIN, TEST = "train", "test"


def read_view1(path: Path) -> Pairs:
    """Reads the pairs to test on and, where there are any, those to choose a threshold on.

    Args:
        path: ``pairsDevTest.txt``; ``pairsDevTrain.txt`` is looked for beside it.

    Returns:
        Pairs whose ``group`` is ``train`` or ``test``.

    Raises:
        DataError: When a list is malformed or holds another number of pairs than it announces.
    """
    parts = [_half(path, TEST)]
    train = path.with_name("pairsDevTrain.txt")
    if train.is_file() and train != path:
        parts.insert(0, _half(train, TRAIN))
    return joined(parts)


def _half(path: Path, group: str) -> Pairs:
    announced = number_in(read_lines(path)[0][1])
    pairs = read_pairs(path)
    if announced is not None and len(pairs) != 2 * announced:
        raise DataError(
            f"{path}: line 1 announces {announced} + {announced} pairs, found {len(pairs)}; is the list cut short?"
        )
    count = len(pairs)
    return replace(pairs, folds=None, group=np.full(count, group), files=np.full(count, str(path)))
