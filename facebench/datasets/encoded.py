"""What all data sets of encoded pictures share: decoding, errors that name the picture, and the fingerprint."""

from __future__ import annotations

import hashlib
import struct
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from facebench.contracts import Face
from facebench.images import decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt


class EncodedImages(ABC):
    """Faces that lie somewhere as encoded files; safe to read from several threads.

    Args:
        path: What was opened.
        name: Short name for people.
        keys: Unique name of each picture, (N,).
        labels: Class of each, int64 (N,), -1 when unknown.
    """

    def __init__(self, path: Path, *, name: str, keys: Sequence[str], labels: npt.NDArray[np.int64]) -> None:
        self.path = path
        self.name = name
        self.keys = keys
        self.labels = labels
        self.labels.setflags(write=False)

    @abstractmethod
    def encoded(self, index: int, /) -> bytes:
        """The file of one picture as it lies in the data set.

        Raises:
            DataError: When it cannot be read (any more).
        """

    @property
    def num_classes(self) -> int:
        """C: labels lie in 0..C-1."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over key, label and encoded bytes of every picture in order; reads everything once.

        Headers of archives do not count, so a folder, its tar and a list of all its pictures agree.
        """
        digest = hashlib.sha256(b"facebench pictures 1\0")
        for index, key in enumerate(self.keys):
            data = self.encoded(index)
            name = key.encode("utf-8", "surrogateescape")
            digest.update(struct.pack("<qQQ", self.labels[index], len(name), len(data)))
            digest.update(name)
            digest.update(data)
        digest.update(self._also_fingerprinted())
        return digest.hexdigest()

    def _also_fingerprinted(self) -> bytes:
        """Whatever else of the data decides a result."""
        return b""

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        key = self.keys[index]
        image = decode(self.encoded(index), name=f"{self.path}: {key}")
        return Face(image, int(self.labels[index]), key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {len(self)} faces, {self.num_classes} classes)"
