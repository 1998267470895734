from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import run_processes

from facebench.metrics import sweep, tiles
from facebench.metrics.separability import Neighbours, neighbours

TAUS = [0.3, 0.6]


class Memory:
    """Keeps the state, and may be interrupted just before or just after it has."""

    def __init__(self, saves=1000, *, late=True):
        self.state, self.left, self.late = None, saves, late

    def load(self):
        return self.state

    def save(self, state):
        self.left -= 1
        if self.left or self.late:
            self.state = {name: np.array(value) for name, value in state.items()}
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture
def some():
    draw = np.random.default_rng(0)
    return (draw.standard_normal((20, 8))[draw.integers(0, 20, 100)] + draw.standard_normal((100, 8))).astype(
        np.float32
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setitem(tiles._SIDE, "cpu", 16)
    monkeypatch.setattr(sweep, "_PAUSE", 0)


def assert_same(first, second):
    for field in fields(Neighbours):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("saves", [1, 3, 7])
def test_an_interrupted_pass_goes_on_to_the_bit(monkeypatch, some, saves, late):
    whole = neighbours(some, TAUS)
    memory = Memory(saves, late=late)
    with pytest.raises(KeyboardInterrupt):
        neighbours(some, TAUS, keep=memory)
    begun = []
    original = sweep.Sweep._pass
    monkeypatch.setattr(sweep.Sweep, "_pass", lambda self, columns: begun.append(columns) or original(self, columns))
    memory.left = 1000
    assert_same(neighbours(some, TAUS, keep=memory), whole)
    done = saves if late else saves - 1
    assert [columns.start for columns in begun] == list(range(16 * done, 100, 16))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 40))
def test_a_pass_goes_on_in_blocks_of_another_size(first, saves, second):
    draw = np.random.default_rng(1)
    some = draw.integers(-1, 2, (50, 4)) + 0.25
    whole = neighbours(some, TAUS)
    memory = Memory(saves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiles._SIDE, "cpu", first)
        try:
            neighbours(some, TAUS, keep=memory)
        except KeyboardInterrupt:
            pass
        patch.setitem(tiles._SIDE, "cpu", second)
        memory.left = 1000
        assert_same(neighbours(some, TAUS, keep=memory, screen="bfloat16"), whole)


def test_a_finished_pass_is_not_made_again(monkeypatch, some):
    memory = Memory()
    whole = neighbours(some, TAUS, keep=memory)
    monkeypatch.delattr(sweep.Sweep, "_pass")
    assert_same(neighbours(some, TAUS, keep=memory), whole)


def test_the_state_of_other_work_is_not_used(some):
    memory = Memory(3)
    with pytest.raises(KeyboardInterrupt):
        neighbours(some, TAUS, keep=memory)
    for vectors, taus in ((some[::-1], TAUS), (some, [0.3]), (some[:64], TAUS), (some, [0.3, 0.5])):
        other = Memory()
        other.state = memory.state
        assert_same(neighbours(vectors, taus, keep=other), neighbours(vectors, taus))
    other.state = {"anything": np.zeros(3)}
    assert_same(neighbours(some, TAUS, keep=other), neighbours(some, TAUS))


def test_the_state_is_kept_now_and_then(monkeypatch, some):
    now = iter(range(1000))
    monkeypatch.setattr(sweep.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(sweep, "_PAUSE", 3)
    memory = Memory()
    neighbours(some, TAUS, keep=memory)
    assert 1000 - memory.left == 2  # of seven blocks: at the third and the sixth look at the clock, about


SCRIPT = """
import sys
from dataclasses import fields
import numpy as np
import torch
from facebench.metrics import sweep, tiles
from facebench.metrics.separability import Neighbours, neighbours
from facebench.ranks import joined, world

torch.set_num_threads(1)
tiles._SIDE["cpu"], sweep._PAUSE = 16, 0

class Memory:
    state, left, loads = None, 1000, 0

    def load(self):
        self.loads += 1
        return self.state

    def save(self, state):
        if not self.left:
            return
        self.left -= 1
        self.state = {name: np.array(value) for name, value in state.items()}

def check(found, whole, what):
    for field in fields(Neighbours):
        assert np.array_equal(getattr(found, field.name), getattr(whole, field.name), equal_nan=True), (what, field.name)

draw = np.random.default_rng(0)
cases = {
    "crowd": draw.standard_normal((20, 8))[draw.integers(0, 20, 300)] + draw.standard_normal((300, 8)),
    "ties": draw.integers(-1, 2, (100, 3)) + 0.25,
    "one": np.ones((1, 2)),
    "block": draw.standard_normal((16, 4)),
}
taus = [0.0, 0.3, 0.6]
whole = {name: neighbours(some, taus) for name, some in cases.items()}
begun = Memory()
begun.left = 4
neighbours(cases["crowd"], taus, keep=begun)
assert begun.state["done"] == 64
with joined("cpu") as here:
    for name, some in cases.items():
        check(neighbours(some, taus), whole[name], name)
        check(neighbours(some, taus, screen="bfloat16"), whole[name], name)
    # What one process began, several finish; only the first is asked and told.
    memory = Memory()
    memory.left = 3
    memory.state = begun.state if here.first else {"nobody": "reads this"}
    check(neighbours(cases["crowd"], taus, keep=memory), whole["crowd"], "continued")
    assert memory.loads == here.first
    assert not here.first or memory.state["done"] == 64 + 3 * 16
    check(neighbours(cases["crowd"], taus, keep=memory), whole["crowd"], "continued again")
    assert neighbours(cases["crowd"], []).strict(0.5) == whole["crowd"].strict(0.5)
# And what several have saved, one finishes.
if memory.loads:
    check(neighbours(cases["crowd"], taus, keep=memory), whole["crowd"], "alone again")
print("same", here.rank)
"""


def test_several_processes_find_what_one_finds():
    assert run_processes(SCRIPT, 2) == ["same 0\n", "same 1\n"]
