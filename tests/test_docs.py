"""What the documents say must be so: hooks, names, commands, links."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

from facebench import hooks
from facebench.cli import cli
from facebench.host import Host

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")] if path.is_file()
)
HOOKS = {
    name: list(inspect.signature(function).parameters)
    for name, function in vars(hooks).items()
    if name.startswith("facebench_")
}


def commands(page: Path) -> list[str]:
    """The facebench commands in a page's console blocks and in indented examples, without their comments."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found += [part.strip() for part in line.split("#")[0].split("&&") if part.strip().startswith("facebench ")]
    return found


def test_there_are_thirteen_hooks():
    assert len(HOOKS) == 13


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_arguments(name):
    text = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    assert f"`{name}({', '.join(HOOKS[name])})`" in text
    documented = inspect.getdoc(getattr(hooks, name))
    assert documented
    assert len(documented) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page}: {target}"


EVERY_COMMAND = [(page, command) for page in PAGES for command in commands(page)]


def test_the_readme_has_commands():
    assert sum(page == ROOT / "README.md" for page, _ in EVERY_COMMAND) >= 5


@pytest.mark.parametrize(("page", "command"), EVERY_COMMAND, ids=lambda value: getattr(value, "name", value))
def test_commands_in_documents_parse(page, command):
    words = shlex.split(command)[1:]
    context = cli.make_context("facebench", words, resilient_parsing=False)
    name, chosen, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
    assert chosen is not None
    assert name is not None
    chosen.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", list(cli.list_commands(None)))
def test_examples_in_help_parse(name):
    command = cli.get_command(None, name)
    lines = [line.strip() for line in (command.help or "").splitlines()]
    examples = [line for line in lines if line.startswith("facebench ")]
    assert examples, f"{name}: no example in its help"
    for line in examples:
        words = shlex.split(line)[2:]
        command.make_context(name, words)


def bundled() -> set[tuple[str, str]]:
    return {(offer.kind, offer.spec.name) for offer in Host.start(third_party=False).catalog}


def test_every_bundled_name_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = {name for _, name in bundled() if f"`{name}`" not in text}
    assert not missing


def test_the_public_rooms_are_those_of_the_floors():
    text = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    floors = (ROOT / "tests" / "test_floors.py").read_text(encoding="utf-8")
    public = re.search(r"PUBLIC = \{(.*?)\}", floors, flags=re.DOTALL)
    assert public
    for room in re.findall(r'"(facebench\.\w+)"', public[1]):
        assert f"`{room}`" in text, room


def test_the_test_command_is_marked_for_ci():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- test command -->\n```console\n(.+?)\n```", text, flags=re.DOTALL)
    assert block
    assert "pytest" in block[1]
