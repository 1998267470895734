from __future__ import annotations

import json

import numpy as np
import pytest

from facebench.scorefiles import read_pairs
from facebench.thresholds import choose


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.csv"
    values = np.random.default_rng(0).normal(2 * (np.arange(1000) % 2), 1)
    path.write_text("score,same\n" + "\n".join(f"{value!r},{row % 2}" for row, value in enumerate(values.tolist())))
    return path


def test_json_is_what_python_finds(call, scores):
    said = call("threshold", scores, "--fmr", "0.1", "--fmr", "0.01", "--json")
    document = json.loads(said.out)
    expected = choose(read_pairs(scores), targets=[0.1, 0.01])
    assert [one["threshold"] for one in document["thresholds"]] == [one.value for one in expected]
    first = document["thresholds"][0]
    assert first["target_fmr"] == 0.1
    assert first["fmr"]["trials"] == 500
    assert first["fnmr"]["interval"]["low"] <= first["fnmr"]["value"] <= first["fnmr"]["interval"]["high"]
    assert document["method"] == "scores.csv"
    assert document["data"] is None


def test_words(call, scores):
    said = call("threshold", scores, "--fmr", "0.1")
    assert said.code == 0
    value = choose(read_pairs(scores), targets=[0.1])[0].value
    assert f"FMR 0.1: accept at a score of {value!r} or more" in said.out
    assert "50 of 500 impostor comparisons" in said.out
    assert "warning: the scores do not say who is compared" in said.out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--fmr", "1e-3"], "500 impostor comparisons cannot tell FMR 0.001: it takes at least 1,000"),
        (["--fmr", "0"], "a false match rate lies between 0 and 1; found 0"),
        ([], "--fmr"),
    ],
)
def test_what_a_user_can_mend(call, scores, arguments, error):
    said = call("threshold", scores, *arguments)
    assert (said.code, said.out) == (2, "")
    assert error in said.err


def test_a_place_that_is_not_there(call):
    said = call("threshold", "nowhere", "--fmr", "0.1")
    assert said.code == 2
    assert said.err == "facebench: no scores at nowhere: there is no such file or folder\n"
