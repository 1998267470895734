"""Bars for people: they show long work on a terminal and vanish everywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


class Bar:
    """An open bar, or the silence in its place."""

    def __init__(self, bar: tqdm[Any] | None) -> None:
        self._bar = bar

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int = 1, **values: float | str) -> None:
        """Moves the bar and shows values beside it."""
        if self._bar is None:
            return
        if values:
            shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values.items()}
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update(steps)


class Bars:
    """Opens bars on standard error when that is a terminal.

    Args:
        quiet: Never show any.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._shown = not quiet and sys.stderr.isatty()

    def bar(self, total: int, what: str, *, unit: str = "it", start: int = 0) -> Bar:
        """Opens a bar.

        Args:
            total: Steps in all.
            what: What is going on, in two or three words.
            unit: What one step is.
            start: Steps already done before.
        """
        if not self._shown:
            return Bar(None)
        from tqdm import tqdm

        return Bar(tqdm(total=total, desc=what, unit=unit, initial=start, leave=False, dynamic_ncols=True))
