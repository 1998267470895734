"""TinyFace's two lists, MATLAB files that say which picture shows whom.

Such a file comes from strangers, so it is small, only the two variables that it should hold are read, and everything
about them is checked. The person stands a second time in front of the first ``_`` of each picture's name, by another
number: the lists count only the 2,569 people of the gallery, the names everybody. Each number of one kind must go with
one of the other, in both lists alike; where they do not, one of them is wrong and no figure would mean anything.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

PROBE_LIST = "probe_img_ID_pairs.mat"
GALLERY_LIST = "gallery_match_img_ID_pairs.mat"
PROBE, GALLERY, DISTRACTOR = "Probe", "Gallery_Match", "Gallery_Distractor"

# The real lists have 23 kB. The limit bounds what a forged one can unpack to, a thousand times its size.
_LARGEST = 1 << 20
_NUMERIC = {"double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_NAME = re.compile(r"(\d{1,15})_[^/\\\0]+\.(?:jpe?g|png|bmp|webp)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The pictures of a list, in its order.

    Attributes:
        keys: ``Probe/1_162``: folder and name without extension, (N,). Equal names occur in several folders.
        ids: Who is shown, int64 (N,), from 0 on.
    """

    keys: npt.NDArray[np.str_]
    ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)


def read_lists(probes: Path, gallery: Path) -> tuple[Listed, Listed]:
    """Reads ``probe_img_ID_pairs.mat`` and ``gallery_match_img_ID_pairs.mat``.

    The variables read are ``probe_set`` and ``gallery_set``, cells of names, and ``probe_ids`` and ``gallery_ids``.

    Returns:
        The probes and the gallery's mates.

    Raises:
        DataError: When one is no such list, when numbers and names disagree about who is shown, or when a probe has no
            mate.
    """
    first = _read(gallery, names="gallery_set", ids="gallery_ids", folder=GALLERY)
    second = _read(probes, names="probe_set", ids="probe_ids", folder=PROBE)
    _check_people([(gallery, first), (probes, second)])
    alone = np.flatnonzero(~np.isin(second.ids, first.ids))
    if len(alone):
        row = alone[0]
        raise DataError(
            f"{probes}, row {row + 1}: nobody in {gallery} has identity {second.ids[row]} of "
            f"{str(second.keys[row])!r} ({len(alone)} of {len(second)} probes have no mate)"
        )
    return second, first


def _check_people(lists: Sequence[tuple[Path, Listed]]) -> None:
    """One number in the lists goes with one number in the names, and the other way round."""
    name_of: dict[int, tuple[int, str]] = {}
    id_of: dict[int, tuple[int, str]] = {}
    for path, listed in lists:
        for row, (key, who) in enumerate(zip(listed.keys.tolist(), listed.ids.tolist(), strict=True), 1):
            named = int(key.partition("/")[2].partition("_")[0])
            usual, example = name_of.setdefault(who, (named, key))
            if usual != named:
                raise DataError(f"{path}, row {row}: identity {who} is {example!r} elsewhere and {key!r} here")
            usual, example = id_of.setdefault(named, (who, key))
            if usual != who:
                raise DataError(f"{path}, row {row}: {key!r} has identity {who}, but {example!r} has {usual}")


def _read(path: Path, *, names: str, ids: str, folder: str) -> Listed:
    cells, numbers = _variables(path, names, ids)
    pictures = [_name(path, names, row, cell) for row, cell in enumerate(cells, 1)]
    people = _people(path, ids, numbers)
    keys = np.array([f"{folder}/{picture.rpartition('.')[0]}" for picture in pictures], dtype=np.str_)
    once, times = np.unique(keys, return_counts=True)
    if len(once) != len(keys):
        raise DataError(f"{path}: {names} lists {str(once[times > 1][0])!r} more than once")
    return Listed(keys, people)


def _variables(path: Path, names: str, ids: str) -> tuple[list[Any], npt.NDArray[Any]]:
    """The cells of one variable and the numbers of the other, as many.

    A damaged file makes scipy raise anything; all of it means the same here.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise DataError(f"{path}: {size:,} bytes, but TinyFace's lists have some 20,000; not such a list")
        kinds, found = _load(path, names, ids)
    except DataError:
        raise
    except NotImplementedError:
        raise DataError(f"{path}: a MATLAB 7.3 file; save it as version 7, which TinyFace's lists are") from None
    except Exception as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise DataError(f"{path}: not a readable MATLAB file: {reason.splitlines()[0][:200]}") from None
    for wanted in (names, ids):
        if wanted not in kinds:
            raise DataError(f"{path}: no variable {wanted!r}; found {', '.join(sorted(kinds)) or 'nothing'}")
    (shape, kind), (other, numeric) = kinds[names], kinds[ids]
    if kind != "cell" or numeric not in _NUMERIC:
        raise DataError(f"{path}: {names} and {ids} must be a cell and numbers; found {kind} and {numeric}")
    if shape != other or len(shape) != 2 or min(shape) != 1:
        raise DataError(f"{path}: {names} and {ids} must be (N, 1) both; found {shape} and {other}")
    cells, numbers = np.ravel(found[names]), np.ravel(found[ids])
    if len(cells) != len(numbers):
        raise DataError(f"{path}: {len(cells)} names in {names}, {len(numbers)} identities in {ids}")
    return list(cells), numbers


def _load(path: Path, names: str, ids: str) -> tuple[dict[str, tuple[tuple[int, ...], str]], dict[str, Any]]:
    """Shape and kind of every variable, and the values of two."""
    from scipy import io

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy only warns of, say, a variable that occurs twice
        kinds = {name: (tuple(shape), str(kind)) for name, shape, kind in io.whosmat(str(path), appendmat=False)}
        return kinds, io.loadmat(str(path), appendmat=False, variable_names=[names, ids])


def _name(path: Path, names: str, row: int, cell: object) -> str:
    """The picture's name in one cell."""
    text = cell.item() if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size == 1 else None
    if not isinstance(text, str) or _NAME.fullmatch(text) is None:
        shown = repr(text)[:80] if text is not None else f"no text but {type(cell).__name__}"
        raise DataError(f"{path}, row {row}: {names} must hold names like '12_345.jpg'; found {shown}")
    return text


def _people(path: Path, ids: str, numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Identities as integers from 0 on."""
    real = numbers.dtype.kind in "iuf"
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero(~((numbers >= 0) & (numbers < 2**53) & (numbers == np.floor(numbers)))) if real else [0]
    if len(odd):
        raise DataError(f"{path}, row {odd[0] + 1}: {ids} must hold whole numbers from 0 on; found {numbers[odd[0]]!s}")
    return numbers.astype(np.int64)
