"""InsightFace's training sets (``train.rec``, ``train.idx``, ``property``), read in place and written, without MXNet.

Two layouts exist. With *ranges*, keys 1..n are the pictures, keys n+1.. hold one record per identity (its first key and
the one behind its last, no picture), and key 0 says where these begin and end. In the *plain* layout (im2rec and the
newer builders) every key is a picture. The numbers in ranges are float32, which cannot hold odd ones above
16,777,216: in larger sets (Glint360K, WebFace42M) they may be rounded. So classes come from the pictures' own labels,
and where the pictures end is checked against the records themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final, overload

import numpy as np

from facebench.datasets.encoded import EncodedImages
from facebench.datasets.naming import dense
from facebench.datasets.recordio import RecordFile, RecordIndex, frame, pack_image, read_index
from facebench.errors import DataError
from facebench.images import encode_jpeg, encode_png
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import FaceDataset

# Whole numbers up to here are what float32 says they are.
EXACT: Final = 1 << 24
_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Property:
    """What the file ``property`` states; nothing here relies on it.

    Attributes:
        classes: How many identities.
        height: Of the pictures, pixels.
        width: Of the pictures, pixels.
    """

    classes: int
    height: int
    width: int


class RecordKeys(Sequence[str]):
    """Record numbers as keys of at least eight digits (``00000042``), made when asked for.

    Args:
        numbers: int64 (N,), not negative.
    """

    def __init__(self, numbers: npt.NDArray[np.int64]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int, /) -> str: ...

    @overload
    def __getitem__(self, index: slice, /) -> RecordKeys: ...

    def __getitem__(self, index: int | slice, /) -> str | RecordKeys:
        if isinstance(index, slice):
            return RecordKeys(self._numbers[index])
        return f"{self._numbers[index]:08d}"

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._numbers), _BLOCK):
            for number in self._numbers[start : start + _BLOCK].tolist():
                yield f"{number:08d}"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.str_]:
        """All keys as text, (N,), without a Python object for each."""
        width = max(8, len(str(self._numbers.max(initial=0))))
        made = np.fromiter(self, dtype=f"U{width}", count=len(self))
        return made if dtype is None else made.astype(dtype, copy=False)


class RecordImages(EncodedImages):
    """The pictures of a RecordIO training set.

    Keys are the record numbers as text (``RecordKeys``). The class of a picture is its label, or the first of several,
    renumbered 0..C-1 in ascending order; negative ones are unknown. The order is by key where the set has ranges, else
    that of the ``.idx``, as in the reference reader (insightface, ``recognition/arcface_torch/dataset.py``).

    Opening looks at the head of every record once, so it reads most of a cold file's pages (140 GB for 17 million
    pictures); with the file in memory it takes about half a second per million. Pictures are read by ``pread``, from
    any number of threads. Memory: 28 bytes per picture, at most 60 while opening: 2.5 GB for 42 million.
    ``fingerprint`` is the SHA-256 over key, label and encoded bytes of every picture, as for all data sets; computed
    when first asked for, it reads the whole file at the speed of the disk or the hash (0.3 to 2 GB/s).

    Args:
        path: The ``.rec``, or a folder that holds exactly one; the ``.idx`` lies beside it under the same name.

    Attributes:
        ranges: Whether the set has range records.
        stated: What ``property`` says, None without that file.

    Raises:
        DataError: Naming file and line or record: a file that is missing, an index that is malformed or of another
            file, a record that is damaged, cut short or no picture's, a label that is not a whole number or so large
            that float32 may have rounded it, a range record that contradicts the index.
    """

    def __init__(self, path: Path) -> None:
        rec = _only_rec(path) if path.is_dir() else path
        self._file = RecordFile(rec)
        index = read_index(rec.with_suffix(".idx"))
        self._file.check(index)
        self.stated = _read_property(rec.with_name("property"))
        chosen = _pictures_of_ranges(self._file, index)
        self.ranges = chosen is not None
        if chosen is not None:
            index = RecordIndex(index.keys[chosen], index.offsets[chosen])
            del chosen
        headers = self._file.headers(index)
        if headers.bare.any():
            key = index.keys[int(np.argmax(headers.bare))]
            raise DataError(f"{rec}: record {key} has labels but no picture, like one of a range; key 0 explains none")
        name = rec.resolve().parent.name if rec.stem == "train" else rec.stem
        labels = _classes(headers.labels, index.keys, rec)
        super().__init__(rec, name=name, keys=RecordKeys(index.keys), labels=labels)
        self._offsets, self._lengths, self._numbers = index.offsets, headers.lengths, index.keys

    def encoded(self, index: int, /) -> bytes:
        """The file of one picture."""
        offset, length = int(self._offsets[index]), int(self._lengths[index])
        return self._file.image(offset, key=int(self._numbers[index]), length=length).body


def holds_records(folder: Path) -> bool:
    """Whether a folder has a ``.rec`` in it, and so is a RecordIO set."""
    return bool(_recs(folder))


def _recs(folder: Path) -> list[Path]:
    try:
        named = [entry for entry in folder.iterdir() if entry.suffix.lower() == ".rec" and entry.name[0] != "."]
    except OSError as error:
        raise DataError(f"{folder}: cannot read the folder: {error.strerror}") from None
    return sorted(entry for entry in named if entry.is_file())


def _only_rec(folder: Path) -> Path:
    found = _recs(folder)
    if len(found) != 1:
        names = ", ".join(entry.name for entry in found[:8]) or "none"
        raise DataError(f"{folder}: expected exactly one .rec in the folder, found {names}; name the file itself")
    return found[0]


def _read_property(path: Path) -> Property | None:
    """The first line of a ``property`` file: classes,height,width."""
    try:
        with path.open("rb") as file:
            line = file.read(200).split(b"\n")[0].strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot read the file: {error.strerror}") from None
    fields = [field.strip() for field in line.split(b",")]
    if len(fields) != 3 or not all(field.isdigit() for field in fields):
        raise DataError(f"{path}:1: expected 'classes,height,width', found {line[:60].decode('latin-1')!r}")
    classes, height, width = map(int, fields)
    return Property(classes, height, width)


def _pictures_of_ranges(file: RecordFile, index: RecordIndex) -> npt.NDArray[np.int64] | None:
    """Rows of the pictures in the order of their keys, (n,), where key 0 describes ranges; None where all are pictures.

    A key 0 that has a picture is a picture, however many labels it has.
    """
    rows = np.flatnonzero(index.keys == 0)
    if not len(rows):
        return None
    head = file.image(int(index.offsets[rows[0]]), key=0)
    if head.flag == 0 or head.body:
        return None
    order = np.argsort(index.keys, kind="stable")
    ordered = index.keys[order]

    def is_bare(key: int) -> bool:
        image = file.image(int(index.offsets[order[key]]), key=key)
        return image.flag > 0 and not image.body

    end = end_of_pictures(head.labels[0], ordered, is_bare)
    if end is None:
        raise DataError(
            f"{file.path}: record 0 says that the pictures end before key {head.labels[0]:,.0f}, but the index has "
            f"{len(ordered):,} keys up to {ordered[-1]:,} that do not fit; is the index complete and of this file?"
        )
    return order[1:end]


def end_of_pictures(stated: float, keys: npt.NDArray[np.int64], is_bare: Callable[[int], bool], /) -> int | None:
    """The key behind the last picture of a set with ranges.

    Args:
        stated: What the first label of key 0 says: that key, rounded to float32.
        keys: All keys of the index in ascending order, (N,).
        is_bare: Whether the record of a key has labels but no picture, as those of identities.

    Returns:
        The key k that rounds to ``stated``, has all keys 0..k-1 before it, a picture at k-1 and none at k; None when
        there is no such key.
    """
    if not (math.isfinite(stated) and stated == int(stated) and 2 <= stated <= len(keys) + 8):
        return None
    step = max(1, int(np.spacing(np.float32(stated))))
    for key in range(int(stated) - step, int(stated) + step + 1):
        complete = 2 <= key <= len(keys) and keys[key - 1] == key - 1
        if not complete or np.float32(key) != np.float32(stated) or is_bare(key - 1):
            continue
        listed = key < len(keys) and keys[key] == key
        # Without its identities in the index, a number that may be rounded says too little.
        if is_bare(key) if listed else stated < EXACT:
            return key
    return None


def _classes(labels: npt.NDArray[np.float32], keys: npt.NDArray[np.int64], path: Path) -> npt.NDArray[np.int64]:
    """Labels as classes 0..C-1 in ascending order, -1 for negative ones, int64 (N,).

    The rule of ``naming.dense``, by a table: labels are small, and there may be tens of millions.
    """
    for wrong, why in (
        (~np.isfinite(labels), "is not a finite number"),
        (labels != np.trunc(labels), "is not a whole number"),
        (labels >= EXACT, f"may be rounded: float32 tells whole numbers apart only below {EXACT:,}"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{path}: record {keys[row]}: the label {labels[row]:.9g} {why}")
    numbers = np.maximum(labels, -1).astype(np.int64)
    used = np.zeros(int(numbers.max(initial=-1)) + 2, dtype=np.int64)
    used[numbers] = 1
    used[-1] = 0  # where -1 leads
    table = np.cumsum(used) - 1
    table[-1] = -1
    classes: npt.NDArray[np.int64] = table[numbers]
    return classes


@dataclass(frozen=True, slots=True)
class WrittenRecords:
    """What ``write_records`` made.

    Attributes:
        path: ``train.rec``.
        pictures: How many.
        classes: How many identities ``property`` states.
        ranges: Whether range records were written.
        reason: Why not; empty where they were.
    """

    path: Path
    pictures: int
    classes: int
    ranges: bool
    reason: str


def write_records(
    folder: Path,
    faces: FaceDataset,
    *,
    classes: int | None = None,
    size: tuple[int, int] | None = None,
    quality: int | None = None,
) -> WrittenRecords:
    """Writes ``train.rec``, ``train.idx`` and ``property`` in InsightFace's layout, byte for byte as its builder does.

    Pictures are ordered by class, otherwise as they come. Those of a data set of files (``EncodedImages``) are copied
    as they are, others encoded. Memory is at most 60 bytes per picture; pictures pass through one at a time. The
    three files are put in place one after the other, each in one step; between them there is no index, never a wrong
    one.

    Range records are left out, and the pictures get keys 0..n-1 (the plain layout, which every reader knows too), when
    a face has no label, since ranges are of identities, or when a number in them would exceed 16,777,216, above which
    float32 rounds and readers that trust ranges would go wrong.

    Args:
        folder: Where to write; made if need be.
        faces: What to write.
        classes: How many identities ``property`` states; labels are then kept as they are and lie below it. None: as
            many as there are, renumbered densely.
        size: (height, width) that ``property`` states; None: that of the first picture.
        quality: Of JPEG, for faces that are not files yet (InsightFace's builders take 95); None: lossless PNG.

    Raises:
        DataError: When there are no faces, one cannot be read or is too large, or labels are not below ``classes``.
        FacebenchError: When the system refuses to write.
    """
    labels, classes = _labels_to_write(faces, classes)
    order = np.argsort(labels, kind="stable")
    starts = _starts(labels[order])
    last = len(order) + len(starts) + 1
    reason = _why_no_ranges(labels, last)
    height, width = size or faces[int(order[0])].image.shape[:2]
    pictures = _picture_records(faces, order, labels, first=0 if reason else 1, quality=quality)
    records = pictures if reason else chain(pictures, _range_records(len(order), starts))
    path = folder / "train.rec"
    offsets = np.empty(len(order) if reason else last, dtype=np.int64)

    def write(temporary: Path) -> None:
        place = 0
        with temporary.open("wb", buffering=1 << 20) as file:
            for row, payload in enumerate(records):
                offsets[row] = place
                place += file.write(frame(payload, name=f"{faces.name}: picture {row}"))
        path.with_suffix(".idx").unlink(missing_ok=True)  # that of the file which is about to be replaced

    write_atomic(path, write)
    keys = np.arange(len(offsets)) + (0 if reason else 1)
    if not reason:
        keys[-1] = 0
    write_atomic(path.with_suffix(".idx"), lambda temporary: _write_index(temporary, keys, offsets))
    write_text(folder / "property", f"{classes},{height},{width}\n")
    return WrittenRecords(path, len(order), classes, not reason, reason)


def _labels_to_write(faces: FaceDataset, classes: int | None) -> tuple[npt.NDArray[np.int64], int]:
    """Labels that readers will find, and how many classes to state."""
    if not len(faces):
        raise DataError(f"{faces.name}: there are no faces to write")
    labels = dense(faces.labels) if classes is None else np.maximum(faces.labels, -1)
    largest = int(labels.max())
    if classes is None:
        classes = largest + 1
    if largest >= min(classes, EXACT) and largest >= 0:
        raise DataError(f"{faces.name}: the label {largest:,} is not below {min(classes, EXACT):,}, as it has to be")
    return labels, classes


def _why_no_ranges(labels: npt.NDArray[np.int64], last: int) -> str:
    if int(labels.min()) < 0:
        return "some faces have no label, and ranges are of identities"
    return f"their numbers go up to {last:,}, and float32 rounds above {EXACT:,}" if last > EXACT else ""


def _starts(ordered: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each identity begins among labels in ascending order."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _picture_records(
    faces: FaceDataset, order: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], *, first: int, quality: int | None
) -> Iterator[bytes]:
    encoded = getattr(faces, "encoded", None)
    for row in range(len(order)):
        index = int(order[row])
        if encoded is not None:
            body = encoded(index)
        elif quality is None:
            body = encode_png(faces[index].image)
        else:
            body = encode_jpeg(faces[index].image, quality=quality)
        yield pack_image(body, label=float(labels[index]), id=first + row)


def _range_records(count: int, starts: npt.NDArray[np.int64]) -> Iterator[bytes]:
    """Of every identity the first key and the one behind its last; at the end, as key 0, the same of these records."""
    keys = [*(starts + 1).tolist(), count + 1]
    for number, (begin, end) in enumerate(pairwise(keys), count + 1):
        yield pack_image(b"", label=(begin, end), id=number)
    yield pack_image(b"", label=(count + 1, count + len(keys)), id=0, id2=1)


def _write_index(path: Path, keys: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        for start in range(0, len(keys), _BLOCK):
            part = slice(start, start + _BLOCK)
            rows = zip(keys[part].tolist(), offsets[part].tolist(), strict=True)
            file.write("".join(f"{key}\t{offset}\n" for key, offset in rows))
