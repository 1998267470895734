"""Offers the leaderboard in two formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ReportSpec, hookimpl, option, options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import Renderer


@options
class LeaderboardOptions:
    """What both formats let their user set."""

    title: str = option(default="Face recognition leaderboard", help="heading of the report", min_length=1)
    metrics: tuple[str, ...] = option(
        default=(), help="names of the metrics to show, in order, the first decides the rank; empty shows all"
    )


def build_markdown(options: LeaderboardOptions) -> Renderer:
    """The renderer of ``leaderboard.md``."""
    from facebench_leaderboard.markdown import MarkdownRenderer

    return MarkdownRenderer(options.title, options.metrics)


def build_html(options: LeaderboardOptions) -> Renderer:
    """The renderer of ``index.html``."""
    from facebench_leaderboard.html import HtmlRenderer

    return HtmlRenderer(options.title, options.metrics)


@hookimpl
def facebench_reports() -> Iterable[ReportSpec]:
    """Offers ``markdown`` and ``html``."""
    return [
        ReportSpec(
            name="markdown",
            summary="leaderboard.md: one table for each protocol and data set, for repositories and papers",
            options=LeaderboardOptions,
            build=build_markdown,
        ),
        ReportSpec(
            name="html",
            summary="index.html: the same with figures and provenance, one file that needs no network and no script",
            options=LeaderboardOptions,
            build=build_html,
        ),
    ]
