"""``facebench info``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option, plugin_options, start, table

if TYPE_CHECKING:
    from facebench.host import Offer


@click.command("info", short_help="Explain one offer and its options.")
@click.argument("name")
@click.option("--kind", help="Only this kind, where several have the name (losses, trainers, ...).")
@json_option
@plugin_options
def command(name: str, kind: str | None, as_json: bool, blocked: tuple[str, ...]) -> None:
    """Explain everything of that name: what it is, whom to cite, who offers it, and its options with defaults.

    \b
    Examples:
      facebench info arcface
      facebench info lfw
      facebench info arcface --kind losses --json
    """
    from facebench.errors import UnknownName
    from facebench.host import OFFERS

    if kind is not None and kind not in OFFERS:
        raise UnknownName("kind", kind, OFFERS)
    host = start(blocked)
    found = [offer for offer in host.catalog if offer.spec.name == name and kind in (None, offer.kind)]
    if not found:
        raise host.catalog.missing("name", [kind] if kind else list(OFFERS), name)
    documents = [_document(offer) for offer in found]
    if as_json:
        click.echo(json.dumps(documents, indent=2))
        return
    for document in documents:
        _show(document)


_SECTION = {
    "backbones": "backbone",
    "losses": "loss",
    "trainers": "trainer",
    "embedders": "embedder",
    "generators": "generator",
    "datasets": "train_data",
}


_FACTS = ("backbone", "loss", "extractor", "judge", "downstream", "layout", "source", "licence")


def _document(offer: Offer) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    from facebench.declare import described
    from facebench.host import SINGULAR

    def listed(options: type[Any]) -> list[dict[str, Any]]:
        return [
            {"name": name, "type": kind, "default": to_jsonable_python(default), "help": text}
            for name, kind, default, text in described(options)
        ]

    spec = offer.spec
    section = f"protocol.{spec.name}" if offer.kind == "protocols" else _SECTION.get(offer.kind, "")
    return {
        "name": spec.name,
        "kind": SINGULAR[offer.kind],
        "summary": spec.summary,
        "cites": list(spec.cites),
        "distribution": f"{offer.plugin.distribution} {offer.plugin.version}",
        "plugin": offer.plugin.name,
        **{key: getattr(spec, key) for key in _FACTS if hasattr(spec, key)},
        "section": section,
        "options": listed(spec.options),
        **({"drawing": listed(spec.drawing)} if offer.kind == "generators" else {}),
    }


def _show(document: dict[str, Any]) -> None:
    click.echo(f"{document['name']} ({document['kind']}): {document['summary']}")
    click.echo(f"  offered by {document['distribution']}, plugin {document['plugin']}")
    for cited in document["cites"]:
        click.echo(f"  cites {cited}")
    for key in _FACTS:
        if document.get(key):
            click.echo(f"  {key}: {document[key]}")
    for section, key in ((document["section"], "options"), ("generation", "drawing")):
        if document.get(key):
            click.echo(f"  options (--set {section}.NAME=VALUE):")
            rows = [(o["name"], str(o["default"]), o["help"]) for o in document[key]]
            for line in table(rows, indent="    "):
                click.echo(line)
    click.echo("")
