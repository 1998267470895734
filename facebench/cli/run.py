"""``facebench run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option, plugin_options, settings_of, settings_options, start, working
from facebench.cli.shown import shown

if TYPE_CHECKING:
    from facebench.host import Host

_REPORTS = ("markdown", "html")


@click.command("run", short_help="Train or load a method, evaluate it, store the results.")
@settings_options(
    click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="What to evaluate; repeatable."),
    click.option("--weights", type=click.Path(path_type=Path), help="Trained weights; skips training."),
)
@click.option(
    "--leaderboard",
    type=click.Path(path_type=Path),
    default=Path("leaderboard"),
    show_default=True,
    help="Where the report over all runs is updated.",
)
@click.option("--no-report", is_flag=True, help="Leave the leaderboard as it is.")
@json_option
@plugin_options
def command(blocked: tuple[str, ...], leaderboard: Path, **asked: Any) -> None:
    """Train or load a method, evaluate it on protocols, store the results, update the leaderboard.

    Without --weights a trainer is trained first; without --data-root everything uses built-in drawn faces, so the first
    example works on a fresh machine. Running the same command again resumes or reuses what is there. Under torchrun all
    processes train and embed together.

    \b
    Examples:
      facebench run --plugin arcface --protocol lfw
      facebench run --plugin onnx --weights model.onnx --protocol lfw --data-root ~/faces --json
      facebench run --plugin arcface --backbone iresnet50 --train-data ~/faces/casia --protocol lfw --data-root ~/faces
      facebench run --config runs/20260101-120000-arcface-1f3a/config.toml
      facebench run --plugin arcface --protocol lfw --set loss.margin=0.4 --set trainer.epochs=2
      facebench run --plugin arcface --finetune runs/20260101-120000-arcface-1f3a/checkpoint --protocol lfw
      torchrun --nproc-per-node 4 -m facebench run --plugin arcface --train-data ~/faces/casia --protocol lfw
    """
    quiet, as_json, fresh, no_report = (asked.pop(key) for key in ("quiet", "as_json", "fresh", "no_report"))
    from facebench.progress import Bars
    from facebench.runner import run

    settings = settings_of(asked)
    host = start(blocked)
    with working(settings, host) as here:
        outcome = run(settings, host, progress=Bars(quiet=quiet or not here.first), fresh=fresh)
    if not here.first:
        return
    fresh_results = len(outcome.reused) < len(outcome.results)
    pages = [] if no_report else _update(settings.out, leaderboard, host, needed=fresh_results)
    if as_json:
        click.echo("[" + ",\n".join(result.to_json().rstrip() for result in outcome.results) + "]")
    elif not quiet:
        for result in outcome.results:
            click.echo("\n".join(shown(result)) + "\n")
        reused = f" (reused: {', '.join(outcome.reused)})" if outcome.reused else ""
        click.echo(f"run:         {outcome.folder}{reused}")
        for page in pages:
            click.echo(f"leaderboard: {page}")


def _update(out: Path, leaderboard: Path, host: Host, *, needed: bool) -> list[Path]:
    """Updates the leaderboard; a result of another age must not spoil a run that succeeded.

    Drawing every table's figures takes seconds, so pages that are newer than all results stay as they are when the run
    has brought nothing new.
    """
    from facebench.errors import FacebenchError
    from facebench.runner import report

    formats = tuple(name for name in _REPORTS if host.catalog.find("reports", name))
    pages = sorted(page for page in leaderboard.glob("*") if page.suffix in (".md", ".html"))
    if pages and not needed and len(pages) >= len(formats):
        newest = max((result.stat().st_mtime_ns for result in out.glob("*/results/*.json")), default=0)
        if min(page.stat().st_mtime_ns for page in pages) > newest:
            return pages
    try:
        return report([out], host, formats=formats, out=leaderboard)
    except FacebenchError as error:
        click.echo(f"facebench: warning: leaderboard not updated: {error}", err=True)
        return []
