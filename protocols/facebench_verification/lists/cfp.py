"""CFP: pairs as numbers of pictures, in folders of folds.

``Protocol/Split/FP/01/same.txt`` and ``diff.txt`` hold lines ``5,1``: number 5 of ``Pair_list_F.txt`` (frontal) and
number 1 of ``Pair_list_P.txt`` (profiles), both counted from 1; in ``FF`` both are frontal. The two lists name the
pictures: ``1 ../Data/Images/001/frontal/01.jpg``. Layout as in the data set's own archive (Sengupta et al., WACV 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from facebench import DataError
from facebench_verification.lists.reading import PairList, key_of, number_in, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from facebench_verification.pairs import Pairs

FOLDS = 10


def read_cfp(protocol: Path, *, kind: Literal["FF", "FP"]) -> Pairs:
    """Reads the pairs of frontal-frontal or frontal-profile verification.

    Args:
        protocol: The folder ``Protocol``.
        kind: Which of the two.

    Raises:
        DataError: When a file is missing or a line does not fit; it names both.
    """
    frontal = _pictures(protocol / "Pair_list_F.txt")
    other = frontal if kind == "FF" else _pictures(protocol / "Pair_list_P.txt")
    listed = PairList(protocol)
    for fold in range(1, FOLDS + 1):
        for name in ("same.txt", "diff.txt"):
            file = protocol / "Split" / kind / f"{fold:02d}" / name
            for line, text in read_lines(file):
                numbers = [number_in(field.strip()) for field in text.split(",")]
                if len(numbers) != 2 or numbers[0] not in frontal or numbers[1] not in other:
                    raise DataError(
                        f"{file}, line {line}: expected 'n,m' up to {len(frontal)} and {len(other)}, "
                        f"found {text[:80]!r}"
                    )
                keys = (frontal[numbers[0]], other[numbers[1]])
                people = (keys[0].split("/")[0], keys[1].split("/")[0])
                if (people[0] == people[1]) != (name == "same.txt"):
                    raise DataError(f"{file}, line {line}: {keys[0]} and {keys[1]} do not belong into {name}")
                listed.add(keys, same=name == "same.txt", line=line, people=people, fold=fold, file=file)
    return listed.pairs()


def _pictures(path: Path) -> dict[int | None, str]:
    """Key of each picture by its number."""
    found: dict[int | None, str] = {}
    for line, text in read_lines(path):
        number, _, picture = text.partition(" ")
        below = key_of(picture.strip()).rpartition("Images/")[2]
        if number_in(number) != len(found) + 1 or below.count("/") != 2:
            raise DataError(
                f"{path}, line {line}: expected '{len(found) + 1} ../Data/Images/001/frontal/01.jpg', "
                f"found {text[:80]!r}"
            )
        found[len(found) + 1] = below
    return found
