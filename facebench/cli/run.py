"""``facebench run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option, plugin_options, start
from facebench.cli.shown import shown

if TYPE_CHECKING:
    from facebench.host import Host

_REPORTS = ("markdown", "html")


@click.command("run", short_help="Train or load a method, evaluate it, store the results.")
@click.option("--plugin", metavar="NAME", help="The method: a trainer or an embedder ('facebench list').")
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="What to evaluate; repeatable.")
@click.option("--weights", type=click.Path(path_type=Path), help="Trained weights; skips training.")
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Where real protocol data lies [env: FACEBENCH_DATA]; without it the built-in demo faces are used.",
)
@click.option("--train-data", metavar="NAME|PATH", help="The training set [default: demo].")
@click.option("--backbone", metavar="NAME", help="The network [default: the plugin's].")
@click.option("--loss", metavar="NAME", help="The loss [default: the plugin's].")
@click.option("--seed", type=int, help="Decides every random choice [default: 0].")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps [default: auto].")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with any of these settings.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Any option, as loss.margin=0.4; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where run folders go [default: runs].")
@click.option("--cache", type=click.Path(path_type=Path), help="Where weights and embeddings are kept for reuse.")
@click.option("--fresh", is_flag=True, help="Do everything again, even what is stored.")
@click.option(
    "--leaderboard",
    type=click.Path(path_type=Path),
    default=Path("leaderboard"),
    show_default=True,
    help="Where the report over all runs is updated.",
)
@click.option("--no-report", is_flag=True, help="Leave the leaderboard as it is.")
@click.option("--quiet", is_flag=True, help="Print no bars and no words but errors.")
@json_option
@plugin_options
def command(
    changes: tuple[str, ...],
    config: Path | None,
    blocked: tuple[str, ...],
    leaderboard: Path,
    **asked: Any,
) -> None:
    """Train or load a method, evaluate it on protocols, store the results, update the leaderboard.

    Without --weights a trainer is trained first; without --data-root everything uses built-in drawn faces, so the first
    example works on a fresh machine. Running the same command again resumes or reuses what is there.

    \b
    Examples:
      facebench run --plugin arcface --protocol lfw
      facebench run --plugin onnx --weights model.onnx --protocol lfw --data-root ~/faces --json
      facebench run --plugin arcface --backbone iresnet50 --train-data ~/faces/casia --protocol lfw --data-root ~/faces
      facebench run --config runs/20260101-120000-arcface-1f3a/config.toml
      facebench run --plugin arcface --protocol lfw --set loss.margin=0.4 --set trainer.epochs=2
    """
    quiet, as_json, fresh, no_report = (asked.pop(key) for key in ("quiet", "as_json", "fresh", "no_report"))
    from facebench.config import load
    from facebench.progress import Bars
    from facebench.runner import run

    flags = dict(asked)
    flags["protocols"] = flags["protocols"] or None
    for section in ("train_data", "backbone", "loss"):
        flags[section] = {"name": flags[section]} if flags[section] else None
    settings = load(config, changes=changes, flags=flags)
    host = start(blocked)
    outcome = run(settings, host, progress=Bars(quiet=quiet), fresh=fresh)
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
