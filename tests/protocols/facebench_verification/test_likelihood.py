"""The second score of embeddings with confidences, in every kind of verification set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench import Embeddings
from facebench.metrics import fold_accuracy, likelihood_scores, pool_blocks, unit_blocks
from facebench_verification.plugin import facebench_protocols

SPECS = {spec.name: spec for spec in facebench_protocols()}
PARTS, SIZE = 4, 3


def opened(name, **options):
    """A protocol on its demo lists; no picture is drawn."""
    spec = SPECS[name]
    protocol = spec.build(spec.options(**{"samples": 0, "far": (0.1, 0.01), "mirror": "none", **options}))
    return protocol, protocol.faces(None)


def embedded(faces, *, confidence=None, noise=1.2):
    random = np.random.default_rng(3)
    centres = random.normal(size=(int(faces.labels.max()) + 2, PARTS * SIZE))
    vectors = centres[faces.labels] + noise * random.normal(size=(len(faces), PARTS * SIZE))
    sure = random.uniform(2.0, 60.0, (len(faces), PARTS)) if confidence is None else confidence
    keys = np.array(faces.keys, dtype=np.str_)
    vectors = vectors.astype(np.float32)
    return Embeddings(keys=keys, vectors=vectors, mirrored=vectors[::-1], confidence=sure.astype(np.float32))


def named(found, score):
    return {(one.name, one.rule): one for one in found.metrics if one.score == score}


def test_scores_and_metrics_by_hand():
    protocol, faces = opened("lfw", mirror="sum")
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    blocks, variances = unit_blocks(embeddings.vectors, PARTS), 1 / embeddings.confidence.astype(np.float64)
    row = {key: number for number, key in enumerate(embeddings.keys.tolist())}
    scores = []
    for one, other in zip(faces.pairs.first.tolist(), faces.pairs.second.tolist(), strict=True):
        a, b = row[one], row[other]
        spread = variances[a] + variances[b]
        apart = ((blocks[a].astype(np.float64) - blocks[b]) ** 2).reshape(PARTS, SIZE).sum(axis=1)
        scores.append(-0.5 * (apart / spread).sum() - SIZE / 2 * np.log(spread).sum())
    scores, same = np.array(scores), faces.pairs.same
    np.testing.assert_allclose(found.scores["pa"], scores, atol=1e-5)
    told = named(found, "pa")
    wins = scores[same][:, None] > scores[~same]
    assert told["auc", "reference"].value == pytest.approx(wins.mean(), abs=1e-6)
    points = sorted(scores[~same])[::-1]
    strict = told["tar@far=1e-1", "strict"]
    assert strict.value == pytest.approx(np.mean(scores[same] > points[len(points) // 10]), abs=2e-3)
    assert "threshold (pa)" in strict.detail
    assert {one.mirror for one in told.values()} == {"none"}
    spread = scores.max() - scores
    accuracy = fold_accuracy(spread / spread.max() * 4, same, folds=10, rule="strict")
    assert told["accuracy", "strict"].value == pytest.approx(accuracy.mean, abs=1e-12)
    threshold = told["threshold", "strict"]
    assert threshold.value == pytest.approx(scores.max() - accuracy.best_threshold * spread.max() / 4, abs=1e-4)
    assert (threshold.unit, threshold.detail) == ("pa", {})
    assert ("accuracy", "reference") not in told
    assert not any(name.startswith(("val", "xnorm")) for name, _ in told)
    assert found.metrics[0].score == "cosine"
    assert "strict rule only" in found.rules["pa"]


@pytest.mark.parametrize("name", ["lfw", "lfw-view1", "rfw"])
def test_one_confidence_for_all_is_the_cosine_of_blocks(name):
    protocol, faces = opened(name)
    given = embedded(faces, confidence=np.full((len(faces), PARTS), 8.0))
    found = protocol.evaluate(replace(given, vectors=unit_blocks(given.vectors, PARTS)), faces, seed=0)
    cosine, likely = named(found, "cosine"), named(found, "pa")
    assert {("accuracy", "strict"), ("auc", "reference"), ("tar@far=1e-1", "reference")} & set(likely)
    compared = 0
    for (metric, rule), one in likely.items():
        if not metric.startswith(("threshold", "dprime")):
            compared += 1
            assert one.value == pytest.approx(cosine[metric, rule].value, abs=1e-6), metric
    assert compared >= 5
    assert len(found.scores["pa"]) == len(found.scores["score"])


@pytest.mark.parametrize("name", ["lfw", "lfw-view1", "rfw", "ytf"])
def test_nothing_else_changes(name):
    protocol, faces = opened(name, samples=20)
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    assert tuple(one for one in found.metrics if one.score == "cosine") == plain.metrics
    assert (found.curves, found.counts, found.warnings) == (plain.curves, plain.counts, plain.warnings)
    assert set(found.rules) - set(plain.rules) == set(found.scores) - set(plain.scores) == {"pa"}
    assert {one.score for one in found.metrics} == {"cosine", "pa"}
    interval = next(one.interval for one in found.metrics if (one.name[:3], one.score) == ("auc", "pa"))
    assert interval is not None


def test_groups_have_a_mean_and_each_its_own():
    protocol, faces = opened("rfw")
    told = named(protocol.evaluate(embedded(faces), faces, seed=0), "pa")
    groups = [name for name, _ in told if name.startswith("accuracy/") and not name.endswith("-std")]
    values = [told[name, "strict"].value for name in groups]
    assert len(groups) == 4
    assert told["accuracy", "strict"].value == pytest.approx(np.mean(values))
    assert ("accuracy-group-gap", "strict") in told


def test_videos_are_pooled_by_confidence():
    protocol, faces = opened("ytf")
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    videos = np.array([key.rpartition("/")[0] for key in embeddings.keys.tolist()])
    names, numbers = np.unique(videos, return_inverse=True)
    pooled = pool_blocks(embeddings.vectors, embeddings.confidence, numbers)
    first, second = (np.searchsorted(names, side) for side in (faces.pairs.first, faces.pairs.second))
    wanted = likelihood_scores(pooled.vectors, pooled.confidence, first, second)
    np.testing.assert_allclose(found.scores["pa"], wanted, atol=1e-5)
    assert "frames" in found.rules["pa"]


@pytest.mark.parametrize(
    ("confidence", "why"),
    [
        (lambda count: np.ones((count, 5)), "12 dimensions do not part into 5"),
        (lambda count: np.zeros((count, PARTS)), "above 0"),
        (lambda count: -np.ones((count, PARTS)), "above 0"),
        (lambda count: np.ones((count, 0)), "pa is missing"),
    ],
)
@pytest.mark.parametrize("name", ["lfw", "ytf"])
def test_confidences_that_cannot_be_used_are_told(name, confidence, why):
    protocol, faces = opened(name)
    embeddings = embedded(faces, confidence=confidence(len(faces)))
    found = protocol.evaluate(embeddings, faces, seed=0)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    assert found.metrics == plain.metrics
    assert "pa" not in found.scores
    assert "pa" not in found.rules
    (warning,) = set(found.warnings) - set(plain.warnings)
    assert warning.startswith("the score pa is missing: ")
    assert why in warning


def test_a_block_without_direction_is_told():
    protocol, faces = opened("lfw")
    embeddings = embedded(faces)
    embeddings.vectors[0, :SIZE] = 0
    found = protocol.evaluate(embeddings, faces, seed=0)
    assert any("pa is missing: blocks of length 0" in said for said in found.warnings)
