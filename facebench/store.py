"""Where runs, weights and embeddings lie on disk, and how they get there whole.

Everything is written under a temporary name, flushed to the disk and renamed, so a reader never sees half a file and a
killed run leaves nothing that looks finished. A run's folder is named after its time, its method and the fingerprint
of its configuration; running again finds it by the fingerprint.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from facebench.errors import FacebenchError
from facebench.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, then puts it in place.

    Args:
        path: The file to appear; its folder is made.
        write: Writes the whole content to the path it is given, which has the same suffix.

    Raises:
        FacebenchError: When the system refuses: no permission, no space, a folder in the way.
    """
    # A hidden name, so that what a killed process leaves is never taken for a finished file.
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(6)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch(exist_ok=False)
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise FacebenchError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes text atomically, UTF-8."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def locked(folder: Path, *, busy: str = "") -> Iterator[None]:
    """Makes a folder and holds it against other processes, where the system has file locks.

    A killed process lets go of it.

    Args:
        folder: The folder.
        busy: What to say when another process holds it; empty to wait instead.

    Raises:
        FacebenchError: When the folder cannot be made, or is held and ``busy`` was given.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FacebenchError(f"cannot make the folder {folder}: {error.strerror}") from None
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks is like a system without
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise FacebenchError(busy) from None
        yield
    finally:
        os.close(handle)


def cache_root() -> Path:
    """Where caches lie unless told otherwise: ``FACEBENCH_CACHE``, or the system's place for a user's caches."""
    told = os.environ.get("FACEBENCH_CACHE")
    return Path(told) if told else Path(platformdirs.user_cache_dir("facebench", appauthor=False))


@dataclass(frozen=True, slots=True)
class Cache:
    """Things that can be computed again: trained weights and embeddings, by fingerprint."""

    root: Path

    def training(self, fingerprint: str) -> Path:
        """The folder of a training, finished or not."""
        return self.root / "training" / fingerprint

    def embeddings(self, fingerprint: str) -> Path:
        """The folder of a set of embeddings, finished or not."""
        return self.root / "embeddings" / fingerprint

    def generated(self, name: str) -> Path:
        """The folder of a set of generated faces, finished or not."""
        return self.root / "generated" / name

    def forget(self, folder: Path) -> None:
        """Deletes what a folder of this cache holds, for ``--fresh``.

        The folder itself stays: who holds it, holds it under its name.

        Raises:
            FacebenchError: When another process is working there.
        """
        if self.root not in folder.parents or not folder.is_dir():
            return
        with locked(folder, busy=f"another process is working in {folder}; wait for it, or use another cache"):
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder.

    Attributes:
        path: ``runs/<time>-<plugin>-<fingerprint>``.
    """

    path: Path

    @classmethod
    def find(cls, root: Path, plugin: str, fingerprint: str) -> RunFolder | None:
        """The newest run of that configuration, or None."""
        pattern = re.compile(rf"\d{{8}}-\d{{6}}-{re.escape(plugin)}-{re.escape(fingerprint)}")
        if not root.is_dir():
            return None
        found = sorted(entry for entry in root.iterdir() if entry.is_dir() and pattern.fullmatch(entry.name))
        return cls(found[-1]) if found else None

    @classmethod
    def new(cls, root: Path, plugin: str, fingerprint: str, now: datetime) -> RunFolder:
        """A new folder for a run of that configuration."""
        path = root / f"{now:%Y%m%d-%H%M%S}-{plugin}-{fingerprint}"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FacebenchError(f"cannot make the run folder {path}: {error.strerror}") from None
        return cls(path)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.path / "run.log"

    @property
    def checkpoint(self) -> Path:
        """The trained weights."""
        return self.path / "checkpoint"

    @property
    def figures(self) -> Path:
        """Pictures."""
        return self.path / "figures"

    def result(self, protocol: str) -> Path:
        """The result of a protocol."""
        return self.path / "results" / f"{protocol}.json"

    def scores(self, protocol: str) -> Path:
        """The per-comparison scores of a protocol."""
        return self.path / "results" / f"{protocol}.scores.npz"


def find_results(places: Iterable[Path]) -> list[Result]:
    """All results in files, run folders or folders of runs, each once, in a stable order.

    Raises:
        FacebenchError: When a place does not exist or nothing was found.
        DataError: When a result cannot be read.
    """
    files: list[Path] = []
    asked = [Path(place) for place in places]
    for place in asked:
        if place.is_file():
            files.append(place)
        elif place.is_dir():
            found = {*place.glob("results/*.json"), *place.glob("*/results/*.json")}
            files.extend(sorted(file for file in found if not file.name.startswith(".")))
        else:
            raise FacebenchError(f"no results at {place}: there is no such file or folder")
    if not files:
        places_text = ", ".join(map(str, asked))
        raise FacebenchError(f"no results in {places_text}; run 'facebench run --plugin NAME --protocol NAME' first")
    once = {file.resolve(): file for file in files}
    return [Result.load(file) for file in once.values()]
