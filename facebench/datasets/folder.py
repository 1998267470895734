"""Pictures in a folder, one sub-folder per person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.naming import is_picture, name_pictures
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Deep enough for every known layout; a link that points to a folder above itself ends here instead of never.
_DEEPEST = 16


class ImageFolder(EncodedImages):
    """``<class>/<picture>`` below a folder, or below its sub-folder ``images`` when everything lies there.

    The key is the path below the root without extension (``Abel_Pacheco/Abel_Pacheco_0001``); the class is the folder
    that holds the picture, numbered in name order; pictures directly in the root are unlabelled. Other files and hidden
    ones are passed over. Links are followed.

    Args:
        path: The folder.

    Raises:
        DataError: When the folder cannot be read, holds no pictures, or two pictures differ only in their extension.
    """

    def __init__(self, path: Path) -> None:
        paths = list(_pictures(path, "", 0))
        names = name_pictures(paths, source=str(path), drop_top=False)
        super().__init__(path, name=path.resolve().name, keys=names.keys, labels=names.labels)
        self.prefix = names.prefix
        self._suffixes = [
            paths[place][len(names.prefix) + len(key) :] for place, key in zip(names.order, names.keys, strict=True)
        ]
        self._root = str(path / names.prefix)

    def encoded(self, index: int, /) -> bytes:
        """The file of one picture."""
        file = self.file(index)
        try:
            return Path(self._root, file).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path}: {file}: cannot read the picture: {error.strerror}") from None

    def file(self, index: int, /) -> str:
        """The path of one picture below the root, with its extension."""
        return f"{self.keys[index]}{self._suffixes[index]}"


def _pictures(root: Path, below: str, depth: int) -> Iterator[str]:
    """Paths of all pictures below the root, parts joined by ``/``."""
    if depth > _DEEPEST:
        raise DataError(f"{root}: folders nested deeper than {_DEEPEST}; does a link below {below!r} point upwards?")
    try:
        with os.scandir(root / below) as entries:
            found = [(entry.name, entry.is_dir(), entry.is_file()) for entry in entries]
    except OSError as error:
        raise DataError(f"{root / below}: cannot read the folder: {error.strerror}") from None
    for name, is_folder, is_file in found:
        if is_folder and not name.startswith("."):
            yield from _pictures(root, f"{below}{name}/", depth + 1)
        elif is_file and is_picture(below + name):
            yield below + name
