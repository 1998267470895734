"""Pictures that were made here put where people keep pictures: encoded, and a block of them at a time.

What is written depends on the pictures alone, not on time, user or machine, and a block appears whole: who is killed
in the middle leaves nothing that a reader takes for pictures.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tarfile
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal, get_args

from facebench.errors import ConfigError, FacebenchError
from facebench.images import encode_jpeg, encode_png
from facebench.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

Encoding = Literal["jpeg", "png"]

SUFFIX: Final[dict[Encoding, str]] = {"jpeg": ".jpg", "png": ".png"}
# What a set that was made here has beside its pictures; in a folder of pictures, these lie below ``IMAGES``.
MANIFEST: Final = "manifest.json"
PREVIEW: Final = "preview.png"
IMAGES: Final = "images"


def encode(
    images: npt.NDArray[np.uint8], encoding: Encoding, *, quality: int = 95, pool: Executor | None = None
) -> list[bytes]:
    """Pictures as files.

    Args:
        images: uint8 (N, H, W, 3), RGB.
        encoding: ``png`` loses nothing and takes ten times as long; ``jpeg`` keeps colour at full resolution (4:4:4).
        quality: Of JPEG, 1..100.
        pool: Threads to encode in; both encoders let others work meanwhile.

    Raises:
        ConfigError: When there is no such encoding.
    """
    if encoding not in get_args(Encoding):
        raise ConfigError(f"unknown encoding {encoding!r} of pictures; it must be one of: {', '.join(SUFFIX)}")
    one = encode_png if encoding == "png" else partial(encode_jpeg, quality=quality)
    return list(map(one, images) if pool is None else pool.map(one, images))


def write_folder(folder: Path, names: Sequence[str], files: Iterable[bytes], *, pool: Executor | None = None) -> None:
    """Writes a block of pictures as ``PERSON/PICTURE.jpg`` below a folder.

    Everything is written aside and flushed; then each person's folder is put in place in one step, and what was there
    under that name is gone.

    Args:
        folder: Where; made if need be.
        names: ``PERSON/PICTURE.jpg`` of each picture, (N,); all pictures of a person belong to one block.
        files: The pictures, encoded, (N,).
        pool: Threads to flush in; disks take several files at once in half the time.

    Raises:
        FacebenchError: When the system refuses: no permission, no space, a file in the way.
    """
    # A hidden name, so that what a killed process leaves is never taken for pictures.
    aside = folder / f".block-{secrets.token_hex(6)}"
    people = dict.fromkeys(name.partition("/")[0] for name in names)
    try:
        try:
            for person in people:
                (aside / person).mkdir(parents=True)
            for name, data in zip(names, files, strict=True):
                (aside / name).write_bytes(data)
            # Afterwards, since one flush takes much of the others along.
            list((map if pool is None else pool.map)(_flush, [aside / name for name in names]))
            for person in people:
                shutil.rmtree(folder / person, ignore_errors=True)
                (aside / person).rename(folder / person)
            if people:
                _flush(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise FacebenchError(f"cannot write pictures to {folder}: {error.strerror or error}") from error


def _flush(path: Path) -> None:
    """Waits until a file, or a folder where the system can do that, is on the disk."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_tar(path: Path, names: Sequence[str], files: Iterable[bytes]) -> None:
    """Writes pictures into one plain tar that ``TarImages`` reads.

    Args:
        path: The tar; replaced in one step.
        names: Of the members, (N,), in their order.
        files: The pictures, encoded, (N,).

    Raises:
        FacebenchError: When the system refuses.
    """

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, data in zip(names, files, strict=True):
                # Time, owner and rights stay what they are by default: 0, nobody and 0644.
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, BytesIO(data))

    write_atomic(path, write)
