"""A result as a person reads it on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.cli.shared import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebench.results import Metric, Result


def shown(result: Result) -> Iterator[str]:
    """The lines that show a result: metrics with interval and rule, what is absent and why, notes and warnings."""
    counts = ", ".join(f"{count:,} {name}" for name, count in result.data.counts.items())
    yield f"{result.title}: {result.subject.plugin}, {result.subject.model}"
    yield f"  {counts}"
    yield from table([("metric", "value", "95 % interval", "rule"), *(_row(metric) for metric in result.metrics)])
    for metric in result.metrics:
        if metric.reason:
            yield f"  {metric.name}: {metric.reason}"
    for name, value in result.subject.notes.items():
        yield f"  {name}: {value}"
    for warning in result.warnings:
        yield f"  warning: {warning}"


def _row(metric: Metric) -> tuple[str, str, str, str]:
    rule = metric.rule + (f", mirror {metric.mirror}" if metric.mirror else "")
    if metric.score != "cosine":
        rule += f", {metric.score}"
    interval = metric.interval
    if metric.value is None:
        return metric.name, "-", "", rule
    if metric.unit == "fraction":
        spread = f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}] {interval.method}" if interval else ""
        return metric.name, f"{100 * metric.value:.3f} %", spread, rule
    spread = f"[{interval.low:.4g}, {interval.high:.4g}] {interval.method}" if interval else ""
    small = 0 < abs(metric.value) < 1e-3  # four decimals would say 0, or nearly
    return metric.name, f"{metric.value:.4g}" if small else f"{metric.value:.4f}", spread, rule
