"""How work begins that several processes may share: where each of them computes, and how they find one another.

Everywhere below this floor ``facebench.ranks`` says who a process is. Here it is decided what that means for a run.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from facebench.errors import ConfigError
from facebench.ranks import World, joined, launched, neighbours, told, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facebench.config import Settings
    from facebench.host import Catalog

T = TypeVar("T")


@contextmanager
def together(settings: Settings, catalog: Catalog) -> Iterator[World]:
    """Joins the processes that a launcher started; does nothing where this one was started alone.

    Args:
        settings: What to do.
        catalog: What the method is called after.

    Raises:
        ConfigError: When the device is not there, or the launcher's variables make no sense.
    """
    if launched().size == 1 or world().size > 1:
        yield world()
        return
    # Embedders choose their device themselves; what their processes have to say to each other fits any.
    trained = any(catalog.find(kind, settings.plugin) for kind in ("trainers", "generators"))
    device = device_of(settings.device) if trained else "cpu"
    with joined(device) as here:
        if not here.first:
            # Only the first has a log, and what nobody takes would be printed.
            logging.getLogger("facebench").addHandler(logging.NullHandler())
        yield here


def by_first(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them.

    Args:
        make: Called in the first process alone; returns something that can be pickled.
    """
    return told(make() if world().first else cast("T", None))


def device_of(asked: str) -> str:
    """The device to compute on: what was asked for, or the best there is for ``auto``.

    Among launched processes each has a GPU of its own: the one whose number is its place on the machine.

    Raises:
        ConfigError: When the device is not there, or cannot be shared by all processes.
    """
    import torch

    several = launched().size > 1
    if several and (asked.startswith("cuda:") or asked == "mps"):
        raise ConfigError(
            f"device {asked!r} cannot be that of {launched().size} processes; leave --device out or say cuda: "
            "each process then takes the GPU of its own number"
        )
    if asked == "auto" and not torch.cuda.is_available():
        return "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {asked!r} was asked for, but torch sees no CUDA device; use --device cpu")
    if several and asked in ("auto", "cuda"):
        return _gpu_of_this_process(torch.cuda.device_count())
    if asked.startswith("cuda:") and int(asked.removeprefix("cuda:")) >= torch.cuda.device_count():
        raise ConfigError(f"device {asked!r} was asked for, but torch sees {torch.cuda.device_count()}, counted from 0")
    if asked == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' was asked for, but torch sees no Apple GPU; use --device cpu")
    return "cuda" if asked == "auto" else asked


def _gpu_of_this_process(count: int) -> str:
    here = neighbours()
    if here.size > count:
        raise ConfigError(
            f"{here.size} processes on this machine want a GPU each, but torch sees {count}; start as many processes "
            f"(--nproc-per-node {count}) or use --device cpu"
        )
    return f"cuda:{here.rank}"
