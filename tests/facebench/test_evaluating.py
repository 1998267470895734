from __future__ import annotations

import numpy as np
import pytest

from facebench import MetricError
from facebench.evaluating import evaluate_scores, keep
from facebench.metrics import auc, tar_at_far
from facebench.scorefiles import PairScores, find_scores


def pairs(people=40, *, subjects=True):
    random = np.random.default_rng(0)
    first, second = np.triu_indices(people, k=1)
    who, other = (
        np.concatenate([np.arange(people).repeat(3), first]),
        np.concatenate([np.arange(people).repeat(3), second]),
    )
    score = random.normal(2.0 * (who == other), 1)
    return PairScores(score, who == other, (who.astype(str), other.astype(str)) if subjects else None)


def test_the_figures_are_those_of_the_metrics():
    given = pairs()
    result = evaluate_scores(given, "mine.csv", far=(1e-2,), samples=50).result
    assert result.metric("auc").value == auc(given.genuine, given.impostor)
    for rule in ("reference", "strict"):
        metric = result.metric("tar@far=1e-2", rule=rule)
        assert metric.value == tar_at_far(given.genuine, given.impostor, target=1e-2, rule=rule).tar
        assert metric.interval is not None
        assert "subject bootstrap" in metric.interval.method
    assert result.data.counts == {"pairs": 900, "genuine": 120, "impostor": 780}
    assert (result.protocol, result.subject.plugin, result.subject.model) == ("scores", "scores", "mine.csv")
    assert not result.warnings
    assert all(metric.score == "given" for metric in result.metrics)


def test_without_subjects_it_says_so():
    result = evaluate_scores(pairs(subjects=False), "mine.csv", samples=20).result
    assert any("do not say who" in said for said in result.warnings)


def test_what_impostors_do_not_resolve_has_a_reason():
    metric = evaluate_scores(pairs(), "x", far=(1e-5,), samples=0).result.metric("tar@far=1e-5")
    assert metric.value is None
    assert "780 impostor pairs" in (metric.reason or "")
    assert metric.interval is None


def test_perfect_scores_have_no_dprime_but_all_else():
    given = pairs()
    result = evaluate_scores(PairScores(given.same.astype(float), given.same), "x", samples=0).result
    assert result.metric("dprime").value is None
    assert result.metric("auc").value == 1.0


def test_one_class_only():
    with pytest.raises(MetricError, match="both genuine and impostor"):
        evaluate_scores(PairScores(np.ones(3), np.ones(3, dtype=bool)), "x")


def test_what_is_kept_is_found_again(tmp_path):
    given = pairs()
    evaluated = evaluate_scores(given, "mine.csv", samples=20, seed=3)
    folder = keep(evaluated, tmp_path / "runs")
    assert {file.name for file in (folder / "results").iterdir()} == {"scores.json", "scores.scores.npz"}
    assert (folder / "figures" / "scores-roc.png").is_file()
    assert "seed = 3" in (folder / "config.toml").read_text()
    found = find_scores(folder)
    assert found.result is not None
    assert found.result.provenance.run == folder.name
    assert found.pairs().score.tolist() == given.score.tolist()
    assert found.pairs().fingerprint == given.fingerprint
    assert keep(evaluated, tmp_path / "runs") == folder


def test_the_seed_decides_the_intervals():
    one, again, other = (evaluate_scores(pairs(), "x", samples=50, seed=seed).result.metrics for seed in (0, 0, 1))
    assert one == again
    assert one != other
