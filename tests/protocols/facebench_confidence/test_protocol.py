from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from facebench import DataError, Embeddings, MetricError
from facebench.cli import cli
from facebench.testing import check_protocol, toy_faces
from facebench_confidence.plugin import facebench_protocols

SPEC = next(iter(facebench_protocols()))
NAMES = [
    ("spearman-blur", "reference"),
    ("spearman-occlusion", "reference"),
    ("spearman-blur-means", "reference"),
    ("spearman-occlusion-means", "reference"),
    ("spearman-blur", "within-face"),
    ("spearman-occlusion", "within-face"),
    ("confidence-spread", "reference"),
    ("block-correlation", "reference"),
    ("block-correlation-values", "reference"),
]


def found(evaluation):
    return {(metric.name, metric.rule): metric for metric in evaluation.metrics}


def test_it_keeps_its_contract():
    check_protocol(SPEC, ranks=False, confidence=4)


def test_the_numbers_are_those_of_the_keys(kit):
    """From the keys alone, by scipy, with nothing of the protocol's own."""
    faces = kit.protocol().faces(None)
    given = kit.embeddings(faces, kit.falling(faces))
    evaluation = kit.protocol().evaluate(given, faces, seed=0)
    measured = found(evaluation)
    assert list(measured) == NAMES
    logs = np.log(given.confidence.astype(np.float64)).mean(axis=1)
    kinds, levels = [], []
    for key in given.keys.tolist():
        kind, _, level = key.split("/")[0].partition("-")
        kinds.append(kind)
        levels.append(float(level or 0))
    for ladder in ("blur", "occlusion"):
        rows = np.isin(kinds, ["clean", ladder])
        own = np.array(levels)[rows]
        wanted = stats.spearmanr(own, logs[rows]).statistic
        assert measured[f"spearman-{ladder}", "reference"].value == pytest.approx(wanted, abs=1e-12)
        means = [logs[rows][own == level].mean() for level in np.unique(own)]
        wanted = stats.spearmanr(np.unique(own), means).statistic
        assert measured[f"spearman-{ladder}-means", "reference"].value == pytest.approx(wanted, abs=1e-12)
        faced = np.array([key.partition("/")[2] for key in given.keys.tolist()])[rows]
        each = [stats.spearmanr(own[faced == face], logs[rows][faced == face]).statistic for face in np.unique(faced)]
        assert measured[f"spearman-{ladder}", "within-face"].value == pytest.approx(np.mean(each), abs=1e-12)
    assert measured["confidence-spread", "reference"].value == pytest.approx(logs.std(), abs=1e-12)


def test_confidences_that_fall_reach_the_best_value(kit):
    faces = kit.protocol().faces(None)
    levels = np.tile([rung.level for rung in faces.rungs], len(faces.source))
    measured = found(kit.protocol().evaluate(kit.embeddings(faces, np.exp(-levels)[:, None]), faces, seed=0))
    for name, rule in NAMES[:6]:
        metric = measured[name, rule]
        assert metric.value == pytest.approx(-1.0, abs=1e-12)
        assert metric.higher_is_better is False
    absent = measured["block-correlation", "reference"]
    assert absent.value is None
    assert "one confidence for the whole vector" in absent.reason


def test_confidences_that_know_nothing_stay_near_zero(kit):
    faces = kit.protocol(faces=200).faces(None)
    random = np.random.default_rng(0).lognormal(size=(len(faces), 4))
    measured = found(kit.protocol(faces=200, samples=200).evaluate(kit.embeddings(faces, random), faces, seed=0))
    metric = measured["spearman-blur", "reference"]
    assert abs(metric.value) < 0.1
    assert metric.interval.low < 0 < metric.interval.high


def test_a_factor_on_all_confidences_is_no_matter(kit):
    faces = kit.protocol().faces(None)
    given = kit.falling(faces)
    one, two = (kit.protocol().evaluate(kit.embeddings(faces, part), faces, seed=0) for part in (given, 100 * given))
    assert [m.value for m in one.metrics] == pytest.approx([m.value for m in two.metrics], abs=1e-6)


def test_intervals_draw_people(kit):
    faces = kit.protocol(faces=120).faces(None)
    evaluation = kit.protocol(faces=120, samples=400).evaluate(
        kit.embeddings(faces, kit.falling(faces, noise=2.0)), faces, seed=0
    )
    for metric in evaluation.metrics[:2]:
        interval = metric.interval
        assert interval.low < metric.value < interval.high
        assert (interval.method, interval.samples) == ("bootstrap over people, percentile", 400)
    assert evaluation.counts["people"] < evaluation.counts["faces"] == 120


def test_unknown_people_are_told(kit, root):
    protocol = kit.protocol(images="flat", samples=50)
    (root / "flat").mkdir()
    for place, path in enumerate(sorted((root / "mine").rglob("*.png"))):
        path.rename(root / "flat" / f"{place}.png")
    faces = protocol.faces(root)
    faces.source.labels = np.full(len(faces.source), -1)
    evaluation = protocol.evaluate(kit.embeddings(faces, kit.falling(faces)), faces, seed=0)
    assert evaluation.counts["people"] == 12
    assert "does not say who is shown" in evaluation.warnings[0]
    assert "people unknown" in evaluation.metrics[0].interval.method


def test_figures_and_scores(kit):
    faces = kit.protocol().faces(None)
    evaluation = kit.protocol().evaluate(kit.embeddings(faces, kit.falling(faces)), faces, seed=0)
    curves = {curve.name: curve for curve in evaluation.curves}
    assert list(curves) == ["confidence-blur", "confidence-occlusion", "confidences", "block-correlation"]
    assert curves["confidence-blur"].series[0].x == (0, 1, 2, 3, 4.5, 6, 8)
    assert [series.name for series in curves["confidences"].series] == ["clean", "blurred", "occluded"]
    assert [len(series.x) for series in curves["block-correlation"].series] == [3] * 4
    scores = evaluation.scores
    assert {len(column) for column in scores.values()} == {len(faces)}
    names = [
        f"{kind}-{level:g}" if level else kind for kind, level in zip(scores["kind"], scores["level"], strict=True)
    ]
    assert [f"{name}/{face}" for name, face in zip(names, scores["face"], strict=True)] == faces.keys


def test_equal_confidences_have_no_correlation(kit):
    faces = kit.protocol().faces(None)
    evaluation = kit.protocol(samples=10).evaluate(kit.embeddings(faces, np.ones((len(faces), 4))), faces, seed=0)
    for metric in evaluation.metrics[:6]:
        assert (metric.value, metric.reason) == (None, "all confidences are equal")
    assert found(evaluation)["confidence-spread", "reference"].value == 0
    assert "all confidences are equal" in evaluation.warnings[0]


def test_without_confidences_it_says_what_to_do(kit):
    faces = kit.protocol().faces(None)
    with pytest.raises(MetricError, match=r"methods that predict them, such as 'url'.*'confidence', \(N, K\)"):
        kit.protocol().evaluate(kit.embeddings(faces, None), faces, seed=0)


def test_what_is_no_inverse_variance_is_refused(kit):
    faces = kit.protocol().faces(None)
    given = kit.falling(faces)
    given[5, 1] = -2
    with pytest.raises(MetricError, match=rf"found -2 for '{faces.keys[5]}' \(1 of 288 pictures\)"):
        kit.protocol().evaluate(kit.embeddings(faces, given), faces, seed=0)


def test_other_faces_and_missing_embeddings(kit):
    faces = kit.protocol().faces(None)
    given = kit.embeddings(faces, kit.falling(faces))
    with pytest.raises(TypeError, match="expected the faces of this protocol"):
        kit.protocol().evaluate(given, toy_faces(), seed=0)
    fewer = Embeddings(keys=given.keys[1:], vectors=given.vectors[1:], confidence=given.confidence[1:])
    with pytest.raises(DataError, match="no embedding for"):
        kit.protocol().evaluate(fewer, faces, seed=0)


def test_embeddings_on_disk(kit, tmp_path):
    faces = kit.protocol().faces(None)
    kit.embeddings(faces, kit.falling(faces)).save(tmp_path / "embeddings.npz")
    words = ["evaluate", str(tmp_path / "embeddings.npz"), "--protocol", "confidence", "--set", "faces=24", "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    metrics = json.loads(done.stdout)[0]["metrics"]
    assert [metric["name"] for metric in metrics] == [name for name, _ in NAMES]
    assert metrics[0]["value"] < -0.3
