"""``facebench plugins``."""

from __future__ import annotations

import json

import click

from facebench.cli.shared import json_option, plugin_options, start, table


@click.command("plugins", short_help="Show who is loaded, and what went wrong.")
@json_option
@plugin_options
def command(as_json: bool, blocked: tuple[str, ...]) -> None:
    """Show which plugins are loaded, the hooks each one fills, and every problem with its reason.

    \b
    Examples:
      facebench plugins
      FACEBENCH_PLUGINS=off facebench plugins
      facebench plugins --no-plugin adaface --json
    """
    host = start(blocked)
    loaded = [
        {
            "name": plugin.name,
            "module": plugin.module,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "hooks": host.hooks_of(plugin),
        }
        for plugin in host.plugins
    ]
    problems = [
        {
            "name": problem.plugin.name,
            "module": problem.plugin.module,
            "distribution": problem.plugin.distribution,
            "version": problem.plugin.version,
            "reason": problem.reason,
        }
        for problem in host.problems
    ]
    if as_json:
        click.echo(json.dumps({"plugins": loaded, "problems": problems}, indent=2))
        return
    rows = [
        (
            plugin.name,
            f"{plugin.distribution} {plugin.version}",
            ", ".join(hook.removeprefix("facebench_") for hook in host.hooks_of(plugin)),
        )
        for plugin in host.plugins
    ]
    for line in table([("plugin", "distribution", "hooks"), *rows], indent=""):
        click.echo(line)
    if problems:
        click.echo("\nproblems:")
    for problem in host.problems:
        click.echo(f"  {problem.plugin}: {problem.reason}")
