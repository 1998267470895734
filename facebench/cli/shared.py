"""Options and helpers that several commands have in common."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from facebench.cli.outspoken import one_speaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from facebench.config import Settings
    from facebench.host import Host
    from facebench.ranks import World

F = TypeVar("F", bound="Callable[..., Any]")


def plugin_options(function: F) -> F:
    """Adds ``--no-plugin``."""
    return click.option(
        "--no-plugin",
        "blocked",
        multiple=True,
        metavar="NAME",
        help="Leave an installed plugin out; repeatable. FACEBENCH_PLUGINS=off leaves out all third-party ones.",
    )(function)


def json_option(function: F) -> F:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, and nothing else.")(function)


_METHOD = (
    click.option("--plugin", metavar="NAME", help="The method: a trainer, generator or embedder ('facebench list')."),
)
_DATA = (click.option("--train-data", metavar="NAME|PATH", help="The training set [default: demo]."),)
_TRAINING = (
    click.option("--backbone", metavar="NAME", help="The network [default: the plugin's]."),
    click.option("--loss", metavar="NAME", help="The loss [default: the plugin's]."),
    click.option(
        "--finetune",
        type=click.Path(path_type=Path),
        help="Start from these weights: a checkpoint folder, .safetensors or .pth "
        "(--set finetune.classes=kept: with its class centres).",
    ),
    click.option(
        "--validate",
        "validation",
        multiple=True,
        metavar="NAME",
        help="Evaluate the network on this protocol while it is trained; repeatable "
        "(--set trainer.keep=best: keep the best).",
    ),
)
_ROOT = (
    click.option(
        "--data-root",
        type=click.Path(path_type=Path),
        help="Where real protocol data lies [env: FACEBENCH_DATA]; without it the built-in demo faces are used.",
    ),
)
_ANYWAY = (
    click.option("--seed", type=int, help="Decides every random choice [default: 0]."),
    click.option("--device", help="auto, cpu, cuda, cuda:N or mps [default: auto]."),
    click.option("--config", type=click.Path(path_type=Path), help="A TOML file with any of these settings."),
    click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Any option, as loss.margin=0.4; repeatable."
    ),
    click.option("--cache", type=click.Path(path_type=Path), help="Where weights and embeddings are kept for reuse."),
    click.option("--quiet", is_flag=True, help="Print no bars and no words but errors."),
)


_FRESH = (click.option("--fresh", is_flag=True, help="Do everything again, even what is stored."),)
_RETRAIN = (click.option("--fresh", is_flag=True, help="Train again; faces that lie in --out are not drawn again."),)
_RUNS = (click.option("--out", type=click.Path(path_type=Path), help="Where run folders go [default: runs]."),)


def settings_options(*own: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds what ``run`` and ``train`` can both be told; the command's function takes it as ``**asked``.

    Args:
        *own: Further options of the command, shown after ``--plugin``.
    """
    return _adding(*_METHOD, *own, *_DATA, *_TRAINING, *_ROOT, *_RUNS, *_ANYWAY, *_FRESH)


def generator_options(*own: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds what ``generate`` can be told of the same.

    Args:
        *own: Further options of the command, shown after ``--plugin``.
    """
    return _adding(*_METHOD, *own, *_DATA, *_ANYWAY, *_RETRAIN)


def _adding(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds options, shown in this order."""

    def decorate(function: F) -> F:
        decorated: Any = function
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def settings_of(asked: dict[str, Any]) -> Settings:
    """The settings out of the values of ``settings_options``, merged with file and environment.

    Raises:
        FacebenchError: When they cannot be used.
    """
    from facebench.config import load

    flags = dict(asked)
    config, changes = flags.pop("config"), flags.pop("changes")
    for section, key in {"train_data": "name", "backbone": "name", "loss": "name", "finetune": "weights"}.items():
        flags[section] = {key: flags[section]} if flags.get(section) else None
    for names in ("protocols", "validation"):
        flags[names] = flags.get(names) or None
    return load(config, changes=changes, flags=flags)


@contextmanager
def working(settings: Settings, host: Host) -> Iterator[World]:
    """The processes that a launcher started, joined; those after the first keep quiet."""
    import warnings

    from facebench.launching import together

    with together(settings, host.catalog) as here, one_speaks():
        if not here.first:
            warnings.simplefilter("ignore")
        yield here


def start(blocked: Sequence[str]) -> Host:
    """The host, with this call's plugins left out."""
    from facebench.host import Host

    return Host.start(blocked=blocked)


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> list[str]:
    """Rows as aligned lines."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
