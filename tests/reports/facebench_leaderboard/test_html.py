from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from facebench import FacebenchError
from facebench_leaderboard.html import HtmlRenderer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from facebench import Metric, Result

    Make = Callable[..., Result]

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}</style></table>&lt;"
EMPTY = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page as a reader finds it: tables, texts, addresses, and whether its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def table(self, index: int) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.tables[index]]


def write(results: list[Result], out: Path, **options: object) -> str:
    (path,) = HtmlRenderer(**{"title": "Board", **options}).render(results, out)
    assert path == out / "index.html"
    return path.read_text(encoding="utf-8")


def plain(result: Result) -> Result:
    """Without curves, which take their time."""
    return result.model_copy(update={"curves": ()})


def test_a_table_says_what_the_results_say(make: Make, tmp_path: Path) -> None:
    page = Page(write([plain(make("arcface", 0.9945)), plain(make("topofr", 0.9981))], tmp_path))
    heading, first, second = page.table(0)
    assert heading[:4] == ["Rank", "Method", "accuracy (%) ↑", "auc (%) ↑"]
    assert heading[4] == "eer (%) ↓"
    assert first[:3] == ["1", "topofr iresnet50, topofr, MS1MV2", "99.810 ± 0.210 [99.56, 100.00]"]
    assert second[:3] == ["2", "arcface iresnet50, arcface, MS1MV2", "99.450 ± 0.210 [99.20, 99.70]"]
    assert second[-3:] == ["—1", "sum", "reference"]
    assert "FAR 1e-6 is below what 3,000 impostors resolve" in page.text
    assert not page.open


def test_the_best_is_bold(make: Make, tmp_path: Path) -> None:
    text = write([plain(make("arcface", 0.9945)), plain(make("topofr", 0.9981))], tmp_path)
    bold = re.findall(r"<strong>([^<]*)</strong>", text)
    assert "99.810" in bold
    assert "99.450" not in bold


def test_details_hold_provenance_folds_rules_and_all_numbers(make: Make, tmp_path: Path) -> None:
    result = plain(make("arcface", 0.99, warnings=("overlaps the training set",)))
    page = Page(write([result], tmp_path))
    origin = result.provenance
    for part in (
        result.subject.weights,
        result.data.fingerprint,
        origin.config,
        origin.run,
        origin.time,
        origin.device,
        origin.platform,
        "torch 2.13.0",
        "best accuracy on the other nine folds",
        "overlaps the training set",
        "RGB, mean 127.5, std 127.5, told by the file",
    ):
        assert part in page.text
    numbers = page.table(1)
    assert len(numbers) == 1 + len(result.metrics)
    assert ["tar@far=1e-3", "97.70 %", "[96.90, 98.50]", "strict"] in [row[:4] for row in numbers]
    assert numbers[6][-1].endswith("far 0.001; impostors 3,000")
    assert page.table(2) == [["accuracy (%)", *[f"{value:.3f}" for value in (98.9, 99.0, 99.1) * 3], "98.900"]]


def test_one_file_that_needs_nothing_else(make: Make, tmp_path: Path) -> None:
    page = Page(write([make("arcface"), make("sface")], tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert not page.named("script") and not page.named("link") and not page.named("iframe")
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href"):
                assert (value or "").startswith(("#", "data:image/svg+xml;base64,"))
    policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in (policy or "")
    assert "script-src" not in (policy or "")


def test_the_style_sheet_arrives_unchanged(make: Make, tmp_path: Path) -> None:
    text = write([plain(make())], tmp_path)
    style = (files("facebench_leaderboard") / "leaderboard.css").read_text(encoding="utf-8")
    assert style in text
    assert "prefers-color-scheme: dark" in style and "max-width: 600px" in style
    assert "url(" not in style and "@import" not in style


def test_anchors_are_unique_and_links_arrive(make: Make, other_data: str, tmp_path: Path) -> None:
    results = [plain(make("arcface")), plain(make("sface", fingerprint=other_data)), plain(make("sface", demo=True))]
    page = Page(write(results, tmp_path))
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(anchors)) == len(anchors)
    targets = {str(link["href"]).removeprefix("#") for link in page.named("a")}
    assert targets <= set(anchors)
    assert {"t1", "t2", "t3", "how"} <= targets


def test_cells_carry_their_heading_for_narrow_screens(make: Make, tmp_path: Path) -> None:
    page = Page(write([plain(make())], tmp_path))
    labels = [cell["data-label"] for cell in page.named("td") if "data-label" in cell]
    assert labels == [
        "Rank", "accuracy (%)", "auc (%)", "eer (%)", "tar@far=1e-3 (%)", "tar@far=1e-6 (%)", "Mirror", "Rule",
    ]  # fmt: skip


def test_figures_are_inside_and_described(make: Make, tmp_path: Path) -> None:
    page = Page(write([make("arcface"), make("sface")], tmp_path))
    images = page.named("img")
    assert len(images) == 2
    for image in images:
        svg = base64.b64decode(str(image["src"]).split(",", 1)[1])
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert "arcface" in str(image["alt"]) and "sface" in str(image["alt"])


def test_strangers_text_stays_text(make: Make, make_metric: Callable[..., Metric], tmp_path: Path) -> None:
    kind = make("arcface", warnings=("a",), protocol="a", rules={"a": "a"}, folds={"a": (0.5,)})
    kind = kind.model_copy(update={"metrics": (make_metric("a", 0.5, mirror="a", rule="a", score="a", unit="a"),)})
    document = re.sub(
        r'"(a|arcface|LFW|cpu|roc|iresnet50, arcface, MS1MV2|facebench 0.1.0)"(?!:)', "EVIL", kind.to_json()
    )
    evil = EVIL.replace('"', '\\"')
    evil_result = type(kind).model_validate_json(
        document.replace("EVIL", f'"{evil}"').replace(
            '"name": "' + evil + '",\n      "title"', '"name": "roc",\n      "title"'
        )
    )
    assert evil_result.subject.plugin == evil_result.warnings[0] == evil_result.metrics[0].name == EVIL
    harmless, attacked = Page(write([kind], tmp_path / "a")), Page(write([evil_result], tmp_path / "b", title=EVIL))
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in harmless.tags]
    assert [sorted(attributes) for _, attributes in attacked.tags] == [
        sorted(attributes) for _, attributes in harmless.tags
    ]
    assert not attacked.open
    assert EVIL in attacked.text
    assert "{{ 7 * 7 }}" in attacked.text  # a name is no template


def test_demo_is_said(make: Make, tmp_path: Path) -> None:
    page = Page(write([plain(make(demo=True))], tmp_path))
    assert "lfw (demo) · version 1" in page.text
    assert "Built-in drawn faces" in page.text
    assert "Built-in drawn faces. " not in Page(write([plain(make())], tmp_path)).text


def test_rules_and_intervals_are_explained(make: Make, tmp_path: Path) -> None:
    text = Page(write([plain(make())], tmp_path)).text
    for part in ("Rules: reference and strict", "confidence interval", "Demo", "no test of significance"):
        assert part in text


def test_written_twice_the_bytes_are_equal(make: Make, tmp_path: Path) -> None:
    results = [make("arcface"), make("sface")]
    assert write(results, tmp_path / "one") == write(results[::-1], tmp_path / "two")


def test_writing_again_replaces_the_page(make: Make, tmp_path: Path) -> None:
    write([plain(make("arcface"))], tmp_path)
    assert "topofr" in write([plain(make("topofr"))], tmp_path)


def test_nothing_to_report_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FacebenchError):
        write([], tmp_path / "out")
    assert not (tmp_path / "out").exists()
