"""The leaderboard as one page that needs nothing else: no network, no script, styles and figures inside.

Names come from strangers, so the template engine escapes every value; figures are pictures in data addresses, in which
a browser runs nothing; and the page's own policy forbids whatever is not a style or such a picture.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from facebench.figures import as_svg
from facebench.store import write_text
from facebench_leaderboard import numbers
from facebench_leaderboard.explain import EXPLANATIONS
from facebench_leaderboard.table import newest, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from jinja2 import Template

    from facebench import Metric, Result
    from facebench_leaderboard.records import Overlay


@dataclass(frozen=True, slots=True)
class HtmlRenderer:
    """Writes ``index.html``.

    Attributes:
        title: The page's heading.
        metrics: Names of the metrics to show in the tables; empty shows all.
    """

    title: str
    metrics: Sequence[str] = ()

    def render(self, results: Sequence[Result], out: Path, /) -> Iterable[Path]:
        """Writes the page below ``out``.

        Raises:
            FacebenchError: When there is no result, or the folder cannot be written.
            UnknownName: When no result has a wanted metric.
        """
        path = out / "index.html"
        found = tables(results, self.metrics)
        page = _template().render(
            title=numbers.words(self.title),
            style=Markup(_packaged("leaderboard.css")),  # ours, and a style sheet knows no escapes
            tables=[(table, [(overlay, _picture(overlay)) for overlay in table.overlays]) for table in found],
            explanations=EXPLANATIONS,
            count=len(results),
            newest=f"{newest(results):%Y-%m-%d %H:%M %Z}",
        )
        write_text(path, page)
        return [path]


def _packaged(name: str) -> str:
    """A text file that lies beside this module."""
    return (files("facebench_leaderboard") / name).read_text(encoding="utf-8")


def _template() -> Template:
    """The page, with the filters it uses."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        words=numbers.words,
        number=numbers.number,
        value=_value,
        bounds=_bounds,
        finding=_finding,
        direction=_direction,
        folds=_folds,
    )
    return environment.from_string(_packaged("leaderboard.html"))


def _picture(overlay: Overlay) -> str:
    """The figure as a data address."""
    return "data:image/svg+xml;base64," + base64.b64encode(as_svg(overlay.curves)).decode("ascii")


def _value(metric: Metric) -> str:
    """A metric's value for the list of all numbers."""
    if metric.value is None:
        return "—"
    percent = " %" if metric.unit == "fraction" else ""
    return numbers.shown(metric.value, metric.unit, decimals=numbers.decimals_of(metric.name)) + percent


def _bounds(metric: Metric) -> str:
    """A metric's interval, if it has one."""
    return "" if metric.interval is None else numbers.bounds(metric.interval, metric.unit)


def _finding(metric: Metric) -> str:
    """What is behind a metric's value, in words: reason, interval, details."""
    parts = [numbers.words(metric.reason)] if metric.reason else []
    if metric.interval is not None:
        parts.append(numbers.method_of(metric.interval))
    parts += [f"{numbers.words(key)} {numbers.number(value)}" for key, value in metric.detail.items()]
    return "; ".join(parts)


def _direction(metric: Metric) -> str:
    """Which way is better."""
    return {True: "higher is better", False: "lower is better", None: ""}[metric.higher_is_better]


def _folds(result: Result) -> list[dict[str, Any]]:
    """The values of each fold, in percent where the metric of that name is a fraction."""
    units = {metric.name: metric.unit for metric in result.metrics}
    listed = []
    for name, values in result.folds.items():
        unit = units.get(name, "")
        shown = [numbers.shown(value, unit, decimals=numbers.decimals_of(name)) for value in values]
        listed.append({"name": numbers.words(name) + (" (%)" if unit == "fraction" else ""), "values": shown})
    return listed
