"""RecordIO, the container that MXNet and so InsightFace keep training sets in: read and written without MXNet.

A ``.rec`` file is a row of records, everything little-endian: the magic number 0xCED7230A, a word holding 3 bits of
kind and 29 bits of length, the payload, and zeros up to a multiple of four bytes. Where the payload itself holds the
magic at a multiple of four, it is cut there, the magic is dropped, and the parts follow one another as kinds 1 (first),
2 (middle) and 3 (last); kind 0 is a whole record. The ``.idx`` beside it is text, ``key<TAB>byte offset`` per record.
(dmlc-core, ``src/recordio.cc``; MXNet, ``python/mxnet/recordio.py``.)

The payload of a picture begins with a header of 24 bytes: flag, label (float32), two numbers; then come ``flag``
float32 labels, where flag is not 0, and the picture's file.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from facebench.datasets.handle import OpenFile
from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

MAGIC: Final = b"\x0a\x23\xd7\xce"
_MAGIC_WORD: Final = 0xCED7230A
# Of a part: the rest of its word is the kind.
MAX_LENGTH: Final = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_PART: Final = struct.Struct("<II")
_HEADER: Final = struct.Struct("<IfQQ")
# Records looked at in one go: at 8 KB each, a quarter of a gigabyte of the file is mapped at a time.
_ROWS: Final = 1 << 15
# Bytes of an index parsed in one go.
_TEXT: Final = 1 << 24
_INT64_MAX: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What a record of a picture says.

    Attributes:
        flag: How many labels follow the header; 0 when the header holds the only one.
        labels: The labels, (max(flag, 1),).
        id: Number of the picture; usually its key.
        id2: Second number; usually 0.
        body: The picture's file; empty in records that only describe others.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    id2: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RecordIndex:
    """Where the records of a file begin, in the order of the ``.idx``.

    Attributes:
        keys: Each once, not negative, int64 (N,).
        offsets: Byte in the ``.rec``, int64 (N,).
    """

    keys: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Headers:
    """What the heads of many picture records say.

    Attributes:
        labels: The only or first label of each, float32 (N,).
        lengths: Bytes of the payload, or of its first part, uint32 (N,).
        bare: Whether a record has a list of labels but no picture, bool (N,).
    """

    labels: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.uint32]
    bare: npt.NDArray[np.bool_]


def frame(payload: bytes, *, name: str = "record") -> bytes:
    """A payload as it lies in a ``.rec``: cut at aligned magics, each part with its head, padded.

    Args:
        payload: At most ``MAX_LENGTH`` bytes.
        name: What an error calls it.

    Raises:
        DataError: When it is longer.
    """
    if len(payload) > MAX_LENGTH:
        raise DataError(f"{name}: {len(payload):,} bytes do not fit into a record; the most are {MAX_LENGTH:,}")
    out: list[bytes] = []
    start, kind = 0, _FIRST
    place = payload.find(MAGIC)
    while place >= 0:
        if place % 4 == 0:
            out += (_PART.pack(_MAGIC_WORD, kind << 29 | (place - start)), payload[start:place])
            start, kind = place + len(MAGIC), _MIDDLE
        place = payload.find(MAGIC, place + len(MAGIC))  # the magic cannot overlap itself
    length = len(payload) - start
    kind = _LAST if out else _WHOLE
    out += (_PART.pack(_MAGIC_WORD, kind << 29 | length), payload[start:], bytes(-length % 4))
    return b"".join(out)


def read_record(handle: int, offset: int, *, name: str, length: int = 0) -> bytes:
    """The payload of the record that begins at an offset, its parts joined; safe in several threads at once.

    Args:
        handle: An open file.
        offset: Byte at which the record begins.
        name: What errors call the record: file and key.
        length: Bytes of its first part, if known; saves a read.

    Raises:
        DataError: When no record begins there, or it is cut short or damaged.
    """
    parts: list[bytes] = []
    allowed = (_WHOLE, _FIRST)
    while True:
        data = _pread(handle, _PART.size + length, offset, name)
        if len(data) < _PART.size:
            raise DataError(f"{name}: the record is cut short at byte {offset:,}; copy or download the file again")
        magic, word = _PART.unpack_from(data)
        kind, length = word >> 29, word & MAX_LENGTH
        if magic != _MAGIC_WORD:
            raise DataError(f"{name}: no record begins at byte {offset:,} (found {magic:#010x}, not {_MAGIC_WORD:#x})")
        if kind not in allowed:
            expected = "the beginning of a record" if allowed[0] == _WHOLE else "its next part"
            raise DataError(f"{name}: expected {expected} at byte {offset:,}, found a part of kind {kind}")
        end = _PART.size + length
        if len(data) < end:
            data += _pread(handle, end - len(data), offset + len(data), name)
        if len(data) < end:
            raise DataError(
                f"{name}: the record at byte {offset:,} is cut short: {len(data) - _PART.size:,} of {length:,} bytes"
            )
        parts.append(data[_PART.size : end])
        if kind in (_WHOLE, _LAST):
            return MAGIC.join(parts)
        allowed = (_MIDDLE, _LAST)
        offset += end + -length % 4
        length = 0


def _pread(handle: int, count: int, offset: int, name: str) -> bytes:
    try:
        return os.pread(handle, count, offset)
    except OSError as error:
        raise DataError(f"{name}: cannot read {count:,} bytes at byte {offset:,}: {error.strerror}") from None


def pack_image(body: bytes, *, label: float | Sequence[float], id: int, id2: int = 0) -> bytes:
    """The payload of a picture.

    Args:
        body: The picture's file.
        label: One number goes into the header (flag 0); a sequence follows it (flag = its length, header label 0).
        id: 0..2**64 - 1.
        id2: 0..2**64 - 1.
    """
    if isinstance(label, int | float):
        return _HEADER.pack(0, label, id, id2) + body
    return _HEADER.pack(len(label), 0.0, id, id2) + struct.pack(f"<{len(label)}f", *label) + body


def unpack_image(payload: bytes, *, name: str) -> ImageRecord:
    """What the payload of a picture holds.

    Raises:
        DataError: When it is shorter than its header and labels.
    """
    if len(payload) < _HEADER.size:
        raise DataError(f"{name}: {len(payload)} bytes are too short for a picture's header of {_HEADER.size}")
    flag, label, id_, id2 = _HEADER.unpack_from(payload)
    end = _HEADER.size + 4 * flag
    if len(payload) < end:
        raise DataError(f"{name}: the header announces {flag:,} labels, but the record has only {len(payload)} bytes")
    labels = struct.unpack_from(f"<{flag}f", payload, _HEADER.size) if flag else (label,)
    return ImageRecord(flag, labels, id_, id2, payload[end:])


def read_index(path: Path) -> RecordIndex:
    """The ``.idx`` of a ``.rec``; about 40 million lines take seconds and 32 bytes of memory each.

    Raises:
        DataError: Naming the line: when it is not ``key<TAB>offset``, both whole numbers; when the file is missing,
            empty or names a key twice.
    """
    blocks: list[npt.NDArray[np.int64]] = []
    try:
        with path.open("rb") as file:
            blocks.extend(_blocks(file, path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; a .rec needs its .idx beside it (MXNet's rec2idx makes one)") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the index: {error.strerror}") from None
    keys = np.concatenate([block[:, 0] for block in blocks]) if blocks else np.empty(0, dtype=np.int64)
    if not len(keys):
        raise DataError(f"{path}: the index is empty; expected a line 'key<TAB>byte offset' per record")
    offsets = np.concatenate([block[:, 1] for block in blocks])
    del blocks
    ordered = np.sort(keys)
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        first, second = np.flatnonzero(keys == ordered[twice[0]])[:2] + 1
        raise DataError(f"{path}:{second}: the key {ordered[twice[0]]} stands in line {first} already")
    return RecordIndex(keys, offsets)


def _blocks(file: IO[bytes], path: Path) -> Iterator[npt.NDArray[np.int64]]:
    """Keys and offsets of stretches of whole lines, (n, 2)."""
    line, rest = 1, b""
    while block := file.read(_TEXT):
        text, newline, rest = (rest + block).rpartition(b"\n")
        if not newline and len(rest) >= _TEXT:
            raise DataError(f"{path}:{line}: a line of {len(rest):,} bytes; this is no index")
        if newline:
            yield _parse(text + newline, path, line)
            line += text.count(b"\n") + 1
    if rest:
        yield _parse(rest + b"\n", path, line)


def _parse(text: bytes, path: Path, line: int) -> npt.NDArray[np.int64]:
    """Keys and offsets of whole lines, (n, 2): all at once if they are as they should be, else line by line."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    codes = np.frombuffer(text, dtype=np.uint8)
    marks = codes[codes < ord("0")]
    regular = len(marks) % 2 == 0 and bool((marks[::2] == ord("\t")).all() and (marks[1::2] == ord("\n")).all())
    if regular and codes.max() <= ord("9"):
        values = np.fromstring(text, dtype=np.int64, sep=" ")
        # A number for every mark: none is missing. What is too large stops at the largest.
        if len(values) == len(marks) and values.max() < _INT64_MAX:
            return values.reshape(-1, 2)
    return np.array(list(_lines(text, path, line)), dtype=np.int64).reshape(-1, 2)


def _lines(text: bytes, path: Path, line: int) -> Iterator[tuple[int, int]]:
    """The same for unusual lines, or the error that names the one which is wrong; blank ones may end the file."""
    if not text.strip():
        return
    for number, content in enumerate(text.rstrip().split(b"\n"), line):
        fields = content.split()
        if len(fields) != 2 or not all(field.isdigit() and len(field) <= 18 for field in fields):
            found = content[:60].decode("latin-1")
            raise DataError(f"{path}:{number}: expected 'key<TAB>byte offset', two whole numbers, found {found!r}")
        yield int(fields[0]), int(fields[1])


class RecordFile(OpenFile):
    """An open ``.rec``; one handle serves all threads, and it travels to worker processes.

    Records are read by ``pread``, so that a file which shrinks meanwhile, or a disk that fails, is an error. Only
    ``headers``, which looks at all records once, maps the file (five times quicker on one in memory); while that runs,
    the system ends a process whose file shrinks.

    Args:
        path: The file.

    Raises:
        DataError: When it cannot be opened.
    """

    CALLED = "the records"
    CHANGED = "the records changed after they were opened; open them again"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hold()

    def payload(self, offset: int, *, key: int, length: int = 0) -> bytes:
        """The payload of a record; see ``read_record``."""
        return read_record(self._handle, offset, name=f"{self.path}: record {key}", length=length)

    def image(self, offset: int, *, key: int, length: int = 0) -> ImageRecord:
        """The same, taken apart.

        Raises:
            DataError: See ``read_record`` and ``unpack_image``.
        """
        return unpack_image(self.payload(offset, key=key, length=length), name=f"{self.path}: record {key}")

    def check(self, index: RecordIndex) -> None:
        """Refuses an index that points where no record of this file can begin.

        Raises:
            DataError: Naming the first such key.
        """
        size = self._seen[0]
        beyond = f"beyond the end of the file ({size:,} bytes); the file is cut short, or the index is not its own"
        self._refuse(index.offsets > size - _PART.size, index.keys, index.offsets, beyond)
        odd = "no multiple of 4, where no record begins; is the index the one of this file?"
        self._refuse(index.offsets % 4 != 0, index.keys, index.offsets, odd)

    def headers(self, index: RecordIndex) -> Headers:
        """The heads of picture records, in the order given; touches the file's pages once.

        Raises:
            DataError: Naming the first record without magic, cut short, or too short for its header.
        """
        self.check(index)
        count = len(index.keys)
        found = Headers(np.empty(count, np.float32), np.empty(count, np.uint32), np.empty(count, np.bool_))
        if not count:
            return found
        # Left to the collector: an error below holds views that forbid closing.
        mapped = mmap.mmap(self._handle, 0, access=mmap.ACCESS_READ)
        mapped.madvise(mmap.MADV_SEQUENTIAL)
        words = np.frombuffer(mapped, dtype="<u4", count=self._seen[0] // 4)
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            part = RecordIndex(index.keys[rows], index.offsets[rows])
            self._look(words, part, Headers(found.labels[rows], found.lengths[rows], found.bare[rows]))
            mapped.madvise(mmap.MADV_DONTNEED)  # or the whole file counts as our memory in the end
        return found

    def _look(self, words: npt.NDArray[np.uint32], index: RecordIndex, out: Headers) -> None:
        """Fills in the heads of some records."""
        keys, offsets = index.keys, index.offsets
        at = offsets >> 2
        self._refuse(words[at] != _MAGIC_WORD, keys, offsets, "no record begins there; is the index of this file?")
        heads = words[at + 1]
        kinds, lengths = heads >> 29, (heads & MAX_LENGTH).astype(np.int64)
        self._refuse(kinds > _FIRST, keys, offsets, "there lies the middle of a record; is the index of this file?")
        padded = lengths + -lengths % 4
        self._refuse(offsets + _PART.size + padded > self._seen[0], keys, offsets, "the file ends inside the record")
        whole = kinds == _WHOLE
        self._refuse(whole & (lengths < _HEADER.size), keys, offsets, "too short for the header of a picture")
        # Of a record in parts these words may be others, even beyond the end; it is looked at by itself, below.
        flags, single, first = (words[np.minimum(at + place, len(words) - 1)] for place in (2, 3, 8))
        least = _HEADER.size + 4 * flags.astype(np.int64)
        self._refuse(whole & (lengths < least), keys, offsets, "too short for the labels that its header announces")
        out.labels[:] = np.where(flags > 0, first, single).view("<f4")
        out.lengths[:] = lengths
        out.bare[:] = (flags > 0) & (lengths == least)
        for row in np.flatnonzero(~whole):
            image = self.image(int(offsets[row]), key=int(keys[row]))
            out.labels[row], out.bare[row] = image.labels[0], image.flag > 0 and not image.body

    def _refuse(
        self, wrong: npt.NDArray[np.bool_], keys: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], why: str
    ) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{self.path}: record {keys[row]} at byte {offsets[row]:,}: {why}")
