from __future__ import annotations

import click
import pytest
from torch.distributed import TCPStore

from facebench.cli.outspoken import _is_first_to_fail, name_of_this, one_speaks
from facebench.errors import DataError


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("facebench.cli.outspoken._HEAD_START", 0)


@pytest.fixture
def launch(monkeypatch):
    """Makes this process one of several, and then another."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def become(rank, *, attempt=0, size=2):
        _is_first_to_fail.cache_clear()
        for name, value in {
            "RANK": rank,
            "WORLD_SIZE": size,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": store.port,
            "TORCHELASTIC_RESTART_COUNT": attempt,
        }.items():
            monkeypatch.setenv(name, str(value))

    yield become
    _is_first_to_fail.cache_clear()


def fail(error):
    with one_speaks():
        raise error


def silent(error):
    with pytest.raises(SystemExit) as ended:
        fail(error)
    return ended.value.code


def test_alone_everything_is_said(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for error in (DataError("x"), ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
    assert name_of_this() == ""


def test_the_first_that_fails_speaks_and_goes_on_speaking(launch):
    launch(1)
    for _ in range(2):  # inside the joined processes, and around everything
        with pytest.raises(DataError):
            fail(DataError("a picture is damaged"))
    assert name_of_this() == "rank 1: "
    launch(0)
    assert silent(RuntimeError("connection closed by peer")) == 1
    assert name_of_this() == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [(DataError("x"), 2), (click.UsageError("x"), 2), (ZeroDivisionError(), 1), (KeyboardInterrupt(), 1)],
)
def test_the_others_end_as_they_would_have(launch, error, code):
    launch(0)
    with pytest.raises(DataError):
        fail(DataError("x"))
    launch(1)
    assert silent(error) == code


def test_another_attempt_is_another_matter(launch):
    for attempt in (0, 1):
        launch(0, attempt=attempt)
        with pytest.raises(DataError):
            fail(DataError("x"))


def test_without_a_store_everyone_speaks(launch, monkeypatch):
    launch(0)
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(DataError):
        fail(DataError("x"))


def test_an_ordinary_end_is_no_failure(launch):
    launch(0)
    with pytest.raises(SystemExit) as ended, one_speaks():
        raise SystemExit(0)
    assert ended.value.code == 0
    launch(1)
    with pytest.raises(DataError):
        fail(DataError("x"))


def test_variables_that_make_no_sense_are_told_as_an_error(monkeypatch):
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DataError):
        fail(DataError("x"))
    assert name_of_this() == ""
