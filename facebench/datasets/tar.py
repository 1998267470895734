"""Pictures in an uncompressed tar, read in place: the fastest form on most disks, and one file instead of millions."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.handle import OpenFile
from facebench.datasets.naming import is_picture, name_pictures
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = tarfile.BLOCKSIZE
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZ": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class TarImages(OpenFile, EncodedImages):
    """A tar of pictures: scanned once for offsets, then read at random.

    Keys and labels follow the rules of ``ImageFolder`` after dropping the one folder that all members may share, so
    the tar of a folder is the same data set as the folder. Nothing is extracted. One file handle serves all threads.

    Args:
        path: The tar.

    Raises:
        DataError: When the file is compressed, damaged or cut short, holds no pictures, a key twice, or anything that
            no set of pictures needs: links, devices, sparse files, absolute names or names that climb with ``..``.
    """

    CALLED = "the tar"
    CHANGED = "the tar changed after it was opened; open it again"

    def __init__(self, path: Path) -> None:
        members: list[str] = []
        places: list[tuple[int, int]] = []
        for member in _members(path):
            name = _safe_name(member, path)
            if member.isfile() and is_picture(name):
                members.append(name)
                places.append((member.offset_data, member.size))
        names = name_pictures(members, source=str(path), drop_top=True)
        super().__init__(path, name=path.stem, keys=names.keys, labels=names.labels)
        self.prefix = names.prefix
        self._suffixes = [
            members[place][len(names.prefix) + len(key) :] for place, key in zip(names.order, names.keys, strict=True)
        ]
        self._places = np.array(places, dtype=np.int64)[names.order]
        self._hold()

    def encoded(self, index: int, /) -> bytes:
        """The bytes of one member."""
        offset, size = self._places[index].tolist()
        data = os.pread(self._handle, size, offset)
        if len(data) != size:
            raise DataError(f"{self.path}: {self.file(index)}: the tar became shorter while it was being read")
        return data

    def file(self, index: int, /) -> str:
        """The name of one member, without the dropped folder, with its extension."""
        return f"{self.keys[index]}{self._suffixes[index]}"


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """All members, without keeping them."""
    try:
        with path.open("rb") as file:
            _check_plain(file.read(8), path)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    # A list of all headers would take a kilobyte each.
                    archive.members.clear()  # type: ignore[attr-defined]
                    yield member
                end = archive.offset
            # The library takes any damaged header after the first for the end of the archive.
            file.seek(end)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise DataError(f"{path}: the tar is damaged or cut short at byte {end:,}; copy or download it again")
    except OSError as error:
        raise DataError(f"{path}: cannot read the tar: {error.strerror or error}") from None
    except (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError) as error:
        raise DataError(f"{path}: not a readable tar ({error})") from None


def _check_plain(start: bytes, path: Path) -> None:
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(f"{path}: compressed with {kind}, which allows no random access; unpack it to a plain .tar")


def _safe_name(member: tarfile.TarInfo, path: Path) -> str:
    """The member's name without empty parts and ``.``.

    Raises:
        DataError: When the name escapes or the member is no plain file or folder.
    """
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise DataError(f"{path}: member {member.name!r} points outside the archive; refused")
    if member.isdir():
        return "/".join(parts)
    if not member.isreg() or member.issparse():
        kind = "a link" if member.islnk() or member.issym() else "not a plain file"
        raise DataError(f"{path}: member {member.name!r} is {kind}; a tar of pictures holds plain files only")
    return "/".join(parts)
