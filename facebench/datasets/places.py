"""Where faces lie below a data root when a protocol takes any: as the user says, or LFW's aligned pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.errors import DatasetMissing

if TYPE_CHECKING:
    from pathlib import Path

_BASES = ("lfw", "LFW", ".")
_NAMES = ("lfw_112x112.tar", "lfw_112x112", "lfw-112x112", "lfw_align_112", "lfw.tar", "lfw.bin", "lfw.bin.xz")


def faces_below(root: Path, chosen: str, *, protocol: str, how_to_get: str) -> Path:
    """The first place where there is something.

    Args:
        root: The data root.
        chosen: The user's own choice, relative to the root or absolute; LFW's usual places if empty.
        protocol: Who asks, for the message.
        how_to_get: What the user can do.

    Raises:
        DatasetMissing: When there is nothing, with every place that was tried.
    """
    tried = [root / chosen] if chosen else [root / base / name for base in _BASES for name in _NAMES]
    for place in tried:
        path = place.expanduser()
        if path.exists():
            return path
    raise DatasetMissing(protocol, tried, how_to_get)
