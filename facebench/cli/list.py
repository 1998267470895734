"""``facebench list``."""

from __future__ import annotations

import json

import click

from facebench.cli.shared import json_option, plugin_options, start, table

_KINDS = ("trainers", "embedders", "generators", "protocols", "backbones", "losses", "datasets", "reports")


@click.command("list", short_help="Show what plugins offer.")
@click.argument("kind", required=False, metavar="[KIND]")
@json_option
@plugin_options
def command(kind: str | None, as_json: bool, blocked: tuple[str, ...]) -> None:
    """Show what plugins offer: all kinds, or one of them.

    Trainers, embedders and generators are what --plugin takes.

    \b
    Examples:
      facebench list
      facebench list losses
      facebench list protocols --json
    """
    from facebench.errors import UnknownName

    if kind is not None and kind not in _KINDS:
        raise UnknownName("kind", kind, _KINDS)
    host = start(blocked)
    kinds = (kind,) if kind else _KINDS
    found = [
        {
            "kind": offer.kind,
            "name": offer.spec.name,
            "summary": offer.spec.summary,
            "plugin": offer.plugin.name,
            "distribution": offer.plugin.distribution,
            "version": offer.plugin.version,
        }
        for wanted in kinds
        for offer in sorted(host.catalog, key=lambda offer: offer.spec.name)
        if offer.kind == wanted
    ]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for wanted in kinds:
        rows = [
            (o["name"], o["summary"], f"({o['distribution']} {o['version']})") for o in found if o["kind"] == wanted
        ]
        click.echo(f"{wanted}:" + ("" if rows else " none"))
        for line in table(rows):
            click.echo(line)
    if host.problems:
        click.echo(f"\n{len(host.problems)} problem(s) with plugins; see 'facebench plugins'", err=True)
