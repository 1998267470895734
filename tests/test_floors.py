"""The house rules that a machine can check: which room may import which, and how large a room may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("plugins", "protocols", "reports")

# An arrow may only go down: a room imports rooms of lower floors, or of its own where that makes no circle.
FLOORS = [
    {"blocks", "errors", "margins", "metrics", "ranks", "sharding", "softmax"},
    {"declare", "results", "config", "progress", "logs", "centres", "classoptions", "augmentations"},
    {"contracts", "embeddings", "generators", "rows", "specs", "store", "scorefiles"},
    {
        "hooks",
        "checkpoints",
        "images",
        "datasets",
        "demo",
        "figures",
        "measures",
        "schedules",
        "pixels",
        "augment",
        "resume",
        "loading",
    },
    {"host", "training", "inference", "embed", "generation", "testing", "provenance"},
    {
        "api",
        "comparing",
        "evaluating",
        "generatorplan",
        "generating",
        "keeping",
        "launching",
        "method",
        "methodplan",
        "plan",
        "planning",
        "runner",
        "storing",
        "thresholds",
        "validating",
    },
    {"cli", "__main__"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# What strangers may import, and so what our own wings may.
PUBLIC = {
    "facebench",
    "facebench.blocks",
    "facebench.centres",
    "facebench.checkpoints",
    "facebench.datasets",
    "facebench.demo",
    "facebench.embed",
    "facebench.figures",
    "facebench.images",
    "facebench.inference",
    "facebench.margins",
    "facebench.measures",
    "facebench.metrics",
    "facebench.ranks",
    "facebench.resume",
    "facebench.sharding",
    "facebench.store",
    "facebench.testing",
    "facebench.training",
}
HEAVY = {"torch", "sklearn", "scipy", "pandas", "matplotlib", "ripser", "onnx", "onnxruntime", "numpy"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path, *, at_module_level: bool = False) -> set[str]:
    """Dotted names a file imports at run time; what stands under TYPE_CHECKING does not count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if at_module_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "facebench":
                found.update(f"facebench.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "facebench").parts
    return parts[0].removesuffix(".py")


CORE = [path for path in sources("facebench") if room_of(path) != "__init__"]


def test_every_room_of_the_core_has_a_floor():
    assert {room_of(path) for path in CORE} == set(FLOOR_OF)


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_only_go_down(path):
    here = room_of(path)
    for name in imports(path):
        if not name.startswith("facebench."):
            assert not name.startswith("facebench_"), f"{path}: the core imports the bundled package {name}"
            continue
        room = name.split(".")[1]
        if room in FLOOR_OF and room != here:
            assert FLOOR_OF[room] <= FLOOR_OF[here], f"{path}: {here} imports {room}, which is above it"


def test_no_circles_between_rooms():
    arrows: dict[str, set[str]] = {room: set() for room in FLOOR_OF}
    for path in CORE:
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("facebench.")}
        arrows[room_of(path)] |= (rooms & set(FLOOR_OF)) - {room_of(path)}
    done: set[str] = set()

    def walk(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, " -> ".join((*way, room))
        if room not in done:
            for below in arrows[room]:
                walk(below, (*way, room))
            done.add(room)

    for room in arrows:
        walk(room, ())


def test_only_the_top_imports_the_host():
    for path in CORE:
        if any(name == "facebench.host" for name in imports(path)):
            assert room_of(path) in {"runner", "api", "cli"}, f"{path}: the host is handed down, not imported"


@pytest.mark.parametrize("path", sources(*WINGS), ids=lambda path: str(path.relative_to(ROOT)))
def test_wings_use_only_what_strangers_may(path):
    own = path.relative_to(ROOT).parts[1]
    for name in imports(path):
        if name.split(".")[0] == "facebench":
            public = any(name == room or name.startswith(f"{room}.") for room in PUBLIC)
            assert public, f"{path}: {name} is not public"
        assert not (name.startswith("facebench_") and name.split(".")[0] != own), f"{path}: imports neighbour {name}"


def public_names() -> set[str]:
    tree = ast.parse((ROOT / "facebench" / "__init__.py").read_text(encoding="utf-8"))
    listed = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return set(ast.literal_eval(listed))


def imported_from_facebench(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "facebench"]
    return {alias.name for node in nodes for alias in node.names}


@pytest.mark.parametrize("path", sources(*WINGS), ids=lambda path: str(path.relative_to(ROOT)))
def test_names_from_facebench_are_public(path):
    assert imported_from_facebench(path) <= public_names()


@pytest.mark.parametrize("path", sources("protocols", "reports"), ids=lambda path: str(path.relative_to(ROOT)))
def test_protocols_and_reports_never_import_torch(path):
    assert not any(name.split(".")[0] == "torch" for name in imports(path))


@pytest.mark.parametrize(
    "path",
    [path for path in sources(*WINGS) if path.name == "plugin.py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_plugin_modules_are_light(path):
    heavy = {name.split(".")[0] for name in imports(path, at_module_level=True)} & HEAVY
    assert not heavy, f"{path}: imports {heavy} before anything is built"


@pytest.mark.parametrize("path", sources("tests"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_tests_are_small(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path} has {lines} lines"


@pytest.mark.parametrize("path", sources("facebench", *WINGS), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_are_small(path):
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    assert lines <= 400, f"{path} has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path}: {node.name} has {length} lines"


@pytest.mark.parametrize(
    "folder", [ROOT / "facebench", *(p for wing in WINGS for p in (ROOT / wing).glob("facebench_*"))]
)
def test_packages_are_typed(folder):
    assert (folder / "__init__.py").is_file()
    assert (folder / "py.typed").is_file()


@pytest.mark.parametrize("command", ["--help", "run --help", "list --help", "list"])
def test_start_up_imports_nothing_heavy(command):
    code = (
        "import sys; sys.argv = ['facebench', *sys.argv[1:]]\n"
        "from facebench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'ripser', 'onnxruntime', 'pandas', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
