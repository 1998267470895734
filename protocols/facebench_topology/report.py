"""Results of ``topology`` side by side, as Markdown with figures.

No rank is given: the discrepancy alone would put a network first that has merely shrunk its embeddings, so it stands
beside the numbers that know no scale. Names come from strangers and are escaped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench.figures import draw_together
from facebench.store import write_text
from facebench_topology.overlays import MOST, overlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from facebench import Metric, Result

PROTOCOL = "topology"
_DASH = "—"
_MARKUP = re.compile(r"([\\`*_\[\]|~$#!])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINK = re.compile(r"(?i)(?<=[a-z])://|(?<=www)\.|(?<=mailto):|@")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Heading, metric and rule of each column.
_COLUMNS = (
    ("discrepancy", "discrepancy", "reference"),
    ("at the best multiplier", "discrepancy-scale-free", "best-multiplier"),
    ("by largest distance", "discrepancy-scale-free", "own-maximum"),
    ("by mean edge", "discrepancy-scale-free", "mean-edge"),
    ("shared edges (%)", "shared-edges", "reference"),
    ("distance correlation", "distance-correlation", "spearman"),
    ("best multiplier", "best-multiplier", "least-squares"),
)
_FIGURES = (
    ("discrepancy", "Discrepancy", "discrepancy, sum (a - b)^2 / n"),
    ("discrepancy-scale-free", "Discrepancy at the best multiplier", "discrepancy at the best multiplier"),
    ("shared-edges", "Edges in common", "share of the spanning trees' edges"),
)
_READING = (
    "**Discrepancy** is what TopoFR's training minimises. One factor on all embeddings brings it to almost nothing, "
    "whatever they show; a best multiplier near 1 says that this factor is in place already.",
    "**At the best multiplier, by largest distance, by mean edge** know no scale. They compare sorted lengths, which "
    "resemble one another in many clouds of points, so they are necessary and not sufficient.",
    "**Shared edges** are a matter of structure: unrelated spaces share about 2/n of them, a random linear projection "
    "of the pictures more than half. **Distance correlation** is Spearman's, over all pairs of a batch.",
    "± is the standard deviation of single batches, brackets hold a 95 % interval of the mean over all batches of this "
    "fixed set; neither says how another training would come out. Rows stand by name, not by rank.",
)


@dataclass(frozen=True, slots=True)
class TopologyReport:
    """Writes ``topology.md`` and its figures.

    Attributes:
        title: The report's heading.
    """

    title: str

    def render(self, results: Sequence[Result], out: Path, /) -> Iterable[Path]:
        """Writes the report below ``out``; results of other protocols are passed over.

        Raises:
            FacebenchError: When the folder cannot be written.
        """
        groups: dict[tuple[bool, str, str, str, str], list[Result]] = {}
        for result in _newest(results):
            data = result.data
            key = (data.demo, data.name, data.version, data.fingerprint, result.metrics[0].score)
            groups.setdefault(key, []).append(result)
        figures: list[Path] = []
        blocks = [f"# {escaped(self.title)}"]
        if not groups:
            blocks.append("No result of the protocol topology was given; run `facebench run --protocol topology`.")
        for number, key in enumerate(sorted(groups), start=1):
            group = groups[key]
            blocks += _section(group)
            for size in _sizes(group):
                blocks += [f"### Batches of {size}", _table(group, size)]
                drawn = _drawn(group, size, out, f"topology-{number}-{size}")
                blocks += [f"![{title}, batches of {size}]({paths[1].name})" for title, paths in drawn.items()]
                figures += [path for paths in drawn.values() for path in paths]
            blocks += _warned(group)
        blocks += ["## How to read this", "\n".join(f"- {text}" for text in _READING)]
        path = out / "topology.md"
        write_text(path, "\n\n".join(blocks) + "\n")
        return [path, *figures]


def escaped(text: str) -> str:
    """A stranger's text that Markdown shows as it is, on one line."""
    kept = (
        " " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
        if letter not in _TURNING and unicodedata.category(letter) != "Cs"
    )
    shown = _MARKUP.sub(r"\\\1", " ".join("".join(kept).split()))
    shown = "".join(_HTML.get(letter, letter) for letter in shown)
    return _LINK.sub(lambda found: "".join(f"&#{ord(letter)};" for letter in found[0]), shown)


def _newest(results: Iterable[Result]) -> list[Result]:
    """The newest result of each subject, data and configuration, by name."""
    found: dict[tuple[str, ...], Result] = {}
    for result in sorted(results, key=lambda one: (one.provenance.time, one.to_json())):
        if result.protocol == PROTOCOL and result.metrics:
            found[result.subject.weights, result.provenance.config, result.data.fingerprint] = result
    return sorted(found.values(), key=lambda one: (one.subject.plugin, one.subject.model, one.to_json()))


def _labels(results: Sequence[Result]) -> list[str]:
    """A name for each row that no other has."""
    names = [
        f"{one.subject.plugin} · {one.subject.model}" if one.subject.model else one.subject.plugin for one in results
    ]
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return labels


def _sizes(results: Sequence[Result]) -> list[int]:
    """Sizes of batches that any of the results has values for."""
    names = {metric.name for one in results for metric in one.metrics if metric.value is not None}
    found = (re.fullmatch(r"discrepancy@(\d+)", name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def _section(results: Sequence[Result]) -> Iterator[str]:
    """Heading and data of a group."""
    first = results[0]
    yield f"## {escaped(first.title)}: {escaped(first.data.name)}"
    demo = " These are built-in drawn faces: no measure of quality on real ones." if first.data.demo else ""
    images = first.data.counts.get("images")
    count = "" if images is None else f", {images:,} faces"
    data = f"{escaped(first.data.name)} {escaped(first.data.fingerprint[:8])}{count}"
    yield f"Data: {data}. Distances: {escaped(first.metrics[0].score)}.{demo}"


def _table(results: Sequence[Result], size: int) -> str:
    """One row a method."""
    lines = [["method", *(heading for heading, _, _ in _COLUMNS)], [":--", *("--:" for _ in _COLUMNS)]]
    for label, result in zip(_labels(results), results, strict=True):
        found = {(metric.name, metric.rule): metric for metric in result.metrics}
        cells = [_cell(found.get((f"{name}@{size}", rule))) for _, name, rule in _COLUMNS]
        lines.append([escaped(label), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(metric: Metric | None) -> str:
    """A mean with what is known of its spread."""
    if metric is None or metric.value is None:
        return _DASH
    factor = 100.0 if metric.unit == "fraction" else 1.0
    parts = [f"{factor * metric.value:.4g}"]
    spread, chance = metric.detail.get("standard deviation"), metric.detail.get("chance")
    if isinstance(spread, float | int):
        parts.append(f"± {factor * spread:.2g}")
    if metric.interval is not None:
        parts.append(f"[{factor * metric.interval.low:.4g}, {factor * metric.interval.high:.4g}]")
    if isinstance(chance, float | int):
        parts.append(f"(chance {factor * chance:.2g})")
    return " ".join(parts)


def _drawn(results: Sequence[Result], size: int, out: Path, stem: str) -> dict[str, list[Path]]:
    """The figures of one size, by title; file names are ours."""
    figures = {}
    for name, title, x_label in _FIGURES:
        values = {
            label: one.folds[f"{name}@{size}"]
            for label, one in zip(_labels(results), results, strict=True)
            if one.folds.get(f"{name}@{size}")
        }
        shown = dict(list(values.items())[:MOST])
        if shown:
            left = f" (the first {MOST} of {len(values)} methods)" if len(values) > MOST else ""
            curves = overlay(shown, name=name, title=f"{title}, batches of {size}{left}", x_label=x_label)
            figures[title] = draw_together(curves, out / f"{stem}-{name}")
    return figures


def _warned(results: Sequence[Result]) -> list[str]:
    """What readers must know of single results."""
    labels = _labels(results)
    lines = [
        f"- Warning for {escaped(label)}: {escaped(text)}"
        for label, one in zip(labels, results, strict=True)
        for text in one.warnings
    ]
    return ["\n".join(lines)] if lines else []
