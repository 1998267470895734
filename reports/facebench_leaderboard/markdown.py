"""The leaderboard as Markdown, readable as it is and on any forge.

Names come from strangers: whatever could end a table's cell, start markup or smuggle HTML or a link is escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench.store import write_text
from facebench_leaderboard.explain import EXPLANATIONS
from facebench_leaderboard.numbers import words
from facebench_leaderboard.table import newest, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from facebench import Result
    from facebench_leaderboard.records import Cell, Row, Table

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINK = re.compile(r"(?i)(?<=[a-z])://|(?<=www)\.|(?<=mailto):")


@dataclass(frozen=True, slots=True)
class MarkdownRenderer:
    """Writes ``leaderboard.md``.

    Attributes:
        title: The report's heading.
        metrics: Names of the metrics to show; empty shows all.
    """

    title: str
    metrics: Sequence[str] = ()

    def render(self, results: Sequence[Result], out: Path, /) -> Iterable[Path]:
        """Writes the report below ``out``.

        Raises:
            FacebenchError: When there is no result, or the folder cannot be written.
            UnknownName: When no result has a wanted metric.
        """
        path = out / "leaderboard.md"
        blocks = [f"# {escaped(self.title)}", _summary(results)]
        for table in tables(results, self.metrics):
            blocks.extend(_section(table))
        blocks.append("## How to read this")
        blocks.append("\n".join(f"- **{escaped(what)}.** {escaped(text)}" for what, text in EXPLANATIONS))
        write_text(path, "\n\n".join(blocks) + "\n")
        return [path]


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = _MARKUP.sub(r"\\\1", words(text))
    text = "".join(_HTML.get(letter, letter) for letter in text)
    # Character references stop a forge from making a link of an address.
    return _LINK.sub(lambda found: "".join(f"&#{ord(letter)};" for letter in found[0]), text)


def _summary(results: Sequence[Result]) -> str:
    """What the report holds; the time is the newest result's, so that equal results give an equal file."""
    if not results:
        return ""
    count = "1 result" if len(results) == 1 else f"{len(results)} results"
    return f"{count}, the newest from {newest(results):%Y-%m-%d %H:%M %Z}. Rates in percent, best values bold."


def _section(table: Table) -> Iterator[str]:
    """The blocks of one table."""
    yield f"## {escaped(table.heading)}"
    demo = " These are built-in drawn faces: no measure of quality on real ones." if table.demo else ""
    # A line of ours begins with a word of ours: a stranger's could begin a list or a heading.
    yield f"Data: {escaped(table.data)}.{demo}"
    headings = ["rank", "method", *(column.heading for column in table.columns), "mirror", "rule"]
    align = ["--:", ":--", *("--:" for _ in table.columns), ":--", ":--"]
    yield _grid([escaped(heading) for heading in headings], align, [_cells(row) for row in table.rows])
    if table.notes:
        yield "\n".join(f"- Note {number}: {escaped(note)}" for number, note in enumerate(table.notes, start=1))
    warned = [f"- Warning for {_name(row)}: {escaped(text)}" for row in table.rows for text in row.result.warnings]
    remarks = [f"- {escaped(remark)}" for remark in table.remarks]
    if remarks or warned:
        yield "\n".join([*remarks, *warned])
    if table.rules:
        yield "### Rules"
        yield "\n".join(f"- {escaped(key)}: {escaped(text)}" for key, text in table.rules)
    yield "### Where the numbers come from"
    yield _provenance(table.rows)


def _name(row: Row) -> str:
    """Method and model."""
    return escaped(f"{row.method} — {row.model}" if row.model else row.method)


def _cells(row: Row) -> list[str]:
    """One line of the table."""
    rank = "—" if row.rank is None else str(row.rank)
    return [rank, _name(row), *(_cell(cell) for cell in row.cells), escaped(row.mirror), escaped(row.rule)]


def _cell(cell: Cell) -> str:
    """A value with its uncertainty, or a dash with the number of its note."""
    if cell.note is not None:
        return f"{cell.text} (note {cell.note})"
    text = f"**{cell.text}**" if cell.best else cell.text
    return " ".join(part for part in (text, cell.spread, cell.interval) if part)


def _provenance(rows: Sequence[Row]) -> str:
    """What is needed to get each row again."""
    headings = ["rank", "method", "package", "weights", "data", "config", "seed", "device", "facebench", "run", "time"]
    lines = []
    for row in rows:
        result, origin = row.result, row.result.provenance
        facts = [
            row.method,
            result.subject.distribution,
            result.subject.weights[:16],
            result.data.fingerprint[:16],
            origin.config,
            str(origin.seed),
            origin.device,
            origin.facebench,
            origin.run or "—",
            origin.time,
        ]
        lines.append(["—" if row.rank is None else str(row.rank), *map(escaped, facts)])
    return _grid(headings, ["--:", *(":--" for _ in headings[1:])], lines)


def _grid(headings: Sequence[str], align: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, align, *lines))
