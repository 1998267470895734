"""A file that stays open while a data set lives: one handle for all threads, opened again in worker processes."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from facebench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class OpenFile:
    """Mixed into what reads with ``os.pread``; call ``_hold`` once ``path`` is set.

    Attributes:
        path: The file.
    """

    # How errors speak of the file: its name, and what is said when it is another than it was.
    CALLED: ClassVar[str]
    CHANGED: ClassVar[str]

    path: Path

    def _hold(self) -> None:
        """Opens the file, and remembers its size and time.

        Raises:
            DataError: When it cannot be opened.
        """
        self._open()
        self._seen = self._state()

    def _open(self) -> None:
        try:
            self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise DataError(f"{self.path}: cannot open {self.CALLED}: {error.strerror}") from None
        weakref.finalize(self, os.close, self._handle)

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._handle)
        return found.st_size, found.st_mtime_ns

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the file handle, for worker processes."""
        return {name: value for name, value in self.__dict__.items() if name != "_handle"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()
        if self._state() != self._seen:
            raise DataError(f"{self.path}: {self.CHANGED}")
