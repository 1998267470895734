"""InsightFace's verification packs (``lfw.bin``, ``cfp_fp.bin``, ...; also compressed, ``.bin.xz``).

A pack is a pickle of ``(pictures, same)``: 2N encoded pictures, 2i and 2i + 1 forming pair i, and N truth values. In
the wild a picture is ``bytes``, a Python 2 ``str`` or a uint8 array of shape (n,) or (n, 1). Packs of equal name differ
between distributions, so a result should carry the fingerprint of its pack.
"""

from __future__ import annotations

import lzma
import pickle
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.pickles import PickledArray, read_pickle
from facebench.errors import DataError
from facebench.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

_XZ: Final = b"\xfd7zXZ\x00"
# Pictures are compressed already and hardly shrink again: whatever grows beyond this was made to fill memory.
_MOST_GROWTH: Final = 64
_LEAST_ALLOWED: Final = 1 << 26
# What the strongest preset of xz needs is 65 MiB.
_LZMA_MEMORY: Final = 1 << 28
_BLOCK: Final = 1 << 20
_ELEMENT: Final = re.compile(r"[biu][1248]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pack:
    """Verification pairs.

    Attributes:
        images: 2N encoded pictures; 2i and 2i + 1 are pair i.
        same: Whether a pair shows one person, bool (N,).
    """

    images: list[bytes]
    same: npt.NDArray[np.bool_]


class PackImages(EncodedImages):
    """The pictures of a pack, held in memory as they are encoded; keys ``0000000``, ``0000001``, ...; unlabelled.

    Args:
        path: The pack, ``.bin`` or ``.xz``.

    Attributes:
        same: Whether pair i (pictures 2i and 2i + 1) shows one person, bool (N,); part of the fingerprint.

    Raises:
        DataError: See ``read_pack``.
    """

    def __init__(self, path: Path) -> None:
        pack = read_pack(path)
        self._pictures = pack.images
        self.same = pack.same
        keys = [f"{index:07d}" for index in range(len(pack.images))]
        name = path.name.removesuffix(".xz").removesuffix(".bin")
        super().__init__(path, name=name, keys=keys, labels=np.full(len(keys), -1, dtype=np.int64))

    def encoded(self, index: int, /) -> bytes:
        """The file of one picture."""
        return self._pictures[index]

    def _also_fingerprinted(self) -> bytes:
        return self.same.tobytes()


def read_pack(path: Path) -> Pack:
    """Reads a pack without running any of it.

    Args:
        path: The pack; whether it is compressed is told by its content.

    Raises:
        DataError: When the file cannot be read, is no pack, asks Python for anything but the three NumPy names that
            packs use (the error says what), or grows out of all proportion when decompressed.
    """
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the pack: {error.strerror}") from None
    if data.startswith(_XZ):
        data = _decompress(data, name)
    content = read_pickle(data, name=name)
    if not (isinstance(content, tuple | list) and len(content) == 2 and isinstance(content[0], list | tuple)):
        raise DataError(f"{name}: not a pack; expected a pair (pictures, same), found {_kind(content)}")
    images = [_picture(item, index, name) for index, item in enumerate(content[0])]
    same = _truths(content[1], name)
    if not images or len(images) != 2 * len(same):
        raise DataError(f"{name}: {len(images)} pictures for {len(same)} pairs; each pair needs two")
    return Pack(images, same)


def write_pack(path: Path, images: Sequence[bytes], same: Iterable[bool]) -> None:
    """Writes a pack that every known reader of packs opens; compressed when the name ends in ``.xz``.

    Args:
        path: The file to write; replaced in one step.
        images: 2N encoded pictures; 2i and 2i + 1 are pair i.
        same: Whether a pair shows one person, (N,).

    Raises:
        DataError: When the numbers do not fit.
    """
    truths = [bool(value) for value in same]
    if not truths or len(images) != 2 * len(truths):
        raise DataError(f"{path}: {len(images)} pictures for {len(truths)} pairs; each pair needs two")
    # Protocol 3 is the first with byte strings; older ones would need a function call to make one.
    data = pickle.dumps(([bytes(image) for image in images], truths), protocol=3)
    if path.suffix == ".xz":
        data = lzma.compress(data)
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def _decompress(data: bytes, name: str) -> bytes:
    limit = max(_MOST_GROWTH * len(data), _LEAST_ALLOWED)
    out = bytearray()
    try:
        while data:
            stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
            while not stream.eof:
                if stream.needs_input and not data:
                    raise DataError(f"{name}: the compressed pack is cut short")
                out += stream.decompress(data, max_length=_BLOCK)
                data = b""
                if len(out) > limit:
                    raise DataError(f"{name}: grows beyond {limit:,} bytes when decompressed; pictures never do")
            data = stream.unused_data.lstrip(b"\0")  # another stream may follow, after padding
    except lzma.LZMAError as error:
        raise DataError(f"{name}: the compressed pack is damaged ({error})") from None
    except MemoryError:
        raise DataError(f"{name}: decompressing the pack needs more memory than there is") from None
    return bytes(out)


def _picture(item: object, index: int, name: str) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, PickledArray) and item.dtype is not None and item.dtype.code == "u1":
        flat = len(item.shape) == 1 or (len(item.shape) == 2 and 1 in item.shape)
        if flat and _count(item) == len(item.data):
            return item.data
    raise DataError(
        f"{name}: picture {index} is {_kind(item)}; expected bytes or a uint8 array of shape (n,) or (n, 1)"
    )


def _truths(item: object, name: str) -> npt.NDArray[np.bool_]:
    if isinstance(item, list | tuple) and all(isinstance(value, int) for value in item):
        return np.array([bool(value) for value in item], dtype=np.bool_)
    if isinstance(item, PickledArray) and item.dtype is not None and len(item.shape) == 1:
        code, order = item.dtype.code, item.dtype.order
        if _ELEMENT.fullmatch(code) and order in ("<", ">", "|", "=") and code not in ("b2", "b4", "b8"):
            dtype = np.dtype(f"{'' if order == '|' else order}{code}")
            if _count(item) * dtype.itemsize == len(item.data):
                return np.frombuffer(item.data, dtype=dtype).astype(np.bool_)
    raise DataError(f"{name}: the truth values are {_kind(item)}; expected a list or array of booleans")


def _count(array: PickledArray) -> int:
    """How many elements the shape promises; -1 when it is no shape."""
    count = 1
    for length in array.shape:
        if not isinstance(length, int) or length < 0:
            return -1
        count *= length
    return count


def _kind(item: object) -> str:
    """A few words about a stranger's value; its text is never shown."""
    if isinstance(item, PickledArray):
        return f"an array of {item.dtype.code[:8] if item.dtype else 'nothing'} with {len(item.shape)} axes"
    if isinstance(item, list | tuple):
        return f"a {type(item).__name__} of {len(item)}"
    return f"a {type(item).__name__}"
