"""The errors a user can mend, apart from the bugs that we must.

Every error here is shown as one line with exit code 2: what was asked, what was found, what to do. Any other exception
is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class FacebenchError(Exception):
    """A problem in the user's input, files or machine, told in one line."""


class UnknownName(FacebenchError):
    """A name that nothing installed offers.

    Args:
        kind: What was looked for, in the singular (``"loss"``).
        name: The name that was asked for.
        offered: The names that exist.
        hint: One more sentence, such as why a plugin that would have offered the name did not load.
    """

    def __init__(self, kind: str, name: str, offered: Iterable[str], hint: str = "") -> None:
        names = sorted(offered)
        close = get_close_matches(name, names, n=1, cutoff=0.6)
        meant = f"; did you mean {close[0]!r}?" if close else ";"
        listed = ", ".join(names) if names else "nothing"
        super().__init__(f"unknown {kind} {name!r}{meant} offered: {listed}" + (f"; {hint}" if hint else ""))
        self.kind, self.name = kind, name


class ConfigError(FacebenchError):
    """A configuration key or value that cannot be used."""


class DataError(FacebenchError):
    """A file that was found but cannot be used: damaged, malformed, or not what its list says."""


class DatasetMissing(DataError):
    """Data that a protocol needs and that is not where it was looked for.

    Args:
        name: The data set.
        looked_in: Every place that was tried.
        how_to_get: One sentence: where the user can get it and how to lay it out.
    """

    def __init__(self, name: str, looked_in: Iterable[Path | str], how_to_get: str) -> None:
        places = ", ".join(str(place) for place in looked_in) or "nowhere"
        super().__init__(f"data for {name!r} not found; looked for {places}; {how_to_get}")
        self.name = name


class MetricError(FacebenchError):
    """Scores or labels from which a metric cannot be computed."""


class PluginError(FacebenchError):
    """A plugin that could not be loaded or whose offer cannot be used."""


class MissingExtra(FacebenchError):
    """An optional dependency that is not installed.

    Args:
        what: What needed it, in words (``"ONNX models"``).
        extra: The extra that brings it (``"onnx"``).
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} need an optional dependency; install it with: pip install 'facebench[{extra}]'")
