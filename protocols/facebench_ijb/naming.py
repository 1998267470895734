"""How pictures of a list get their keys: by the rule of every other reader, the path without its ending."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_ENDING = re.compile(r"\.(jpe?g|png|bmp|webp|pgm|ppm)$", re.IGNORECASE)


def stems(files: npt.NDArray[np.str_], path: Path, *, first_line: int) -> npt.NDArray[np.str_]:
    """File names without picture endings, (N,).

    Raises:
        DataError: When a name leaves the folder of pictures.
    """
    distinct, back = np.unique(files, return_inverse=True)
    for number, name in enumerate(distinct.tolist()):
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or "\0" in name or ":" in parts[0]:
            line = int(np.argmax(back == number)) + first_line
            raise DataError(
                f"{path}, line {line}: picture {name[:80]!r} points outside the folder of pictures; refused"
            )
    return np.array([_ENDING.sub("", name) for name in distinct.tolist()], dtype=np.str_)[back]


def keys_of(files: npt.NDArray[np.str_], path: Path, *, first_line: int) -> npt.NDArray[np.str_]:
    """Keys of pictures that each stand in one line, (N,).

    Raises:
        DataError: When a picture stands in two lines, or leaves the folder.
    """
    keys = stems(files, path, first_line=first_line)
    distinct, first = np.unique(keys, return_index=True)
    if len(distinct) != len(keys):
        again = np.ones(len(keys), dtype=np.bool_)
        again[first] = False
        at = int(np.argmax(again))
        raise DataError(f"{path}, line {at + first_line}: picture {str(keys[at])!r} stands in the list twice")
    return keys
