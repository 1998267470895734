"""One door to all forms: looks at a path and opens what lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.datasets.folder import ImageFolder
from facebench.datasets.listing import CsvList
from facebench.datasets.pack import PackImages
from facebench.datasets.records import RecordImages, holds_records
from facebench.datasets.tar import TarImages
from facebench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from facebench.datasets.encoded import EncodedImages

FORMS = (
    "a folder of pictures, a plain .tar of pictures, a .csv list (path,label) beside its pictures, "
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
        return RecordImages(path) if holds_records(path) else ImageFolder(path)
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
