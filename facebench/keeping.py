"""The folder of a run: found again or made, and what it keeps of a training."""

from __future__ import annotations

import csv
import shutil
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facebench.errors import FacebenchError
from facebench.logs import logged_to
from facebench.ranks import told, world
from facebench.store import RunFolder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def run_folder(root: Path, plugin: str, fingerprint: str, *, fresh: bool) -> Iterator[RunFolder]:
    """The run's folder, old or new, with the log going to it; a new one that a user's error leaves empty is removed.

    All processes call it and learn where the folder is; the first alone makes it and writes the log.

    Args:
        root: The folder of runs.
        plugin: The method's name.
        fingerprint: Of the configuration.
        fresh: Make a new one in any case.

    Raises:
        FacebenchError: When it cannot be made.
    """
    if not world().first:
        yield RunFolder(Path(told("")))
        return
    found = None if fresh else RunFolder.find(root, plugin, fingerprint)
    folder = found or RunFolder.new(root, plugin, fingerprint, datetime.now())
    told(str(folder.path))
    try:
        with logged_to(folder.log):
            yield folder
    except FacebenchError:
        if found is None and not (folder.path / "results").exists() and not folder.checkpoint.exists():
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def last_epoch(table: Path) -> dict[str, float]:
    """The values of the last epoch in the table that the stock trainer keeps; empty where there is none."""
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
        return {name: float(value) for name, value in rows[-1].items() if name != "epoch" and value} if rows else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep_checkpoint(source: Path, folder: RunFolder) -> None:
    """Copies weights, and class centres if there are any: the run owns them, whatever becomes of the cache.

    Args:
        source: The folder of the training.
        folder: The run's.

    Raises:
        FacebenchError: When they cannot be written.
    """
    centres = sorted(source.glob("classes-*.safetensors"))
    for old in folder.checkpoint.glob("classes*"):
        if not (source / old.name).is_file():
            old.unlink()
    # Documents come after what they describe, so that a folder that has one is complete.
    for file in (source / "weights.safetensors", *centres, source / "classes.json", source / "checkpoint.json"):
        kept = folder.checkpoint / file.name
        if file.is_file() and not (file in centres and _is_copied(file, kept)):
            write_atomic(kept, partial(shutil.copyfile, file))


def _is_copied(file: Path, there: Path) -> bool:
    """Whether a file, which may be very large, has been copied since it was written."""
    if not there.is_file():
        return False
    one, two = file.stat(), there.stat()
    return one.st_size == two.st_size and one.st_mtime_ns < two.st_mtime_ns
