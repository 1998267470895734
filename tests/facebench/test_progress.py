from __future__ import annotations

import io
import time
from contextlib import redirect_stderr

import pytest

from facebench.progress import Bars


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal():
    """Standard error as people have it; what was shown can be read from it."""
    return redirect_stderr(Terminal())


def test_a_terminal_sees_a_bar_with_its_values():
    with on_terminal() as terminal, Bars().bar(10, "embedding", unit="face", start=4) as bar:
        time.sleep(0.15)  # bars redraw ten times a second at most
        bar.advance(5, loss=0.123456789, rate="fast")
    shown = terminal.getvalue()
    assert "embedding" in shown
    assert "4/10" in shown and "9/10" in shown
    assert "loss=0.1235" in shown and "rate=fast" in shown


def test_a_bar_clears_itself_when_it_ends():
    with on_terminal() as terminal, Bars().bar(2, "work") as bar:
        bar.advance(2)
    assert terminal.getvalue().rstrip(" ").endswith("\r")


def test_a_bar_is_closed_when_the_work_fails():
    with on_terminal() as terminal, pytest.raises(ZeroDivisionError), Bars().bar(2, "work"):
        raise ZeroDivisionError
    assert terminal.getvalue().rstrip(" ").endswith("\r")


def test_quiet_means_quiet():
    with on_terminal() as terminal, Bars(quiet=True).bar(2, "work") as bar:
        bar.advance(2, loss=1.0)
    assert terminal.getvalue() == ""


def test_files_and_pipes_see_no_bars(capsys):
    with Bars().bar(2, "work") as bar:
        bar.advance(2, loss=1.0)
    assert capsys.readouterr() == ("", "")


def test_nobody_has_to_ask_whether_there_is_a_bar():
    with on_terminal(), Bars().bar(1, "work") as loud, Bars(quiet=True).bar(1, "work") as silent:
        assert loud.advance() is silent.advance() is None
