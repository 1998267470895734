"""``facebench compare``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebench.comparing import Comparison, Gap, Pairing


@click.command("compare", short_help="Compare methods pair by pair.")
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--protocol", metavar="NAME", help="Which result, where run folders hold several.")
@click.option(
    "--far", "rates", multiple=True, type=float, help="FAR at which TAR is compared; repeatable [1e-2, 1e-3]."
)
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Bootstrap replicates.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the bootstrap.")
@json_option
def command(
    places: tuple[Path, ...], protocol: str | None, rates: tuple[float, ...], samples: int, seed: int, as_json: bool
) -> None:
    """Compare two or more methods on the very same comparisons: differences, their intervals, and p values.

    PLACES are run folders, stored results, or .csv or .npz files of scores. People are drawn once for both methods, so
    a difference is known better than from two separate intervals; results on different data are refused. With more than
    two methods p values are corrected by Holm's rule.

    \b
    Examples:
      facebench compare runs/20260101-120000-arcface-1f3a runs/20260101-130000-sface-77c0 --protocol lfw
      facebench compare a/results/lfw.json b/results/lfw.json c/results/lfw.json --json
      facebench compare mine.csv theirs.csv --far 1e-3
    """
    from facebench.comparing import compare
    from facebench.scorefiles import find_scores

    methods = [find_scores(place, protocol=protocol) for place in places]
    found = compare(methods, far=rates or (1e-2, 1e-3), samples=samples, seed=seed)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
        return
    click.echo("\n".join(_lines(found)))


def _document(found: Comparison) -> dict[str, Any]:
    return {
        "data": found.data,
        "methods": list(found.methods),
        "pairings": [_pairing(one) for one in found.pairings],
        "warnings": list(found.warnings),
    }


def _pairing(one: Pairing) -> dict[str, Any]:
    gaps = [{**asdict(gap), "interval": gap.interval.model_dump(), "verdict": gap.verdict} for gap in one.gaps]
    return {"first": one.first, "second": one.second, "differences": gaps, "decisions": asdict(one.decisions)}


def _lines(found: Comparison) -> Iterator[str]:
    yield f"{found.data}: {len(found.methods)} methods"
    letters = {label: _letter(at) for at, label in enumerate(found.methods)}
    for label, letter in letters.items():
        yield f"  {letter}  {label}"
    for one in found.pairings:
        first, second = letters[one.first], letters[one.second]
        holm = any(gap.corrected is not None for gap in one.gaps)
        head = ("figure", f"{first} - {second}, points", "95 % interval", "p", *(("Holm",) if holm else ()), "better")
        yield ""
        yield from table([head, *(_row(gap, first, second) for gap in one.gaps)])
        decisions = one.decisions
        tail = "" if decisions.corrected is None else f", by Holm {decisions.corrected:.3g}"
        yield (
            f"  right only in {first} {decisions.only_first:,}, only in {second} {decisions.only_second:,}: McNemar "
            f"p = {decisions.p_value:.3g}{tail} ({decisions.what})"
        )
    yield ""
    ways = dict.fromkeys(gap.interval.method for one in found.pairings for gap in one.gaps)
    yield "  rules: tar@far strict (never above the FAR); accuracy at the thresholds named beside McNemar"
    yield f"  intervals: {', '.join(ways)}; McNemar takes comparisons as independent"
    for warning in found.warnings:
        yield f"  warning: {warning}"


def _row(gap: Gap, first: str, second: str) -> tuple[str, ...]:
    better = {"first": first, "second": second}.get(gap.verdict, "undecided")
    return (
        gap.name,
        f"{100 * gap.value:+.3f}",
        f"[{100 * gap.interval.low:+.3f}, {100 * gap.interval.high:+.3f}]",
        f"{gap.p_value:.3g}",
        *(() if gap.corrected is None else (f"{gap.corrected:.3g}",)),
        better,
    )


def _letter(at: int) -> str:
    return chr(ord("A") + at) if at < 26 else f"M{at + 1}"
