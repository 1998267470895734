"""``facebench generate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import generator_options, json_option, plugin_options, settings_of, start, working

if TYPE_CHECKING:
    from facebench.contracts import Checkpoint
    from facebench.generation import Generated


@click.command("generate", short_help="Draw faces of people who do not exist.")
@generator_options(
    click.option("--weights", type=click.Path(path_type=Path), help="The generator's checkpoint; skips training."),
    click.option("--identities", type=int, help="How many people [default: the generator's]."),
    click.option("--images-per-id", type=int, help="How many pictures of each [default: the generator's]."),
    click.option("--out", "target", type=click.Path(path_type=Path), required=True, help="The folder for the faces."),
    click.option(
        "--form",
        type=click.Choice(["folder", "tar", "recordio"]),
        help="A folder for each person, tar shards, or InsightFace's training form [default: folder].",
    ),
)
@json_option
@plugin_options
def command(blocked: tuple[str, ...], target: Path, **asked: Any) -> None:
    """Draw faces with a generator: pictures, their identity vectors, a manifest and a preview.

    Without --weights the generator is trained first, on --train-data or else on the built-in drawn faces; 'facebench
    train' keeps its checkpoint for later. The same command goes on where an interrupted one stopped, and the same seed
    gives the same pictures. Under torchrun all processes draw together.

    \b
    Examples:
      facebench generate --plugin vec2face --identities 100 --images-per-id 10 --out faces/
      facebench generate --plugin vec2face --weights CHECKPOINT --identities 10000 --form tar --out hsface10k/
      facebench generate --plugin vec2face --out faces/ --set generation.sigmas=[0.5] --set generation.shares=[1.0]
    """
    quiet, as_json, fresh = (asked.pop(key) for key in ("quiet", "as_json", "fresh"))
    from facebench.progress import Bars
    from facebench.runner import generate

    names = {"identities": asked.pop("identities"), "images_per_id": asked.pop("images_per_id")}
    names["form"] = asked.pop("form")
    asked["generation"] = {key: value for key, value in names.items() if value is not None} or None
    settings = settings_of(asked)
    host = start(blocked)
    with working(settings, host) as here:
        bars = Bars(quiet=quiet or not here.first)
        generated, checkpoint = generate(settings, host, target, progress=bars, fresh=fresh)
    if not here.first:
        return
    if as_json:
        click.echo(json.dumps(_document(generated, checkpoint), indent=2))
    elif not quiet:
        click.echo("\n".join(_lines(generated, checkpoint)))


def _document(generated: Generated, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "folder": str(generated.folder),
        "identities": generated.identities,
        "faces": generated.faces,
        "sampling": dict(generated.sampling),
        "means": dict(generated.means),
        "checkpoint": str(checkpoint.folder),
        "sha256": checkpoint.sha256,
        "reused": generated.reused,
    }


def _lines(generated: Generated, checkpoint: Checkpoint) -> list[str]:
    """What a person wants to know of what was drawn."""
    facts = {**generated.sampling, **{f"mean {name}": value for name, value in generated.means.items()}}
    width = max(map(len, ("checkpoint", *facts)))
    reused = " (reused)" if generated.reused else ""
    rows = [
        ("faces", f"{generated.faces:,} of {generated.identities:,} identities{reused}"),
        *((name, f"{value:.4g}" if isinstance(value, float) else f"{value}") for name, value in facts.items()),
        ("folder", str(generated.folder)),
        ("preview", str(generated.folder / "preview.png")),
        ("checkpoint", str(checkpoint.folder)),
    ]
    return [f"{name + ':':<{width + 1}} {value}" for name, value in rows]
