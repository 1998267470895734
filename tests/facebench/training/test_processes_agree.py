"""What several processes must agree on besides the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import ProcessesFailed, run_processes

SCRIPT = Path(__file__).parents[2] / "helpers" / "agreeing_processes.py"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each of two processes said, and the log of the first."""
    folder = tmp_path_factory.mktemp("agree")
    return [json.loads(text) for text in run_processes(SCRIPT, 2, folder, timeout=200)]


@pytest.mark.slow
def test_they_validate_one_network(told):
    first, second = (one["validated"] for one in told)
    assert len(first) == 2 and first == second


@pytest.mark.slow
def test_what_the_loss_does_not_use_is_not_waited_for(told):
    assert [one["confident"] for one in told] == [True, True]


@pytest.mark.slow
def test_the_first_names_every_unreadable_picture(told):
    assert set(told[0]["named"]) == set(told[0]["holes"]) and told[1]["named"] == []


@pytest.mark.slow
def test_columns_may_be_fewer_than_processes(tmp_path):
    run_processes(SCRIPT, 3, tmp_path, "entropy", timeout=100)


@pytest.mark.slow
def test_classes_may_be_fewer_than_processes(tmp_path):
    run_processes(SCRIPT, 3, tmp_path, "classes", timeout=100)
    assert (tmp_path / "checkpoint.json").is_file()


@pytest.mark.slow
def test_too_few_faces_for_the_processes_are_refused(tmp_path):
    with pytest.raises(ProcessesFailed, match="has 3 faces, too few for 2 processes"):
        run_processes(SCRIPT, 2, tmp_path, "few", timeout=100)
