"""Processes played by threads, for rooms that ask ``facebench.ranks`` who they are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from facebench.ranks import World


class Meeting:
    """A barrier at which nobody who was let through is called back: ``threading.Barrier`` breaks for them as well.

    A process that ends just after a collective operation does not undo that operation for the others.
    """

    def __init__(self, size):
        self._size, self._here, self._round = size, 0, 0
        self._broken, self._changed = False, threading.Condition()

    def wait(self):
        with self._changed:
            current = self._round
            self._here += 1
            if self._here == self._size:
                self._here, self._round = 0, current + 1
                self._changed.notify_all()
            elif not self._changed.wait_for(lambda: self._round > current or self._broken, timeout=20):
                self._broken = True
            if self._round == current:
                raise threading.BrokenBarrierError

    def abort(self):
        with self._changed:
            self._broken = True
            self._changed.notify_all()


class Together:
    """Calls in as many threads as there are to be processes: each has its rank, and all of them end when one does.

    Args:
        monkeypatch: Pytest's.
        room: The module whose ``world``, ``told`` and ``wait`` are played.

    Attributes:
        before_waiting: Called with its rank whenever one comes to ``wait``.
    """

    def __init__(self, monkeypatch, room):
        self._own = threading.local()
        self.before_waiting = lambda rank: None
        for name in ("world", "told", "wait"):
            monkeypatch.setattr(room, name, getattr(self, f"_{name}"))

    def _world(self):
        return World(self._own.rank, self._size)

    def _wait(self):
        self.before_waiting(self._own.rank)
        self._meeting.wait()

    def _told(self, value):
        if self._own.rank == 0:
            self._value = value
        self._meeting.wait()
        heard = self._value
        self._meeting.wait()
        return heard

    def _one(self, rank, call):
        self._own.rank = rank
        try:
            return call(rank)
        except BaseException:
            self._meeting.abort()
            raise

    def __call__(self, size, call):
        """What ``call(rank)`` returned or raised, by rank."""
        self._size, self._meeting = size, Meeting(size)
        with ThreadPoolExecutor(size) as pool:
            futures = [pool.submit(self._one, rank, call) for rank in range(size)]
        return [future.exception() or future.result() for future in futures]
