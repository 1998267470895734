"""A sheet of pictures for people: the quickest judge of a set of faces is somebody who looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facebench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# Pixels. Smaller pictures are shown magnified by a whole number, so that each of their pixels stays one square.
_LEAST, _MOST = 112, 224
_GAP, _MARGIN = 6, 12
_TITLE, _NAME, _NOTE = 16, 14, 11
_LEADING: Final = 1.3
_INK, _PALE, _PAPER, _MARK = "#333333", "#6A6A6A", "#FFFFFF", "#D55E00"


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """One person on the sheet.

    Attributes:
        name: Stands before the pictures.
        images: uint8 (M, H, W, 3), RGB.
        notes: Lines under each picture, M of them; empty for none.
        marked: Whether a picture gets a coloured frame, bool (M,).
    """

    name: str
    images: npt.NDArray[np.uint8]
    notes: Sequence[Sequence[str]]
    marked: npt.NDArray[np.bool_]


def draw_sheet(rows: Sequence[SheetRow], *, title: str, marks: str = "") -> npt.NDArray[np.uint8]:
    """Draws people in rows, each picture with what is known of it.

    Args:
        rows: The people; all pictures have one size.
        title: Above the sheet.
        marks: What a coloured frame means; told where there is one.

    Returns:
        The sheet, uint8 (height, width, 3) RGB; the same for the same rows.

    Raises:
        DataError: When there is no picture to show.
    """
    if not rows or not len(rows[0].images):
        raise DataError("there is no picture to show")
    if marks and any(row.marked.any() for row in rows):
        title = f"{title}; coloured frame: {marks}"
    across = max(len(row.images) for row in rows)
    width, height = _shown(rows[0].images[0]).size
    lines = max((len(note) for row in rows for note in row.notes), default=0)
    step_x, step_y = width + _GAP, height + _GAP + round(lines * _NOTE * _LEADING)
    left = _MARGIN + max(_length(row.name, _NAME) for row in rows) + _GAP
    top = _MARGIN + round(_TITLE * _LEADING) + _GAP
    wide = max(left + across * step_x - _GAP, _MARGIN + _length(title, _TITLE)) + _MARGIN
    sheet = Image.new("RGB", (wide, top + len(rows) * step_y - _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, fill=_INK, font=_font(_TITLE))
    for down, row in enumerate(rows):
        y = top + down * step_y
        pen.text((_MARGIN, y + (height - _NAME) // 2), row.name, fill=_INK, font=_font(_NAME))
        for place, image in enumerate(row.images):
            x = left + place * step_x
            sheet.paste(_shown(image), (x, y))
            if row.marked[place]:
                pen.rectangle((x - 2, y - 2, x + width + 1, y + height + 1), outline=_MARK, width=2)
            for number, line in enumerate(row.notes[place] if row.notes else ()):
                pen.text((x, y + height + 2 + number * _NOTE * _LEADING), line, fill=_PALE, font=_font(_NOTE))
    return np.asarray(sheet)


def _shown(image: npt.NDArray[np.uint8]) -> Image.Image:
    """A picture as large as people need it."""
    shown = Image.fromarray(image)
    larger = -(-_LEAST // shown.width)
    if larger > 1:
        return shown.resize((shown.width * larger, shown.height * larger), Image.Resampling.NEAREST)
    if shown.width > _MOST:
        return shown.resize((_MOST, round(shown.height * _MOST / shown.width)), Image.Resampling.LANCZOS)
    return shown


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _length(text: str, size: int) -> int:
    return round(_font(size).getlength(text))
