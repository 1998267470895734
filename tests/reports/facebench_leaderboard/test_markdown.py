from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from facebench import FacebenchError
from facebench_leaderboard.markdown import MarkdownRenderer, escaped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from facebench import Metric, Result

    Make = Callable[..., Result]

EVIL = "<script>alert(1)</script> | [x](javascript:alert(1)) `code` *b* _i_ ~s~ $m$ \\ \n# heading\n\n| a | b |"


def write(results: list[Result], out: Path, **options: object) -> str:
    (path,) = MarkdownRenderer(**{"title": "Board", **options}).render(results, out)
    assert path == out / "leaderboard.md"
    return path.read_text(encoding="utf-8")


def grids(text: str) -> list[list[list[str]]]:
    """Tables as lists of rows of cells; a cell ends at a bar without a backslash."""
    found: list[list[list[str]]] = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            found.append(
                [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.rstrip().split("\n")]
            )
    return found


def read(text: str) -> str:
    """What a reader sees of escaped text."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


def test_a_table_says_what_the_results_say(make: Make, tmp_path: Path) -> None:
    text = write([make("arcface", 0.9945), make("topofr", 0.9981)], tmp_path)
    heading, align, first, second = grids(text)[0]
    assert heading[:3] == ["rank", "method", "accuracy (%)"]
    assert heading[-2:] == ["mirror", "rule"]
    assert align[:3] == ["--:", ":--", "--:"]
    assert first[:3] == ["1", "topofr — iresnet50, topofr, MS1MV2", "**99.810** ± 0.210 [99.56, 100.00]"]
    assert second[:3] == ["2", "arcface — iresnet50, arcface, MS1MV2", "99.450 ± 0.210 [99.20, 99.70]"]
    assert second[-3:] == ["— (note 1)", "sum", "reference"]
    assert "- Note 1: FAR 1e-6 is below what 3,000 impostors resolve" in text


def test_every_row_of_every_table_has_all_cells(make: Make, tmp_path: Path) -> None:
    text = write([make("arcface"), make(EVIL, model=EVIL, run=EVIL), make("sface", demo=True)], tmp_path)
    for grid in grids(text):
        assert len({len(row) for row in grid}) == 1
    assert len(grids(text)) == 4


def test_demo_is_said(make: Make, tmp_path: Path) -> None:
    text = write([make(demo=True)], tmp_path)
    assert "## lfw (demo) · version 1" in text
    assert "no measure of quality" in text


def test_provenance_is_there(make: Make, tmp_path: Path) -> None:
    text = write([make("arcface")], tmp_path)
    for part in ("9a1c22e07d5b4f18", "3f2a91c07be4d5a6", "20250301-101500-arcface-9a1c22e0", "2025-03-01T10:20:11"):
        assert part in text


def test_warnings_are_there_once_each(make: Make, tmp_path: Path) -> None:
    text = write([make("arcface", warnings=("overlaps the training set",))], tmp_path)
    assert text.count("overlaps the training set") == 1


def test_strangers_text_stays_text(make: Make, make_metric: Callable[..., Metric], tmp_path: Path) -> None:
    result = make(
        EVIL,
        model=EVIL,
        warnings=(EVIL,),
        rules={EVIL: EVIL},
        protocol=EVIL,
        metrics=(make_metric(EVIL, 0.5, mirror=EVIL), make_metric("other", None, reason=EVIL)),
    )
    text = write([result], tmp_path, title=EVIL)
    assert "<script" not in text
    assert "](javascript" not in text.replace("\\](", "")
    assert "\n# heading" not in text
    assert not re.search(r"(?<!\\)`", text)
    assert text.count("\n## ") == 2  # the table and the explanation
    assert len(grids(text)) == 2


@pytest.mark.parametrize("text", ["a|b", "[a](b)", "`a`", "<b>&amp;", "*a* _b_ ~c~ $d$", "\\|", "tar@far=1e-4", "#1"])
def test_escaped_text_reads_as_it_was(text: str) -> None:
    assert read(escaped(text)) == text


@pytest.mark.parametrize("text", ["https://evil.example/x", "www.evil.example", "mailto:a@b.example", "HTTP://a.b"])
def test_addresses_do_not_become_links(text: str) -> None:
    assert read(escaped(text)) == text
    assert not re.search(r"://|www\.|mailto:", escaped(text), re.IGNORECASE)


def test_written_twice_the_bytes_are_equal(make: Make, tmp_path: Path) -> None:
    results = [make("arcface"), make("sface"), make("sface", demo=True)]
    assert write(results, tmp_path / "one") == write(results[::-1], tmp_path / "two")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["leaderboard.md"]


def test_nothing_to_report_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FacebenchError):
        write([], tmp_path / "out")
    assert not (tmp_path / "out").exists()
