"""AgeDB: ``04_FINAL_protocol_30_years.mat``, pairs with an age gap, as MATLAB saved them.

Variable ``splits`` has ten cells; each is a structure of a 2 x 600 cell array of pictures (structures whose first field
is the file's stem, then the age) and a row of 600 labels, +1 for the same person and -1 for two (read as InsightFace's
``agedb2pack.py`` and FaceX-Zoo's ``pairs_parser.py`` do). The structures' field names are unknown to us and do not
matter: parts are recognised by their shapes. A ``.mat`` of version 5 holds numbers and text only, and SciPy's reader
runs nothing; version 7.3 is another format and refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import DataError
from facebench_verification.lists.reading import PairList, key_of
from facebench_verification.pairs import read_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from facebench_verification.pairs import Pairs

# The real file has well below a megabyte; a compressed one may grow a thousandfold.
_LARGEST = 16 << 20


def read_agedb(path: Path) -> Pairs:
    """Reads the ``.mat``, or a text list in LFW's form.

    The key of a picture is its stem, as the pictures lie in one folder; who is shown stands before the stem's first
    underscore in the known copies, or after a leading number.

    Raises:
        DataError: When the file is damaged or its parts have other shapes; it names split and pair.
    """
    if path.suffix != ".mat":
        return read_pairs(path)
    listed = PairList(path)
    for number, split in enumerate(_splits(path), 1):
        where = f"{path}, split {number}"
        pictures, labels = _parts(split, where)
        for column in range(pictures.shape[1]):
            stems = [_stem(pictures[row, column], f"{where}, pair {column + 1}") for row in (0, 1)]
            label = int(labels[column])
            people = (_person(stems[0]), _person(stems[1]))
            listed.add((stems[0], stems[1]), same=label == 1, line=len(listed) + 1, people=people, fold=number)
    return listed.pairs()


def _splits(path: Path) -> list[object]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes; the list of AgeDB has less than {_LARGEST:,}")
        found = loadmat(str(path), variable_names=["splits"], struct_as_record=True, squeeze_me=False)
    except DataError:
        raise
    except NotImplementedError:
        raise DataError(f"{path}: a MATLAB 7.3 file; save it with version 5 ('-v7'), which the original has") from None
    except (OSError, MatReadError, ValueError, TypeError, KeyError, IndexError, EOFError, MemoryError) as error:
        raise DataError(f"{path}: not a readable MATLAB file ({type(error).__name__}: {error})") from None
    except Exception as error:  # the reader answers damaged data with whatever it stumbles over, zlib.error among it
        raise DataError(f"{path}: the MATLAB file is damaged ({type(error).__name__})") from None
    splits = found.get("splits")
    if not isinstance(splits, np.ndarray) or splits.dtype != np.object_ or splits.size < 2:
        raise DataError(f"{path}: expected a cell array 'splits' of ten, found {_seen(splits)}")
    return [splits.flat[index] for index in range(splits.size)]


def _parts(split: object, where: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The 2 x N pictures and the N labels of a split."""
    fields = _fields(split)
    pictures = next((part for part in fields if part.dtype == np.object_ and part.ndim == 2 and len(part) == 2), None)
    labels = next((part for part in fields if part.dtype.kind in "iuf" and part.size > 1), None)
    if pictures is None or labels is None or labels.size != pictures.shape[1]:
        shapes = ", ".join(_seen(part) for part in fields) or _seen(split)
        raise DataError(f"{where}: expected a 2 x N cell array of pictures and N labels, found {shapes}")
    flat = labels.ravel()
    wrong = np.flatnonzero((flat != 1) & (flat != -1))
    if len(wrong):
        raise DataError(f"{where}, pair {wrong[0] + 1}: the label is {flat[wrong[0]]}, expected 1 or -1")
    return pictures, flat


def _fields(value: object) -> list[np.ndarray[Any, Any]]:
    """The parts of a MATLAB structure, however many cells of one element it is wrapped in."""
    for _ in range(8):
        if isinstance(value, np.void) and value.dtype.names:
            return [np.asarray(part) for part in value.tolist()]
        if not isinstance(value, np.ndarray) or value.size != 1:
            return []
        value = value.flat[0]
    return []


def _stem(value: object, where: str) -> str:
    fields = _fields(value)
    inner: object = fields[0] if fields else value
    for _ in range(8):
        if isinstance(inner, str) and inner:
            return key_of(inner).rpartition("/")[2]
        if not isinstance(inner, np.ndarray) or inner.size != 1:
            break
        inner = inner.flat[0]
    raise DataError(f"{where}: expected a picture's name, found {_seen(value)}")


def _person(stem: str) -> str:
    parts = stem.split("_")
    return parts[1] if len(parts) > 1 and parts[0].isdigit() else parts[0]


def _seen(value: object) -> str:
    return f"{value.dtype.kind}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
