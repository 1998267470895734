"""Options and helpers that several commands have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from facebench.host import Host

F = TypeVar("F", bound="Callable[..., Any]")


def plugin_options(function: F) -> F:
    """Adds ``--no-plugin``."""
    return click.option(
        "--no-plugin",
        "blocked",
        multiple=True,
        metavar="NAME",
        help="Leave an installed plugin out; repeatable. FACEBENCH_PLUGINS=off leaves out all third-party ones.",
    )(function)


def json_option(function: F) -> F:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, and nothing else.")(function)


def start(blocked: Sequence[str]) -> Host:
    """The host, with this call's plugins left out."""
    from facebench.host import Host

    return Host.start(blocked=blocked)


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Rows as aligned lines."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
