"""Many plain tars as one data set: the form of sets too large for one file, or made by many hands at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.handle import OpenFile
from facebench.datasets.naming import is_picture, key_of, name_pictures
from facebench.datasets.tar import TarImages
from facebench.datasets.writing import MANIFEST, PREVIEW
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

# Shards that stay open; a process may often have no more than 1,024 files open. Of sets with more shards, each is
# opened for every picture, which costs a tenth of decoding it.
_MOST_OPEN: Final = 128


class TarShards(EncodedImages):
    """A folder of plain tars (``shard-00000.tar``, ...), read at random as if all members lay in one tar.

    Keys, labels and order follow the rules of ``TarImages`` over the members of all shards together: they do not depend
    on where a set was cut, and a person may have pictures in several shards. A folder that begins every name in all
    shards is dropped; one that wraps the members of a single shard is not.

    Args:
        path: The folder; hidden files and those of other kinds are passed over.

    Raises:
        DataError: When the folder cannot be read or holds no tar, a shard is none of the tars that ``TarImages`` reads,
            or two pictures have one key; both shards are named.
    """

    def __init__(self, path: Path) -> None:
        shards = _shards(path)
        if not shards:
            raise DataError(f"{path}: no shards found; files ending in .tar are read")
        members: list[str] = []
        places: list[npt.NDArray[np.int64]] = []
        self._held: list[_Shard] = []
        self._paths = shards
        self._states: list[tuple[int, int]] = []
        for number, shard in enumerate(shards):
            scanned = _Scanned(shard)
            members += scanned.members
            places.append(np.column_stack([np.full(len(scanned), number), scanned.places]))
            self._states.append(scanned.state)
            if len(shards) <= _MOST_OPEN:
                self._held.append(self._opened(number))
        where = np.concatenate(places)
        _check_unique(members, where[:, 0], shards)
        names = name_pictures(members, source=str(path), drop_top=True)
        super().__init__(path, name=path.resolve().name, keys=names.keys, labels=names.labels)
        self.prefix = names.prefix
        self._suffixes = [
            members[place][len(names.prefix) + len(key) :] for place, key in zip(names.order, names.keys, strict=True)
        ]
        self._where = where[names.order]

    def encoded(self, index: int, /) -> bytes:
        """The bytes of one member."""
        number, offset, size = self._where[index].tolist()
        shard = self._held[number] if self._held else self._opened(number)
        data = shard.read(offset, size)
        if len(data) != size:
            raise DataError(f"{shard.path}: {self.file(index)}: the tar became shorter while it was being read")
        return data

    def file(self, index: int, /) -> str:
        """The name of one member, without the dropped folder, with its extension."""
        return f"{self.keys[index]}{self._suffixes[index]}"

    def shard(self, index: int, /) -> Path:
        """The tar in which one picture lies."""
        return self._paths[int(self._where[index, 0])]

    def _opened(self, number: int) -> _Shard:
        """A shard as it was when it was scanned.

        Raises:
            DataError: When it is gone or another by now.
        """
        shard = _Shard(self._paths[number])
        if shard.state != self._states[number]:
            raise DataError(f"{shard.path}: {shard.CHANGED}")
        return shard


class _Shard(OpenFile):
    """An open tar."""

    CALLED = "the tar"
    CHANGED = "the tar changed after it was opened; open the folder again"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hold()
        self.state = self._seen

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._handle, size, offset)


class _Scanned(TarImages):
    """What a shard says of itself before names are given: its members in full, and where they lie.

    Attributes:
        members: The names, the folder that all may share included, (n,).
        places: Offset and size, int64 (n, 2).
        state: Size and time of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.members = [f"{self.prefix}{self.file(index)}" for index in range(len(self))]
        self.places = self._places
        self.state = self._seen


def holds_shards(folder: Path) -> bool:
    """Whether a folder holds tars and nothing that may be a set of pictures besides: no picture, no folder.

    A preview beside a manifest shows the set, and is no picture of it.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_dir() for entry in entries if not entry.name.startswith(".")}
    except OSError as error:
        raise DataError(f"{folder}: cannot read the folder: {error.strerror}") from None
    if MANIFEST in found:
        found.pop(PREVIEW, None)
    tars = any(_is_tar(name) for name in found)
    return tars and not any(is_folder or is_picture(name) for name, is_folder in found.items())


def _is_tar(name: str) -> bool:
    return name.lower().endswith(".tar") and not name.startswith(".")


def _shards(folder: Path) -> list[Path]:
    """The tars of a folder in the order of their names."""
    try:
        found = [entry for entry in folder.iterdir() if _is_tar(entry.name)]
    except OSError as error:
        raise DataError(f"{folder}: cannot read the folder: {error.strerror}") from None
    return sorted((entry for entry in found if entry.is_file()), key=lambda entry: entry.name)


def _check_unique(members: Sequence[str], numbers: npt.NDArray[np.int64], shards: Sequence[Path]) -> None:
    """Refuses a key that two shards have; that no shard has one twice is known by now.

    Raises:
        DataError: Naming the first such key and both shards.
    """
    if len(set(map(key_of, members))) == len(members):
        return
    seen: dict[str, int] = {}
    for member, number in zip(members, numbers.tolist(), strict=True):
        key = key_of(member)
        if key in seen:
            first, second = shards[seen[key]], shards[number]
            raise DataError(
                f"{first.parent}: both {first.name} and {second.name} have a picture {key!r}; names without extension "
                "must be unique over all shards"
            )
        seen[key] = number
