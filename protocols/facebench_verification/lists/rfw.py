"""RFW: one list for each of four groups of people, ``txts/African/African_pairs.txt`` and so on.

A list has LFW's lines but no count line (a reader that always drops the first line loses a pair). Twelve identities
appear in two groups, so a key begins with its group: ``African/m.0c7mh2/m.0c7mh2_0003``. The groups are those that the
data set's authors assigned; facebench infers nothing about anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench_verification.pairs import Pairs, read_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUPS = ("Caucasian", "Indian", "Asian", "African")


def read_rfw(folder: Path) -> Pairs:
    """Reads the lists of all groups.

    Args:
        folder: ``txts``, which holds ``<group>/<group>_pairs.txt`` or ``<group>_pairs.txt``.

    Raises:
        DataError: When a list is missing or malformed.
    """
    found = {}
    for group in GROUPS:
        places = [folder / group / f"{group}_pairs.txt", folder / f"{group}_pairs.txt"]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise DataError(f"{folder}: no list of the group {group}; looked for {places[0]} and {places[1]}")
        pairs = read_pairs(path)
        found[group] = (str(path), pairs)
    return together({group: pairs for group, (_, pairs) in found.items()}, {g: file for g, (file, _) in found.items()})


def together(parts: Mapping[str, Pairs], files: Mapping[str, str]) -> Pairs:
    """Lists of several groups as one, with each group's name before its keys.

    Args:
        parts: The list of each group.
        files: Where each list was read, for messages.
    """
    subjects = None
    named = [pairs.subjects for pairs in parts.values() if pairs.subjects is not None]
    if len(named) == len(parts):
        subjects = (np.concatenate([who for who, _ in named]), np.concatenate([other for _, other in named]))
    return Pairs(
        first=np.concatenate([np.char.add(f"{group}/", pairs.first) for group, pairs in parts.items()]),
        second=np.concatenate([np.char.add(f"{group}/", pairs.second) for group, pairs in parts.items()]),
        same=np.concatenate([pairs.same for pairs in parts.values()]),
        subjects=subjects,
        folds=None,
        lines=np.concatenate([pairs.lines for pairs in parts.values()]),
        group=np.concatenate([np.full(len(pairs), group) for group, pairs in parts.items()]),
        files=np.concatenate([np.full(len(pairs), files[group]) for group, pairs in parts.items()]),
    )
