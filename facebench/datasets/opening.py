"""One door to all forms: looks at a path and opens what lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.datasets.folder import ImageFolder
from facebench.datasets.listing import CsvList
from facebench.datasets.pack import PackImages
from facebench.datasets.records import RecordImages, holds_records
from facebench.datasets.shards import TarShards, holds_shards
from facebench.datasets.tar import TarImages
from facebench.datasets.writing import IMAGES, MANIFEST, PREVIEW
from facebench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from facebench.datasets.encoded import EncodedImages

FORMS = (
    "a folder of pictures, a plain .tar of pictures or a folder of them, a .csv list (path,label) beside its pictures, "
    "an InsightFace pack (.bin or .bin.xz), an InsightFace training set (a folder with .rec and .idx, or the .rec)"
)
_COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst", ".zip")


def open_images(path: Path) -> EncodedImages:
    """The faces at a path; the form is told by what is there and, for files, by the extension.

    Args:
        path: A folder or file; see ``FORMS``.

    Raises:
        DataError: When nothing is there, the form is none of those read, or the data is unusable.
    """
    name = path.name.lower()
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected {FORMS}")
    if name.endswith(_COMPRESSED_TARS):
        raise DataError(f"{path}: compressed archives allow no random access; unpack it to a folder or a plain .tar")
    if name.endswith(".tar"):
        return TarImages(path)
    if name.endswith(".csv"):
        return CsvList(path)
    if name.endswith((".bin", ".xz")):
        return PackImages(path)
    if name.endswith(".rec"):
        return RecordImages(path)
    raise DataError(f"{path}: not a form that is read; expected {FORMS}")


def _open_folder(path: Path) -> EncodedImages:
    if holds_records(path):
        return RecordImages(path)
    if holds_shards(path):
        return TarShards(path)
    # A set that was made here: its preview shows pictures of the set, and is none of them.
    if (path / MANIFEST).is_file() and (path / PREVIEW).is_file() and (path / IMAGES).is_dir():
        made = ImageFolder(path / IMAGES)
        made.name = path.resolve().name
        return made
    return ImageFolder(path)
