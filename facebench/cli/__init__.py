"""The command line: thin rooms around the same calls that Python users make.

Nothing here imports more than click until a command runs, so help answers at once. Exit codes: 0 done, 1 a bug of ours
(with its traceback) or an interruption, 2 something the user can mend (one line).
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from facebench import __version__
from facebench.cli.outspoken import name_of_this, one_speaks
from facebench.errors import FacebenchError, UnknownName

_COMMANDS = {
    "run": "Train or load a method, evaluate it, store the results.",
    "train": "Train a method and keep its checkpoint.",
    "generate": "Draw faces of people who do not exist.",
    "evaluate": "Evaluate embeddings or scores that exist already.",
    "compare": "Compare methods pair by pair.",
    "threshold": "Choose a threshold for a false match rate.",
    "list": "Show what plugins offer.",
    "info": "Explain one offer and its options.",
    "plugins": "Show who is loaded, and what went wrong.",
    "report": "Write a leaderboard over stored results.",
    "doctor": "Check this machine and installation.",
}


class Lazy(click.Group):
    """A group that imports a command when it is asked for, and lists them without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order people meet them."""
        return [*_COMMANDS]  # not list(): the module of that command takes the name in this package once it is loaded

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"facebench.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with.

        Raises:
            UnknownName: When there is none of that name.
        """
        if args[0] not in _COMMANDS:
            raise UnknownName("command", args[0], _COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="facebench")
def cli() -> None:
    """Train, evaluate and compare face-recognition methods.

    \b
    Examples:
      facebench run --plugin arcface --protocol lfw
      facebench run --plugin onnx --weights model.onnx --protocol lfw --data-root ~/faces
      facebench train --plugin arcface --train-data ~/faces/casia --backbone iresnet50
      facebench generate --plugin vec2face --identities 1000 --images-per-id 20 --out faces/
      facebench list protocols
      facebench info arcface
      facebench report runs/ --format html --out leaderboard/
    """


def main() -> None:
    """The entrance: turns errors that a user can mend into one line and exit code 2."""
    # Read when torch loads its thread pool; docs/decisions/0005 has the figures.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with one_speaks():
            sys.exit(cli.main(standalone_mode=False))
    except FacebenchError as error:
        click.echo(f"facebench: {name_of_this()}{error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("facebench: interrupted; the same command continues where it stopped", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
