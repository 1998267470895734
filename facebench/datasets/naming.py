"""How pictures get their keys, classes and order from their paths.

The rule is one for folders and tars, so that a folder and the tar made of it are the same data set: same keys, same
labels, same order, same fingerprint. Orders are plain (code point by code point, folder by folder), not "natural",
because that is how the readers behind published sets sort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".pnm", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Names:
    """The pictures of a data set.

    Attributes:
        order: Position of each picture in the paths that were given, int64 (N,).
        keys: Path below the data set's root, without suffix: ``Abel_Pacheco/Abel_Pacheco_0001``.
        labels: Class by sorted folder name, int64 (N,); -1 directly in the root.
        prefix: What was cut off every path in front; empty, or ending in ``/``.
    """

    order: npt.NDArray[np.int64]
    keys: list[str]
    labels: npt.NDArray[np.int64]
    prefix: str


def is_picture(path: str) -> bool:
    """Whether a path (parts joined by ``/``) names a picture that is meant to be seen."""
    parts = path.split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    return suffix(parts[-1]) in SUFFIXES


def suffix(path: str) -> str:
    """The last extension, with its dot, in lower case."""
    dot = path.rfind(".")
    return path[dot:].lower() if dot > path.rfind("/") else ""


def key_of(path: str) -> str:
    """A path without its last extension."""
    found = suffix(path)
    return path[: -len(found)] if found else path


def name_pictures(paths: Sequence[str], *, source: str, drop_top: bool) -> Names:
    """Sorts pictures and names them.

    Args:
        paths: Path of each picture, parts joined by ``/``.
        source: What errors call the data set.
        drop_top: Whether a folder that all paths begin with is only a wrapper, as in a tar of a folder. A folder
            ``images`` that holds everything is a wrapper in any case.

    Raises:
        DataError: When there is no picture, or two have the same key.
    """
    if not paths:
        raise DataError(f"{source}: no pictures found; files ending in {', '.join(sorted(SUFFIXES))} are read")
    prefix = _prefix(paths, drop_top=drop_top)
    order = sorted(range(len(paths)), key=lambda index: by_name(paths[index]))
    keys = [key_of(paths[index][len(prefix) :]) for index in order]
    check_unique(keys, source=source)
    return Names(np.array(order, dtype=np.int64), keys, _labels(keys), prefix)


def by_name(path: str) -> str:
    """Sort key that orders paths folder by folder: the separator comes before every other character."""
    return path.replace("/", "\0")


def check_unique(keys: Sequence[str], *, source: str) -> None:
    """Refuses two pictures of one key.

    Raises:
        DataError: Naming the first key that occurs again.
    """
    if len(set(keys)) == len(keys):
        return
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise DataError(f"{source}: two pictures have the key {key!r}; names without extension must be unique")
        seen.add(key)


def dense(values: Iterable[int]) -> npt.NDArray[np.int64]:
    """Class numbers renumbered 0..C-1 in ascending order, (N,); negative ones become -1 (unknown)."""
    given = np.fromiter(values, dtype=np.int64)
    known = np.unique(given[given >= 0])
    return np.where(given >= 0, np.searchsorted(known, given), -1).astype(np.int64)


def _prefix(paths: Sequence[str], *, drop_top: bool) -> str:
    prefix = ""
    top, slash, _ = paths[0].partition("/")
    if drop_top and slash and all(path.startswith(top + "/") for path in paths):
        prefix = top + "/"
    wrapper = prefix + "images/"
    return wrapper if all(path.startswith(wrapper) for path in paths) else prefix


def _labels(keys: Sequence[str]) -> npt.NDArray[np.int64]:
    folders = [key.rpartition("/")[0] for key in keys]
    classes = {folder: label for label, folder in enumerate(sorted(set(folders) - {""}, key=by_name))}
    classes[""] = -1
    return np.array([classes[folder] for folder in folders], dtype=np.int64)
