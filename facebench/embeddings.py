"""The embeddings of a set of faces: raw, unfused, with the key of each row.

How to fuse mirrors, weigh by detector score or pool templates is the protocol's decision, since published protocols
differ exactly there; so nothing is normalised or added up here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

# The names a stored array may go by: ours first, then those in use elsewhere.
_SPELLINGS = {
    "keys": ("keys", "names", "filenames", "paths"),
    "vectors": ("vectors", "embeddings", "embedding", "features"),
    "mirrored": ("mirrored", "embedding_flip", "embeddings_flip", "flipped"),
    "confidence": ("confidence", "confidences"),
}

_IMAGE = re.compile(r"\.(jpe?g|png|bmp|webp|pgm|ppm)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Embeddings of N faces.

    Attributes:
        keys: (N,) array of str, unique.
        vectors: float32 (N, D), raw.
        mirrored: float32 (N, D) of the mirrored faces, or None.
        confidence: float32 (N, K), or None: inverse variances 1 / sigma^2 of the K equal blocks of each vector, of the
            face as it is, not of its mirror image.
        fingerprint: Hash of whatever produced them: weights, preprocessing and data; or of the arrays themselves.
        folder: Where they lie, if in a folder of their own: what takes long to compute from them can be kept there.
    """

    keys: npt.NDArray[np.str_]
    vectors: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32] | None = None
    confidence: npt.NDArray[np.float32] | None = None
    fingerprint: str = ""
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Refuses arrays that do not belong together.

        Raises:
            DataError: On shapes that disagree, values that are not finite, or repeated keys.
        """
        count = len(self.keys)
        if self.vectors.ndim != 2 or len(self.vectors) != count or not self.vectors.shape[1]:
            raise DataError(f"embeddings have shape {self.vectors.shape} for {count} keys; expected ({count}, D)")
        if self.mirrored is not None and self.mirrored.shape != self.vectors.shape:
            raise DataError(f"mirrored embeddings have shape {self.mirrored.shape}, the others {self.vectors.shape}")
        if self.confidence is not None and (self.confidence.ndim != 2 or len(self.confidence) != count):
            raise DataError(f"confidence has shape {self.confidence.shape} for {count} keys; expected ({count}, K)")
        named = {"embedding": self.vectors, "mirrored embedding": self.mirrored, "confidence": self.confidence}
        for name, array in named.items():
            if array is not None and not np.isfinite(array).all():
                row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
                raise DataError(f"{name} of {str(self.keys[row])!r} (row {row}) holds NaN or infinity")
        names, seen = np.unique(self.keys, return_counts=True)
        if len(names) != count:
            raise DataError(f"embedding key {str(names[seen > 1][0])!r} occurs more than once")

    def rows(self, keys: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
        """The row of each key.

        Raises:
            DataError: Naming the first key that has no embedding, and how many have none.
        """
        order = np.argsort(self.keys)
        wanted = np.asarray(keys, dtype=np.str_)
        if not len(order):
            raise DataError("there are no embeddings")
        place = np.minimum(np.searchsorted(self.keys, wanted, sorter=order), len(order) - 1)
        found: npt.NDArray[np.int64] = order[place]
        absent = self.keys[found] != wanted
        if absent.any():
            raise DataError(f"no embedding for {str(wanted[absent][0])!r} ({int(absent.sum())} of {len(wanted)} faces)")
        return found

    def save(self, path: Path) -> None:
        """Writes an ``.npz`` that ``load`` reads; the caller sees to atomicity."""
        arrays: dict[str, Any] = {"keys": self.keys, "vectors": self.vectors}
        if self.mirrored is not None:
            arrays["mirrored"] = self.mirrored
        if self.confidence is not None:
            arrays["confidence"] = self.confidence
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """Reads embeddings from an ``.npz`` file, without unpickling anything.

        Arrays: ``keys`` (or ``names``), ``vectors`` (or ``embeddings``, ``embedding``, ``features``), optionally
        ``mirrored`` (or ``embedding_flip``) and ``confidence``, (N,) or (N, K). A picture's file ending on a key is
        dropped, as the readers of pictures do.

        Raises:
            DataError: When the file is not such an archive or its arrays do not fit together.
        """
        found = _opened(path)
        keys = _keys(path, found.pop("keys"))
        floats = {name: _floats(path, name, array) for name, array in found.items()}
        digest = hashlib.sha256("\0".join(keys).encode())
        for name in sorted(floats):
            digest.update(f"{name} {floats[name].shape}".encode())
            digest.update(np.ascontiguousarray(floats[name]).data)
        return cls(
            keys=np.array([_IMAGE.sub("", key) for key in keys], dtype=np.str_),
            vectors=floats["vectors"],
            mirrored=floats.get("mirrored"),
            confidence=floats.get("confidence"),
            fingerprint=digest.hexdigest(),
        )


def _opened(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an archive.

    A damaged or forged one makes numpy raise anything, down to ``tokenize.TokenError``; all of it means the same here.
    """
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            return _arrays(path, stored)
    except DataError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: not an .npz file of embeddings: {reason}") from None


def _keys(path: Path, stored: npt.NDArray[Any]) -> list[str]:
    """One string per row."""
    if not isinstance(stored, np.ndarray) or stored.ndim != 1 or stored.dtype.kind not in "USiu":
        raise DataError(f"{path}: the keys must be one list of strings, found {_seen(stored)}")
    try:
        return [key.decode() if isinstance(key, bytes) else str(key) for key in stored.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a key is not UTF-8: {error}") from None


def _floats(path: Path, name: str, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Real numbers as float32; what is too large for that becomes infinite, which ``Embeddings`` refuses."""
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "fiu" or not stored.ndim:
        raise DataError(f"{path}: {name} must be an array of real numbers, found {_seen(stored)}")
    with np.errstate(over="ignore"):
        array = stored.astype(np.float32, copy=False)
    return array[:, None] if name == "confidence" and array.ndim == 1 else array


def _seen(stored: object) -> str:
    return f"{stored.dtype} {stored.shape}" if isinstance(stored, np.ndarray) else "something that is no array"


def _arrays(path: Path, stored: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    found = {}
    for name, spellings in _SPELLINGS.items():
        present = [spelling for spelling in spellings if spelling in stored]
        if present:
            found[name] = stored[present[0]]
        elif name in ("keys", "vectors"):
            raise DataError(
                f"{path}: no array {' or '.join(map(repr, spellings))}; found {', '.join(stored) or 'nothing'}"
            )
    return found
