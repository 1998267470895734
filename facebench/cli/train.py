"""``facebench train``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from facebench.cli.shared import json_option, plugin_options, settings_of, settings_options, start, working

if TYPE_CHECKING:
    from facebench.runner import Trained


@click.command("train", short_help="Train a method and keep its checkpoint.")
@settings_options()
@json_option
@plugin_options
def command(blocked: tuple[str, ...], **asked: Any) -> None:
    """Train a method, keep its checkpoint, and print where it lies. Nothing is evaluated but what --validate names.

    Without --train-data the built-in drawn faces are used. Running the same command again goes on where it stopped, or
    finds what is there; 'facebench run --weights CHECKPOINT' evaluates it. Under torchrun all processes train together:
    trainer.batch_size counts the faces of all of them, and class centres are split among them.

    \b
    Examples:
      facebench train --plugin arcface --train-data ~/faces/casia --backbone iresnet50
      facebench train --plugin arcface --train-data ~/faces/casia --validate lfw --data-root ~/faces
      facebench train --plugin arcface --finetune runs/20260101-120000-arcface-1f3a/checkpoint --train-data ~/faces/mine
      torchrun --nproc-per-node 4 -m facebench train --plugin arcface --train-data ~/faces/casia
      torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \\
          -m facebench train --plugin arcface --train-data /shared/casia --out /shared/runs --cache /shared/cache
    """
    quiet, as_json, fresh = (asked.pop(key) for key in ("quiet", "as_json", "fresh"))
    from facebench.progress import Bars
    from facebench.runner import train

    settings = settings_of(asked)
    host = start(blocked)
    with working(settings, host) as here:
        trained = train(settings, host, progress=Bars(quiet=quiet or not here.first), fresh=fresh)
    if not here.first:
        return
    if as_json:
        click.echo(json.dumps(_document(trained), indent=2))
    elif not quiet:
        click.echo(f"checkpoint: {trained.checkpoint.folder}{' (reused)' if trained.reused else ''}")


def _document(trained: Trained) -> dict[str, Any]:
    checkpoint = trained.checkpoint
    return {
        "checkpoint": str(checkpoint.folder),
        "sha256": checkpoint.sha256,
        "embedding_size": checkpoint.embedding_size,
        "recipe": asdict(checkpoint.recipe),
        "last_epoch": dict(trained.values),
        "reused": trained.reused,
    }
