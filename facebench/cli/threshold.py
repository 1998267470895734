"""``facebench threshold``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebench.scorefiles import Kept
    from facebench.thresholds import Rate, Threshold


@click.command("threshold", short_help="Choose a threshold for a false match rate.")
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--fmr", "targets", multiple=True, type=float, required=True, help="Wanted false match rate; repeatable.")
@click.option("--protocol", metavar="NAME", help="Which result, where a run folder holds several.")
@click.option("--samples", type=click.IntRange(min=0), default=1000, show_default=True, help="Bootstrap replicates.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the bootstrap.")
@json_option
def command(
    place: Path, targets: tuple[float, ...], protocol: str | None, samples: int, seed: int, as_json: bool
) -> None:
    """Choose the lowest threshold whose false match rate is no more than wanted on the scores at PLACE.

    PLACE is a run folder, a stored result, or a .csv or .npz with the columns score and same. Both error rates come
    with 95 % intervals; a rate that the impostors cannot resolve is refused. The threshold fits these people and these
    pictures: choose it on data like yours, and measure it again on other data.

    \b
    Examples:
      facebench threshold runs/20260101-120000-arcface-1f3a --fmr 1e-3
      facebench threshold runs/20260101-120000-arcface-1f3a/results/lfw.json --fmr 1e-2 --fmr 1e-3 --json
      facebench threshold scores.csv --fmr 1e-4
    """
    from facebench.scorefiles import find_scores
    from facebench.thresholds import choose

    kept = find_scores(place, protocol=protocol)
    found = choose(kept.pairs(), targets=targets, samples=samples, seed=seed)
    if as_json:
        document = {
            "method": kept.label,
            "data": None if kept.result is None else kept.result.title,
            "scores": str(kept.path),
            "rules": _rules(kept),
            "thresholds": [_document(one) for one in found],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(kept.label + ("" if kept.result is None else f" on {kept.result.title}"))
    for name, rule in _rules(kept).items():
        click.echo(f"  {name}: {rule}")
    for one in found:
        click.echo("\n".join(_lines(one)))


def _rules(kept: Kept) -> dict[str, str]:
    """What a score is, without which a threshold means nothing."""
    rules = {} if kept.result is None else kept.result.rules
    return {name: rules[name] for name in ("score", "mirror") if name in rules}


def _document(one: Threshold) -> dict[str, Any]:
    plain = {"target_fmr": one.target, "threshold": one.value, "warnings": list(one.warnings)}
    for name, rate in (("fmr", one.fmr), ("fnmr", one.fnmr)):
        plain[name] = {**asdict(rate), "interval": rate.interval.model_dump()}
    return plain


def _lines(one: Threshold) -> Iterator[str]:
    yield f"  FMR {one.target:g}: accept at a score of {one.value!r} or more"
    yield f"    false match rate      {_rate(one.fmr)} impostor comparisons"
    yield f"    false non-match rate  {_rate(one.fnmr)} genuine comparisons"
    for warning in one.warnings:
        yield f"    warning: {warning}"


def _rate(rate: Rate) -> str:
    interval = rate.interval
    return (
        f"{100 * rate.value:.4g} %  [{100 * interval.low:.4g}, {100 * interval.high:.4g}] {interval.method}; "
        f"{rate.errors:,} of {rate.trials:,}"
    )
