"""From a generator to a folder of faces, step by step."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.contracts import fingerprint_of
from facebench.datasets.writing import IMAGES, encode, write_folder, write_tar
from facebench.errors import DataError
from facebench.generation.finishing import finish
from facebench.generation.noting import note_of, write_note
from facebench.generation.place import Place, asked_of, finished, prepare, settle
from facebench.progress import Bars
from facebench.ranks import neighbours, told, wait, world
from facebench.store import locked, write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import Progress
    from facebench.generation.drawing import Drawing
    from facebench.generation.place import Generated
    from facebench.generators import Generator
    from facebench.ranks import World

_ROWS = 4096


def generate(
    generator: Generator, drawing: Drawing, out: Path, *, described: Mapping[str, Any], progress: Progress
) -> Generated:
    """Draws a data set of faces into a folder, or goes on, or finds it there.

    Left in the folder: the pictures in the form asked for, ``identities.npy`` (float32 (N, D), as they were used in the
    end), ``pictures.csv`` (key and label of each picture as ``open_images`` gives them, and what the generator noted of
    it), ``preview.png`` and ``manifest.json``. Memory holds one block of pictures at a time.

    Processes that have joined share the blocks, and all of them must call this; they need a file system that they
    share. The first one draws the identities and puts everything in place. Any number of processes continues what any
    other number left, and all end with the same bytes.

    Args:
        generator: Loaded; each process has its own, of the same weights.
        drawing: What to draw.
        out: The folder; made if need be, and held against other processes meanwhile.
        described: Who draws, in plain values (names, options, hash of the weights): it goes into the manifest, and a
            folder where something else was drawn is refused. A text under ``generator`` is told on the preview.
        progress: For bars; among several processes the first one shows how far its own part is.

    Raises:
        FacebenchError: When the folder holds something else, or cannot be written. What was there is untouched.
        DataError: When the generator returns something else than it must, or a process does not see what another one
            wrote. The other processes then wait to be ended by their launcher.
    """
    here, place, asked = world(), Place(out), asked_of(drawing, described)
    with locked(out) if here.first else nullcontext():  # other runs wait, and then find the work done
        done = _agreed(here, asked, prepare(place, drawing, asked) if here.first else False)
        if not done:
            if here.first:
                _draw(generator, drawing, place, progress)
            wait()
            _render_all(generator, drawing, place, here, progress)
            wait()
            if here.first:
                finish(place, drawing, asked)
                settle(place)
    wait()
    return finished(out, reused=done)


def _agreed(here: World, asked: Mapping[str, Any], done: bool) -> bool:
    """Whether the first process finds the work done, once it is clear that all processes mean the same work."""
    done, name = told((done, fingerprint_of(asked)))
    if name != fingerprint_of(asked):
        raise DataError(
            f"process {here.rank} is to draw other faces than the first process; start all with one command"
        )
    return done


def _draw(generator: Generator, drawing: Drawing, place: Place, progress: Progress) -> None:
    """Draws the identities, unless they are there."""
    if place.sampling.is_file():
        return
    found = generator.identities(drawing.identities, seed=drawing.seed, folder=place.own, progress=progress)
    vectors = found.vectors
    right = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == drawing.identities
    if not right or not all(np.isfinite(vectors[row : row + _ROWS]).all() for row in range(0, len(vectors), _ROWS)):
        shape = f"{vectors.dtype} {vectors.shape}"
        raise DataError(f"the generator drew identities {shape}; expected finite float32 ({drawing.identities}, D)")
    try:
        notes = json.dumps(dict(found.notes), default=lambda value: value.item(), allow_nan=False)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the generator noted what is no plain value: {error}") from None
    write_atomic(place.drawn, lambda temporary: np.save(temporary, vectors))
    write_text(place.sampling, notes + "\n")


def _render_all(generator: Generator, drawing: Drawing, place: Place, here: World, progress: Progress) -> None:
    """Renders the blocks of this process that are not there."""
    try:
        vectors = np.load(place.drawn, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{place.drawn}: process {here.rank} cannot read the identities ({error}); all processes must share the "
            "file system of the folder"
        ) from None
    left = told([block for block in range(drawing.blocks) if not place.note(block).is_file()] if here.first else [])
    own = left[here.rank :: here.size]
    parts = f", part {here.rank + 1} of {here.size}" if here.size > 1 else ""
    total = drawing.faces if here.size == 1 else _faces(drawing, own)
    bars = progress if here.first else Bars(quiet=True)
    threads = max(1, (os.cpu_count() or 1) // neighbours().size)
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool,
        bars.bar(total, f"generating{parts}", unit="face", start=total - _faces(drawing, own)) as bar,
    ):
        for block in own:
            _render(generator, drawing, place, block, vectors, pool)
            bar.advance(_faces(drawing, [block]))


def _faces(drawing: Drawing, blocks: list[int]) -> int:
    return sum(len(drawing.stretch(block)) for block in blocks) * drawing.images_per_id


def _render(
    generator: Generator,
    drawing: Drawing,
    place: Place,
    block: int,
    vectors: npt.NDArray[np.float32],
    pool: Executor,
) -> None:
    """Renders one block, and notes it once its pictures are safe."""
    people = drawing.stretch(block)
    # A copy: the generator may adjust what it is given.
    asked = np.array(vectors[people.start : people.stop])
    rendered = generator.render(asked, first=people.start, images=drawing.images_per_id, seed=drawing.seed)
    note = note_of(rendered, people, drawing.images_per_id, vectors.shape[1])
    encoded = encode(rendered.images, drawing.encoding, quality=drawing.quality, pool=pool)
    if drawing.form == "folder":
        write_folder(place.ready / IMAGES, drawing.files(block), encoded, pool=pool)
    else:
        folder = place.ready if drawing.form == "tar" else place.shards
        write_tar(folder / drawing.shard(block), [f"{IMAGES}/{name}" for name in drawing.files(block)], encoded)
    write_note(place.note(block), note)
