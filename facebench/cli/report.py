"""``facebench report``."""

from __future__ import annotations

from pathlib import Path

import click

from facebench.cli.shared import plugin_options, start


@click.command("report", short_help="Write a leaderboard over stored results.")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format", "formats", multiple=True, metavar="NAME", help="markdown, html, ...; repeatable [default: both]."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("leaderboard"), show_default=True)
@plugin_options
def command(places: tuple[Path, ...], formats: tuple[str, ...], out: Path, blocked: tuple[str, ...]) -> None:
    """Write a leaderboard over all results found in PLACES: result files, run folders, or folders of runs [runs].

    \b
    Examples:
      facebench report
      facebench report runs/ --format markdown --format html --out leaderboard/
      facebench report runs/20260101-120000-arcface-1f3a --format markdown --out /tmp/one
    """
    from facebench.runner import report

    host = start(blocked)
    for file in report(list(places) or [Path("runs")], host, formats=formats or ("markdown", "html"), out=out):
        click.echo(file)
