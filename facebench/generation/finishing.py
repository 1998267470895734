"""What stands beside the pictures: vectors, table, preview and manifest, made from the notes of the blocks."""

from __future__ import annotations

import csv
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facebench.datasets import TarShards, write_records
from facebench.datasets.preview import SheetRow, draw_sheet
from facebench.datasets.writing import MANIFEST, PREVIEW
from facebench.errors import DataError
from facebench.generation.noting import SHOWN_PEOPLE, SHOWN_PICTURES, read_note
from facebench.generation.place import TABLE, VECTORS
from facebench.images import encode_png
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench.generation.drawing import Drawing
    from facebench.generation.noting import Note
    from facebench.generation.place import Place

# What is told under a picture of the preview, and which pictures are marked there.
_TOLD: Final = ("sigma", "similarity")
_SUCCESS: Final = "success"


def finish(place: Place, drawing: Drawing, asked: Mapping[str, Any]) -> None:
    """Makes what is left to be ready, the manifest last.

    Args:
        place: All its blocks are noted.
        drawing: What was drawn.
        asked: The document of it.

    Raises:
        DataError: When the blocks do not fit together.
        FacebenchError: When the system refuses to write.
    """
    if (place.ready / MANIFEST).is_file():
        return
    first = read_note(place.note(0))
    keys = None
    if drawing.form == "recordio":
        keys = _write_records(place, drawing, first)
    write_atomic(place.ready / VECTORS, partial(_write_vectors, place, drawing, first.vectors.shape[1]))
    means: dict[str, float] = {}
    write_atomic(
        place.ready / TABLE, lambda temporary: means.update(_write_table(place, drawing, first, keys, temporary))
    )
    sheet = encode_png(_preview(place, drawing, asked["described"]))
    write_atomic(place.ready / PREVIEW, lambda temporary: temporary.write_bytes(sheet))
    found = {
        "faces": drawing.faces,
        "size": first.size,
        "sampling": json.loads(place.sampling.read_text(encoding="utf-8")),
        "means": means,
    }
    write_text(place.ready / MANIFEST, json.dumps({**asked, **found}, indent=2, ensure_ascii=False) + "\n")


def _notes(place: Place, drawing: Drawing, first: Note) -> Iterator[tuple[int, Note]]:
    """The blocks in order.

    Raises:
        DataError: When one does not fit to the first.
    """
    for block in range(drawing.blocks):
        note = read_note(place.note(block))
        if note.size != first.size or set(note.columns) != set(first.columns):
            raise DataError(
                f"the generator returned pictures of {note.size} with columns {sorted(note.columns)} after some of "
                f"{first.size} with {sorted(first.columns)}; all must be of one kind"
            )
        yield block, note


def _write_records(place: Place, drawing: Drawing, first: Note) -> Iterator[str]:
    """Writes RecordIO from the shards; the keys its reader gives."""
    done = write_records(place.ready, TarShards(place.shards), classes=drawing.identities, size=first.size)
    start = 1 if done.ranges else 0
    return (f"{number:08d}" for number in range(start, start + drawing.faces))


def _write_vectors(place: Place, drawing: Drawing, width: int, path: Path) -> None:
    """All identities as one array, block by block."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (drawing.identities, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in range(drawing.blocks):
            file.write(np.ascontiguousarray(read_note(place.note(block)).vectors, dtype="<f4").tobytes())


def _write_table(
    place: Place, drawing: Drawing, first: Note, keys: Iterator[str] | None, path: Path
) -> dict[str, float]:
    """One line for each picture; returns the means of what is a number."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "label", *first.columns])
        for block, note in _notes(place, drawing, first):
            labels = (person for person in drawing.stretch(block) for _ in range(drawing.images_per_id))
            columns = [_texts(note.columns[name]) for name in first.columns]
            own = drawing.keys(block) if keys is None else (next(keys) for _ in drawing.keys(block))
            table.writerows(zip(own, labels, *columns, strict=True))
            for name, column in note.columns.items():
                values = column[np.isfinite(column)].astype(np.float64) if column.dtype.kind in "biuf" else column[:0]
                if len(values):
                    sums[name] = sums.get(name, 0.0) + float(values.sum())
                    counts[name] = counts.get(name, 0) + len(values)
    return {name: sums[name] / counts[name] for name in first.columns if name in sums}


def _texts(column: npt.NDArray[Any]) -> list[str]:
    """Values as text: floats with as many digits as their type needs to be read back, booleans as 0 and 1."""
    if column.dtype.kind == "b":
        return ["1" if value else "0" for value in column.tolist()]
    return [str(value) for value in column]


def _preview(place: Place, drawing: Drawing, described: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """The first pictures of the first identities."""
    rows: list[SheetRow] = []
    images = min(drawing.images_per_id, SHOWN_PICTURES)
    for block in range(drawing.blocks):
        people = drawing.stretch(block)[: SHOWN_PEOPLE - len(rows)]
        if not people:
            break
        note, keys = read_note(place.note(block)), drawing.keys(block)
        for row, shown in zip(range(len(people)), note.shown, strict=True):
            places = range(row * drawing.images_per_id, row * drawing.images_per_id + images)
            numbers = {name: column[places] for name, column in note.columns.items() if column.dtype.kind in "biuf"}
            failed = numbers[_SUCCESS] == 0 if _SUCCESS in numbers else np.zeros(images, dtype=np.bool_)
            told = [(name, numbers[name].tolist()) for name in _TOLD if name in numbers]
            lines = [[f"{name} {values[place]:.2f}" for name, values in told] for place in range(images)]
            rows.append(SheetRow(keys[places[0]].partition("/")[0], shown, lines, failed))
    who = described.get("generator")
    what = f"{drawing.identities:,} identities x {drawing.images_per_id:,} pictures, seed {drawing.seed}"
    return draw_sheet(rows, title=f"{who}: {what}" if isinstance(who, str) else what, marks="not as it should be")
