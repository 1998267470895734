"""``facebench doctor``."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from facebench.cli.shared import json_option, plugin_options, start, table

_EXTRAS = {"onnx": ("onnx", "onnxruntime")}


@click.command("doctor", short_help="Check this machine and installation.")
@json_option
@plugin_options
def command(as_json: bool, blocked: tuple[str, ...]) -> None:
    """Check what a run needs on this machine; exit code 2 when something essential is wrong.

    \b
    Examples:
      facebench doctor
      facebench doctor --json
    """
    checks = [_interpreter(), _torch(), *_extras(), _data(), _cache(), _disk(), _plugins(blocked)]
    if as_json:
        click.echo(json.dumps([dict(zip(("state", "check", "found"), row, strict=True)) for row in checks], indent=2))
    else:
        for line in table(checks, indent=""):
            click.echo(line)
    if any(state == "wrong" for state, *_ in checks):
        sys.exit(2)


def _interpreter() -> tuple[str, str, str]:
    return (
        "ok",
        "python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    )


def _torch() -> tuple[str, str, str]:
    try:
        import torch
    except ImportError as error:
        return "wrong", "torch", f"cannot be imported: {error}"
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    found = ", ".join(devices) if devices else "no CUDA device: networks run on the CPU"
    return "ok", "torch", f"{torch.__version__}, {torch.get_num_threads()} threads; {found}"


def _extras() -> list[tuple[str, str, str]]:
    rows = []
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            rows.append(("note", f"extra {extra}", f"not installed; pip install 'facebench[{extra}]'"))
            continue
        rows.append(("ok", f"extra {extra}", ", ".join(f"{name} {_version(name)}" for name in packages)))
    return rows


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


def _data() -> tuple[str, str, str]:
    told = os.environ.get("FACEBENCH_DATA")
    if not told:
        return "note", "data root", "FACEBENCH_DATA is not set; runs without --data-root use the demo faces"
    return (
        ("ok", "data root", told)
        if Path(told).is_dir()
        else ("wrong", "data root", f"FACEBENCH_DATA={told}: no folder")
    )


def _cache() -> tuple[str, str, str]:
    from facebench.store import cache_root

    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return "wrong", "cache", f"{root}: {error.strerror}; set FACEBENCH_CACHE"
    state = "ok" if os.access(root, os.W_OK) else "wrong"
    return state, "cache", f"{root}" + ("" if state == "ok" else " cannot be written; set FACEBENCH_CACHE")


def _disk() -> tuple[str, str, str]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return ("ok" if free > 2 else "note"), "disk", f"{free:.1f} GiB free here"


def _plugins(blocked: tuple[str, ...]) -> tuple[str, str, str]:
    host = start(blocked)
    if not host.plugins:
        return "wrong", "plugins", "none found; is facebench installed (pip install .), or only on the path?"
    problems = len(host.problems)
    said = f"{len(host.plugins)} loaded" + (f", {problems} problem(s): see 'facebench plugins'" if problems else "")
    return ("note" if problems else "ok"), "plugins", said
