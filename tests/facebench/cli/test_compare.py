from __future__ import annotations

import json

import numpy as np
import pytest

from facebench.comparing import compare
from facebench.scorefiles import find_scores


def write(path, noise, seed, *, rows=1000):
    hard = np.random.default_rng(0).normal(0, 0.2, rows)
    same = np.arange(rows) % 2
    scores = same + hard + np.random.default_rng(seed).normal(0, noise, rows)
    lines = [
        f"{score!r},{truth},a{row},b{row}" for row, (score, truth) in enumerate(zip(scores.tolist(), same, strict=True))
    ]
    path.write_text("score,same,first,second\n" + "\n".join(lines))
    return path


@pytest.fixture
def methods(tmp_path):
    return [
        write(tmp_path / f"{name}.csv", noise, seed)
        for seed, (name, noise) in enumerate([("good", 0.1), ("bad", 0.6), ("worse", 0.9)])
    ]


def test_two_methods_in_words(call, methods):
    said = call("compare", *methods[:2], "--samples", "200")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "scores: 2 methods"
    assert "  A  good.csv" in lines
    auc = next(line for line in lines if line.strip().startswith("auc"))
    assert auc.split()[-1] == "A"
    assert "McNemar p =" in said.out
    assert "Holm" not in said.out


def test_how_intervals_were_made_is_said_once(call, methods):
    said = call("compare", *methods, "--samples", "50")
    assert said.out.count("intervals: paired pair bootstrap, percentile (identities unknown);") == 1
    assert "warning: the scores do not say who is compared" in said.out


def test_json_is_what_python_finds(call, methods):
    said = call("compare", *methods, "--samples", "100", "--far", "0.05", "--json")
    document = json.loads(said.out)
    expected = compare([find_scores(path) for path in methods], far=(0.05,), samples=100)
    assert document["methods"] == ["good.csv", "bad.csv", "worse.csv"]
    assert len(document["pairings"]) == 3
    for told, one in zip(document["pairings"], expected.pairings, strict=True):
        assert [(gap["name"], gap["value"], gap["corrected"]) for gap in told["differences"]] == [
            (gap.name, gap.value, gap.corrected) for gap in one.gaps
        ]
        assert told["decisions"]["only_first"] == one.decisions.only_first
        assert told["differences"][0]["verdict"] in ("first", "second", "undecided")


def test_three_methods_show_the_correction(call, methods):
    assert "Holm" in call("compare", *methods, "--samples", "50").out


def test_other_comparisons_are_refused(call, methods, tmp_path):
    said = call("compare", methods[0], write(tmp_path / "short.csv", 0.1, 3, rows=998))
    assert (said.code, said.out) == (2, "")
    assert "good.csv and short.csv were not measured on the same comparisons: 1,000 and 998 of them" in said.err
    assert said.err.count("\n") == 1


def test_one_method_is_refused(call, methods):
    said = call("compare", methods[0])
    assert said.code == 2
    assert "at least two methods" in said.err
