"""One process or many: who this one is, and how the others hear of something.

Facebench never starts processes. When ``torchrun`` has started several, each of them ``joined`` the others; everywhere
else ``world()`` says rank 0 of 1 and every function here does nothing. Rules for code that may run in many processes:
all of them take the same decisions in the same order; only the first one writes, except into files of its own; whatever
a decision depends on that only the first may look at is ``told`` to the others.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from facebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

# Others may wait while the first process evaluates a large protocol between two epochs.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class World:
    """The processes that work together.

    Attributes:
        rank: Of this one, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


_ALONE = World()


def world() -> World:
    """The processes that have joined; one alone unless ``joined`` is in force."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return _ALONE
    return World(distributed.get_rank(), distributed.get_world_size())


def launched() -> World:
    """What the launcher says of this process, before anything is joined.

    Raises:
        ConfigError: When the launcher's variables make no sense.
    """
    return _told_by_launcher("RANK", "WORLD_SIZE")


def neighbours() -> World:
    """The processes on this machine alone; the rank among them is the number of the GPU that a process takes.

    Raises:
        ConfigError: When the launcher's variables make no sense.
    """
    return _told_by_launcher("LOCAL_RANK", "LOCAL_WORLD_SIZE")


def _told_by_launcher(rank: str, size: str) -> World:
    told = os.environ.get(rank, "0"), os.environ.get(size, "1")
    try:
        found = World(*map(int, told))
    except ValueError:
        found = World(-1, 0)
    if not 0 <= found.rank < found.size:
        raise ConfigError(
            f"{rank}={told[0]} and {size}={told[1]} do not fit together; start several processes with: "
            "torchrun --nproc-per-node N -m facebench ..."
        )
    return found


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Joins the processes that a launcher started; does nothing when there is only this one.

    Args:
        device: Where this process computes; CUDA devices talk through NCCL, all else through gloo.
    """
    if launched().size == 1 or world().size > 1:
        yield world()
        return
    import torch
    from torch import distributed

    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(torch.device(device))
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield world()
        # All leave together: a process that hangs up while others still talk to it may bring itself down.
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Returns when all processes have come here."""
    if world().size > 1:
        from torch import distributed

        distributed.barrier()


def united(lines: list[str]) -> list[str]:
    """The lines of all processes, each once, those of the first process first."""
    if world().size == 1:
        return lines
    from torch import distributed

    found: list[list[str]] = [[] for _ in range(world().size)]
    distributed.all_gather_object(found, lines)
    return list(dict.fromkeys(line for some in found for line in some))


def told(value: T) -> T:
    """The first process's value, in all of them.

    Args:
        value: Plain values; what other processes pass is ignored.
    """
    if world().size == 1:
        return value
    from torch import distributed

    message: list[Any] = [value]
    distributed.broadcast_object_list(message, src=0)
    found: T = message[0]
    return found
