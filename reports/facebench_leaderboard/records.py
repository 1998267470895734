"""What a table is made of, ready to be written down in any format.

All text in these records is on one line and free of control characters, but it is not escaped: that is each format's
own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebench import Curve, Result


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of a table.

    Attributes:
        name: The metric's name.
        unit: Its unit.
        score: The comparison score behind it.
        rule: The rule that all its values follow.
        higher_is_better: Its direction; None for neither.
        heading: What stands above it.
    """

    name: str
    unit: str
    score: str
    rule: str
    higher_is_better: bool | None
    heading: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as it is shown.

    Attributes:
        text: The value, or a dash.
        value: The number behind the text, as shown; None for a dash.
        spread: Such as ``± 0.212``, or empty.
        interval: Such as ``[99.12, 99.70]``, or empty.
        hint: How the interval was found, or why there is no value.
        note: The number of the footnote that gives the reason, or None.
        best: Whether it is the best of its column.
    """

    text: str
    value: float | None = None
    spread: str = ""
    interval: str = ""
    hint: str = ""
    note: int | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One method.

    Attributes:
        rank: From 1; equal values share it. None where there is nothing to rank by.
        method: Name of the plugin.
        model: In words.
        cells: One for each column.
        mirror: How the headline value fuses a face with its mirror image.
        rule: The rule of the headline value.
        own_rules: Rules, in words, that not all rows of the table share.
        result: Everything else.
    """

    rank: int | None
    method: str
    model: str
    cells: tuple[Cell, ...]
    mirror: str
    rule: str
    own_rules: tuple[tuple[str, str], ...]
    result: Result


@dataclass(frozen=True, slots=True)
class Overlay:
    """One figure: the same curve of several rows.

    Attributes:
        title: For people.
        curves: Curve by method.
        left_out: Methods that have the curve but no room.
    """

    title: str
    curves: dict[str, Curve]
    left_out: int


@dataclass(frozen=True, slots=True)
class Table:
    """One protocol on one data set.

    Attributes:
        heading: The protocol, with whatever tells this table from its neighbours.
        data: The data set, its fingerprint and its counts, in words.
        demo: Whether these are the built-in drawn faces.
        columns: The metrics.
        rows: Best first.
        notes: Reasons for missing values, numbered from 1.
        rules: How the numbers were made, as far as all rows agree.
        remarks: What a reader must know of the table as a whole.
        overlays: Its figures.
    """

    heading: str
    data: str
    demo: bool
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    overlays: tuple[Overlay, ...]
