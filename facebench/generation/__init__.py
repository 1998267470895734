"""Data sets of faces that belong to nobody: identities drawn, rendered block by block, and left in a form people keep.

All work happens in a hidden folder inside the one that was asked for, with a note after every block of what is safe.
Only when the last picture is there does everything move to its place, the manifest at the end: a folder with a
manifest is whole, and until then readers find no pictures. A killed run goes on at the first block without a note and,
since blocks are cut at the same places, ends with the same bytes.
"""

from __future__ import annotations

from facebench.generation.drawing import Drawing
from facebench.generation.making import generate
from facebench.generation.place import Generated, refuse_foreign

__all__ = ["Drawing", "Generated", "generate", "refuse_foreign"]
