"""Who speaks when several processes fail: the first that does; for what follows in the others is its echo."""

from __future__ import annotations

import functools
import os
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from facebench.errors import FacebenchError
from facebench.ranks import World, launched

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = timedelta(seconds=5)
# What all processes find at once is best said by the first, without a rank before it; nothing depends on this.
_HEAD_START = 1.0


@contextmanager
def one_speaks() -> Iterator[None]:
    """Lets an error out of the first process that has one, and ends the others without a word.

    A misspelt option is found by all processes at once; a damaged picture by one, whose end then breaks the connections
    of the others. Does nothing where this process was started alone. It must lie inside ``together``, so that a process
    says that it has failed before it hangs up, and around everything, for what goes wrong before.

    Raises:
        SystemExit: In the place of the error, in processes that have nothing to add.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if _launched().size > 1 and not _is_first_to_fail():
            raise SystemExit(2 if isinstance(error, FacebenchError | click.UsageError) else 1) from None
        raise


def name_of_this() -> str:
    """What goes before an error: who says it, unless that is the only process or the first."""
    here = _launched()
    return "" if here.first else f"rank {here.rank}: "


def _launched() -> World:
    try:
        return launched()
    except FacebenchError:  # told by whoever needs to know
        return World()


@functools.cache
def _is_first_to_fail() -> bool:
    """Asks the launcher's store, which outlives every process; without an answer everyone speaks."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    attempt = [os.environ.get(f"TORCHELASTIC_{name}", "") for name in ("RUN_ID", "RESTART_COUNT")]
    if not launched().first:
        time.sleep(_HEAD_START)
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=_PATIENCE, wait_for_workers=False)
        return store.add("/".join(["facebench-failed", *attempt]), 1) == 1
    except (KeyError, ValueError, RuntimeError):
        return True
