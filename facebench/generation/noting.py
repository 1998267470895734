"""What is kept of a block besides its pictures: its identities, what is known of each picture, and some to show."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facebench.errors import DataError
from facebench.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench.generators import Rendered

# Of the first identities, the first pictures stand on the preview.
SHOWN_PEOPLE: Final = 8
SHOWN_PICTURES: Final = 10
_COLUMN: Final = "column "
_TAKEN: Final = ("key", "label")
# Booleans, whole numbers, floats and text.
_KINDS: Final = "biufU"


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """A block that is safe.

    Attributes:
        vectors: float32 (B, D), its identities.
        columns: What is known of each picture, arrays (B * M,) by name.
        size: (height, width) of the pictures.
        shown: uint8 (b, m, H, W, 3), the pictures for the preview; b is 0 in blocks of later identities.
    """

    vectors: npt.NDArray[np.float32]
    columns: Mapping[str, npt.NDArray[Any]]
    size: tuple[int, int]
    shown: npt.NDArray[np.uint8]


def note_of(rendered: Rendered, people: range, images: int, width: int) -> Note:
    """What to keep of a block.

    Args:
        rendered: What a generator returned.
        people: The identities of the block.
        images: M, pictures of each.
        width: D, of the vectors.

    Raises:
        DataError: When the generator returned something else than it must.
    """
    count = len(people) * images
    pictures, vectors = rendered.images, rendered.vectors
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or len(pictures) != count or pictures.shape[3] != 3:
        found = f"{pictures.dtype} {pictures.shape}"
        raise DataError(f"the generator returned pictures {found}; expected uint8 ({count}, H, W, 3)")
    if vectors.dtype != np.float32 or vectors.shape != (len(people), width) or not np.isfinite(vectors).all():
        found = f"{vectors.dtype} {vectors.shape}"
        raise DataError(f"the generator returned vectors {found}; expected finite float32 ({len(people)}, {width})")
    columns = {name: np.asarray(column) for name, column in rendered.columns.items()}
    for name, column in columns.items():
        if column.shape != (count,) or column.dtype.kind not in _KINDS or name in _TAKEN:
            raise DataError(
                f"the generator returned a column {name!r} of {column.dtype} {column.shape}; expected one number or "
                f"text for each of {count} pictures, under another name than {' and '.join(_TAKEN)}"
            )
    height, wide = pictures.shape[1:3]
    shown = pictures.reshape(len(people), images, height, wide, 3)
    return Note(vectors, columns, (height, wide), shown[: max(0, SHOWN_PEOPLE - people.start), :SHOWN_PICTURES])


def write_note(path: Path, note: Note) -> None:
    """Writes a note in one step; its block is safe from then on.

    Raises:
        FacebenchError: When the system refuses.
    """
    arrays = {f"{_COLUMN}{name}": column for name, column in note.columns.items()}
    arrays |= {"vectors": note.vectors, "size": np.array(note.size), "shown": note.shown}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # names are ours or stand behind a space

    write_atomic(path, write)


def read_note(path: Path) -> Note:
    """A note of a block.

    Raises:
        DataError: When it is not there or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            columns = {name.removeprefix(_COLUMN): stored[name] for name in stored.files if name.startswith(_COLUMN)}
            height, width = stored["size"].tolist()
            return Note(stored["vectors"], columns, (height, width), stored["shown"])
    except FileNotFoundError:
        raise DataError(f"{path}: the note of a block is not there; do all processes share that file system?") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: the note of a block is damaged ({error}); delete it and run again") from None
