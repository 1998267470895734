"""Reading faces from the forms in which people have them.

``open_images`` looks at what lies at a path and opens it; ``read_batch`` reads many faces at once. Nothing is ever
downloaded, extracted or executed: tars are read in place and pickles by a reader that has no way to run anything.
"""

from __future__ import annotations

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.folder import ImageFolder
from facebench.datasets.joined import JoinedFaces
from facebench.datasets.listing import CsvList
from facebench.datasets.opening import open_images
from facebench.datasets.pack import Pack, PackImages, read_pack, write_pack
from facebench.datasets.places import faces_below
from facebench.datasets.reading import Batch, read_batch
from facebench.datasets.records import RecordImages, write_records
from facebench.datasets.selected import SelectedFaces
from facebench.datasets.shards import TarShards
from facebench.datasets.tar import TarImages

__all__ = [
    "Batch",
    "CsvList",
    "EncodedImages",
    "ImageFolder",
    "JoinedFaces",
    "Pack",
    "PackImages",
    "RecordImages",
    "SelectedFaces",
    "TarImages",
    "TarShards",
    "faces_below",
    "open_images",
    "read_batch",
    "read_pack",
    "write_pack",
    "write_records",
]
