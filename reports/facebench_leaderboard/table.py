"""From results to tables: what may stand side by side, in which order, and what must be said beneath.

A table compares like with like. Results share one only when protocol and data agree, down to the data's fingerprint;
results on the built-in demo faces never meet real ones. Within a column all values follow one rule and one score. What
cannot be shown is a dash with its reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from facebench import FacebenchError, UnknownName
from facebench_leaderboard.numbers import as_ranked, bounds, decimals_of, method_of, shown, words
from facebench_leaderboard.records import Cell, Column, Overlay, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from facebench import Curve, Metric, Result

DASH = "—"
SHORT = 8  # digits of a fingerprint that people compare by eye
SPREAD = "-std"  # a metric of this suffix is the spread of the metric without it
OVERLAID = {"line": 7, "step": 7, "histogram": 3, "matrix": 1}  # methods that one figure can show and still be read

Key: TypeAlias = tuple[bool, str, str, str, str]


def tables(results: Sequence[Result], metrics: Sequence[str] = ()) -> tuple[Table, ...]:
    """The tables of a report, those on real data first.

    Args:
        results: In any order.
        metrics: Names of the metrics to show; empty shows all that have a direction.

    Raises:
        FacebenchError: When there is no result.
        UnknownName: When no result has a wanted metric.
    """
    if not results:
        raise FacebenchError("nothing to report: there is no result; run 'facebench run' first")
    known = {metric.name for result in results for metric in result.metrics}
    for name in metrics:
        if name not in known:
            raise UnknownName("metric", name, known)
    groups: dict[Key, list[Result]] = {}
    for result in results:
        groups.setdefault(_key(result), []).append(result)
    headings = _headings(groups)
    return tuple(_table(headings[key], groups[key], metrics) for key in sorted(groups))


def newest(results: Iterable[Result]) -> datetime:
    """When the last of the results was made."""
    return max(_time(result) for result in results)


def _key(result: Result) -> Key:
    """What results must have in common to share a table."""
    data = result.data
    return data.demo, result.protocol, data.name, data.version, data.fingerprint


def _headings(groups: dict[Key, list[Result]]) -> dict[Key, str]:
    """A heading for each table; data name and fingerprint join where the protocol alone would not tell."""
    titles = {key: words(results[0].title) for key, results in groups.items()}
    headings: dict[Key, str] = {}
    for key, title in titles.items():
        demo, _, name, version, fingerprint = key
        parts = [title]
        if demo and version:
            parts.append(f"version {words(version)}")
        if list(titles.values()).count(title) > 1:
            parts.append(f"{words(name)} {words(fingerprint)[:SHORT]}")
        headings[key] = " · ".join(parts)
    return headings


def _table(heading: str, results: Sequence[Result], metrics: Sequence[str]) -> Table:
    """The table of one group."""
    kept = _without_repeats(results)
    columns = _columns(kept, metrics)
    common = set.intersection(*(set(result.rules.items()) for result in kept))
    notes: dict[str, int] = {}
    rows = _ranked([_row(result, columns, common, notes) for result in kept], columns)
    data = rows[0].result.data
    counts = [f"{count:,} {words(what)}" for what, count in data.counts.items()]
    return Table(
        heading=heading,
        data=" · ".join([words(data.name), f"data {words(data.fingerprint)[:SHORT]}", *counts]),
        demo=data.demo,
        columns=columns,
        rows=rows,
        notes=tuple(notes),
        rules=tuple((words(key), words(text)) for key, text in rows[0].result.rules.items() if (key, text) in common),
        remarks=tuple(_remarks(results, rows)),
        overlays=_overlays(rows),
    )


def _without_repeats(results: Sequence[Result]) -> list[Result]:
    """The newest result of each subject and configuration, in an order that does not depend on the input's."""
    newest_of: dict[tuple[str, str], Result] = {}
    for result in sorted(results, key=lambda result: (_time(result), result.to_json())):
        newest_of[result.subject.weights, result.provenance.config] = result
    return list(newest_of.values())


def _time(result: Result) -> datetime:
    """When the result was made; a time that cannot be read counts as the oldest, one without zone as UTC."""
    try:
        time = datetime.fromisoformat(result.provenance.time)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _columns(results: Sequence[Result], wanted: Sequence[str]) -> tuple[Column, ...]:
    """The columns in the protocol's own order, or in the wanted one."""
    found: dict[tuple[str, str, str], list[Metric]] = {}
    # The newest result knows best what its protocol reports first.
    for result in reversed(results):
        for metric in result.metrics:
            found.setdefault((metric.name, metric.unit, metric.score), []).append(metric)
    names = {name for name, _, _ in found}
    chosen = [key for key in found if _shown(key[0], found[key], names, wanted)]
    if wanted:
        chosen.sort(key=lambda key: wanted.index(key[0]))
    rule_of = {key: _rule(found[key]) for key in chosen}
    columns = []
    for name, unit, score in chosen:
        rule = rule_of[name, unit, score]
        direction = next((one.higher_is_better for one in found[name, unit, score] if one.rule == rule), None)
        kin = [key for key in chosen if key[0] == name]
        label = score if len({other for _, _, other in kin}) > 1 else ""
        if label and len({rule_of[key] for key in kin}) > 1:
            label = f"{label}, {rule}"
        columns.append(Column(name, unit, score, rule, direction, _heading(name, unit, label)))
    return tuple(columns)


def _rule(metrics: Sequence[Metric]) -> str:
    """The rule of a column: the published tables', or else the first."""
    rules = [metric.rule for metric in metrics]
    return "reference" if "reference" in rules else rules[0]


def _shown(name: str, metrics: Sequence[Metric], names: set[str], wanted: Sequence[str]) -> bool:
    """Whether a metric gets a column; spreads stand beside their metric instead, thresholds in the details."""
    if wanted:
        return name in wanted
    is_spread = name.endswith(SPREAD) and name.removesuffix(SPREAD) in names
    return not is_spread and any(metric.higher_is_better is not None for metric in metrics)


def _heading(name: str, unit: str, score: str) -> str:
    """The metric's own name, with its unit and, where one name has several, its score (and rule)."""
    parts = [words(name)]
    if score:
        parts.append(f"by {words(score)}")
    if unit == "fraction":
        parts.append("(%)")
    elif unit not in ("", "1", "none", words(name)):
        parts.append(f"({words(unit)})")
    return " ".join(parts)


def _row(result: Result, columns: Sequence[Column], common: set[tuple[str, str]], notes: dict[str, int]) -> Row:
    """The row of one result, still without rank; new reasons join the notes."""
    found = [_metric(result, column) for column in columns]
    headline = next((metric for metric in found if metric is not None), None)
    return Row(
        rank=None,
        method=words(result.subject.plugin),
        model=words(result.subject.model),
        cells=tuple(_cell(result, metric, notes) for metric in found),
        mirror=words(headline.mirror) if headline is not None and headline.mirror else DASH,
        rule=words(headline.rule) if headline is not None else DASH,
        own_rules=tuple((words(key), words(text)) for key, text in result.rules.items() if (key, text) not in common),
        result=result,
    )


def _metric(result: Result, column: Column) -> Metric | None:
    """The column's metric in a result: the first of its rule and score, which is the headline."""
    for metric in result.metrics:
        if (metric.name, metric.unit, metric.score, metric.rule) == (
            column.name,
            column.unit,
            column.score,
            column.rule,
        ):
            return metric
    return None


def _cell(result: Result, metric: Metric | None, notes: dict[str, int]) -> Cell:
    """What stands in the table for a metric."""
    if metric is None or metric.value is None:
        reason = words((metric.reason if metric is not None else None) or "this result does not have the metric")
        return Cell(DASH, hint=reason, note=notes.setdefault(reason, len(notes) + 1))
    decimals = decimals_of(metric.name)
    spread = _spread(result, metric)
    interval = metric.interval
    return Cell(
        text=shown(metric.value, metric.unit, decimals=decimals),
        value=as_ranked(metric.value, metric.unit, decimals=decimals),
        spread="" if spread is None else f"± {shown(spread, metric.unit, decimals=decimals)}",
        interval="" if interval is None else bounds(interval, metric.unit),
        hint="" if interval is None else method_of(interval),
    )


def _spread(result: Result, metric: Metric) -> float | None:
    """The standard deviation that belongs to a metric, if the result has it."""
    for other in result.metrics:
        if other.name == metric.name + SPREAD and (other.rule, other.score, other.mirror, other.unit) == (
            metric.rule,
            metric.score,
            metric.mirror,
            metric.unit,
        ):
            return other.value
    return None


def _ranked(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """The rows in order of the first column, with ranks, and the best of each column marked."""
    best = [_best([row.cells[index].value for row in rows], column) for index, column in enumerate(columns)]
    direction = columns[0].higher_is_better if columns else None

    def place(row: Row) -> tuple[float, str, str, str]:
        value = row.cells[0].value if direction is not None else None
        # Infinity puts a row without the headline value last.
        order = float("inf") if value is None else -value if direction else value
        return order, row.method, row.model, row.result.to_json()

    ordered = sorted(rows, key=place)
    values = [place(row)[0] for row in ordered]
    return tuple(
        replace(
            row,
            rank=None if value == float("inf") else values.index(value) + 1,
            cells=tuple(
                replace(cell, best=cell.value is not None and cell.value == top)
                for cell, top in zip(row.cells, best, strict=True)
            ),
        )
        for row, value in zip(ordered, values, strict=True)
    )


def _best(values: Sequence[float | None], column: Column) -> float | None:
    """The best value of a column; None when there is no direction or nothing to compare with."""
    present = [value for value in values if value is not None]
    if column.higher_is_better is None or len(present) < 2:
        return None
    return max(present) if column.higher_is_better else min(present)


def _remarks(results: Sequence[Result], rows: Sequence[Row]) -> Iterable[str]:
    """What a reader must know before comparing rows."""
    hidden = len(results) - len(rows)
    if hidden:
        runs = "1 older result" if hidden == 1 else f"{hidden} older results"
        yield f"{runs} of the same weights and configuration not shown; the newest counts."
    versions = sorted({words(row.result.protocol_distribution) for row in rows})
    if len(versions) > 1:
        yield f"The protocol was run from different versions: {', '.join(versions)}."
    differing = sorted({key for row in rows for key, _ in row.own_rules})
    if differing:
        yield f"Rows differ in how their numbers were made: {', '.join(differing)}; see their details."


def _overlays(rows: Sequence[Row]) -> tuple[Overlay, ...]:
    """The figures of a table: curves of equal name, kind and axes, the best methods first."""
    found: dict[tuple[str, ...], dict[str, Curve]] = {}
    for row in rows:
        for curve in row.result.curves:
            frame = (curve.name, curve.kind, curve.x_label, curve.y_label, curve.x_scale, curve.y_scale)
            curves = found.setdefault(frame, {})
            curves[_label(row, curves)] = curve
    overlays = []
    for curves in found.values():
        first = next(iter(curves.values()))
        drawn = dict(list(curves.items())[: OVERLAID[first.kind]])
        overlays.append(Overlay(words(first.title), drawn, len(curves) - len(drawn)))
    return tuple(overlays)


def _label(row: Row, taken: dict[str, Curve]) -> str:
    """A name for the legend that no other row has."""
    label = f"{row.method} · {row.model}" if row.model else row.method
    count, unique = 2, label
    while unique in taken:
        unique, count = f"{label} ({count})", count + 1
    return unique
