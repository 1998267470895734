"""A result as a person reads it on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.cli.shared import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facebench.results import Metric, Result

# Ends the name of a metric that is there to be compared with the one of the name without it.
BESIDE = "-beside"


def shown(result: Result) -> Iterator[str]:
    """The lines that show a result: metrics with interval and rule, what is absent and why, notes and warnings."""
    counts = ", ".join(f"{count:,} {name}" for name, count in result.data.counts.items())
    yield f"{result.title}: {result.subject.plugin}, {result.subject.model}"
    yield f"  {counts}"
    yield from table(list(_rows(result.metrics)))
    for metric in result.metrics:
        if metric.reason:
            yield f"  {metric.name}: {metric.reason}"
    for name, value in result.subject.notes.items():
        yield f"  {name}: {value}"
    for warning in result.warnings:
        yield f"  warning: {warning}"


def _rows(metrics: Sequence[Metric]) -> Iterator[tuple[str, ...]]:
    """The lines of the table; values ``BESIDE`` others have a column of their own."""
    beside = {_key(metric): metric for metric in metrics if metric.name.endswith(BESIDE)}
    taken = {_key(metric, BESIDE) for metric in metrics} & beside.keys()
    title = ("beside",) if taken else ()
    yield "metric", "value", *title, "95 % interval", "rule"
    for metric in metrics:
        if _key(metric) not in taken:
            other = beside.get(_key(metric, BESIDE))
            next_to = (_value(other) if other else "",) if taken else ()
            yield metric.name, _value(metric), *next_to, _interval(metric), _rule(metric)


def _key(metric: Metric, suffix: str = "") -> tuple[str | None, ...]:
    """What tells a result's metrics apart, as if the name ended with a suffix."""
    return metric.name + suffix, metric.rule, metric.score, metric.mirror


def _value(metric: Metric) -> str:
    if metric.value is None:
        return "-"
    if metric.unit == "fraction":
        return f"{100 * metric.value:.3f} %"
    small = 0 < abs(metric.value) < 1e-3  # four decimals would say 0, or nearly
    return f"{metric.value:.4g}" if small else f"{metric.value:.4f}"


def _interval(metric: Metric) -> str:
    interval = metric.interval
    if metric.value is None or interval is None:
        return ""
    if metric.unit == "fraction":
        return f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}] {interval.method}"
    return f"[{interval.low:.4g}, {interval.high:.4g}] {interval.method}"


def _rule(metric: Metric) -> str:
    rule = metric.rule + (f", mirror {metric.mirror}" if metric.mirror else "")
    return rule if metric.score == "cosine" else f"{rule}, {metric.score}"
