"""``facebench evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facebench.cli.shared import json_option, plugin_options, start
from facebench.cli.shown import shown

if TYPE_CHECKING:
    from facebench.evaluating import Evaluated


@click.command("evaluate", short_help="Evaluate embeddings or scores that exist already.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--protocol", metavar="NAME", help="The protocol that embeddings are for; leave it out for scores.")
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Where the protocol's lists lie [env: FACEBENCH_DATA]; without it the built-in demo layout.",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A protocol's option, as mirror=none.")
@click.option("--far", "rates", multiple=True, type=float, help="For scores: FAR at which TAR is told [1e-2, 1e-3].")
@click.option("--samples", type=click.IntRange(min=0), help="For scores: bootstrap replicates [1000].")
@click.option("--seed", type=int, help="Decides the bootstrap [default: 0].")
@click.option("--name", default="", help="What to call the method [default: the file's name].")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the result in a new folder here, as a run's.")
@json_option
@plugin_options
def command(
    file: Path,
    protocol: str | None,
    data_root: Path | None,
    changes: tuple[str, ...],
    rates: tuple[float, ...],
    samples: int | None,
    seed: int | None,
    name: str,
    out: Path | None,
    as_json: bool,
    blocked: tuple[str, ...],
) -> None:
    """Evaluate FILE: embeddings by a protocol, or scores of pairs as they are. No network and no pictures are needed.

    Embeddings are an .npz with the arrays keys and vectors, and mirrored where there are mirrored faces. Scores are a
    .csv or .npz with the columns score and same, and best first_subject and second_subject, so that intervals know who
    is compared.

    \b
    Examples:
      facebench evaluate embeddings.npz --protocol lfw --data-root ~/faces
      facebench evaluate embeddings.npz --protocol lfw --data-root ~/faces --set mirror=none --out runs --json
      facebench evaluate scores.csv --far 1e-3 --far 1e-4
    """
    from facebench.errors import ConfigError

    if protocol is None:
        if changes or data_root:
            raise ConfigError("--set and --data-root are for embeddings; name their protocol with --protocol")
        evaluated = _scores(file, rates=rates, samples=samples, seed=seed, name=name)
    else:
        if rates or samples is not None:
            raise ConfigError("--far and --samples are for scores; for embeddings say --set far=... or samples=...")
        evaluated = _embeddings(file, protocol, data_root, changes, seed=seed, name=name, blocked=blocked)
    folder = None
    if out is not None:
        from facebench.evaluating import keep

        folder = keep(evaluated, out)
    if as_json:
        click.echo("[" + evaluated.result.to_json().rstrip() + "]")
        return
    click.echo("\n".join(shown(evaluated.result)))
    if folder is not None:
        click.echo(f"\nkept in: {folder}")


def _scores(file: Path, *, rates: tuple[float, ...], samples: int | None, seed: int | None, name: str) -> Evaluated:
    from facebench.errors import DataError
    from facebench.evaluating import evaluate_scores
    from facebench.scorefiles import read_pairs

    try:
        pairs = read_pairs(file)
    except DataError as error:
        if file.suffix != ".npz" or not file.is_file():
            raise
        raise DataError(f"{error}; if these are embeddings, name their protocol with --protocol") from None
    more = {} if samples is None else {"samples": samples}
    return evaluate_scores(pairs, file.name, far=rates or (1e-2, 1e-3), seed=seed or 0, subject=name, **more)


def _embeddings(
    file: Path,
    protocol: str,
    data_root: Path | None,
    changes: tuple[str, ...],
    *,
    seed: int | None,
    name: str,
    blocked: tuple[str, ...],
) -> Evaluated:
    from facebench.config import load
    from facebench.evaluating import evaluate_embeddings

    section = f"protocol.{protocol}."
    full = [change if change.startswith("protocol.") else section + change for change in changes]
    settings = load(changes=full, flags={"data_root": data_root, "seed": seed})
    return evaluate_embeddings(
        file,
        protocol,
        host=start(blocked),
        data_root=settings.data_root,
        options=settings.protocol.get(protocol, {}),
        seed=settings.seed,
        subject=name,
    )
