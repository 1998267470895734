"""The second score of embeddings with confidences, of pairs of templates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench import Embeddings
from facebench_ijb.plugin import facebench_protocols

SPECS = {spec.name: spec for spec in facebench_protocols()}
PARTS, SIZE = 4, 6


def demo(**changes):
    """IJB-C on its demo lists; no picture is drawn."""
    spec = SPECS["ijbc"]
    protocol = spec.build(spec.options(**{"samples": 0, **changes}))
    return protocol, protocol.faces(None)


def embedded(faces):
    random = np.random.default_rng(0)
    centres = random.normal(size=(int(faces.labels.max()) + 1, PARTS * SIZE))
    vectors = (centres[faces.labels] + 1.5 * random.normal(size=(len(faces), PARTS * SIZE))).astype(np.float32)
    sure = random.uniform(2.0, 60.0, (len(faces), PARTS)).astype(np.float32)
    return Embeddings(keys=np.array(faces.keys), vectors=vectors, mirrored=vectors[::-1], confidence=sure)


def template_by_hand(embeddings, rows, how):
    vectors, sure = embeddings.vectors[rows].astype(np.float64), embeddings.confidence[rows].astype(np.float64)
    means, variances = [], []
    for k in range(PARTS):
        part = vectors[:, k * SIZE : (k + 1) * SIZE]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        mean = part.T @ (sure[:, k] if how == "precision" else np.ones(len(rows)))
        means.append(mean / np.linalg.norm(mean))
        variances.append((1 / sure[:, k]).min() if how == "precision" else (1 / sure[:, k]).mean())
    return np.array(means), np.array(variances)


@pytest.mark.parametrize("how", ["precision", "mean"])
def test_scores_by_hand(how):
    protocol, faces = demo(pa_templates=how)
    embeddings, lists = embedded(faces), faces.lists
    found = protocol.evaluate(embeddings, faces, seed=0)
    place = embeddings.rows(lists.rows.keys)[lists.rows.face]
    for number in range(0, len(lists.pairs.same), len(lists.pairs.same) // 50):
        sides = [
            template_by_hand(embeddings, place[lists.rows.template == side[number]], how)
            for side in (lists.pairs.first, lists.pairs.second)
        ]
        spread = sides[0][1] + sides[1][1]
        apart = ((sides[0][0] - sides[1][0]) ** 2).sum(axis=1)
        wanted = -0.5 * (apart / spread).sum() - SIZE / 2 * np.log(spread).sum()
        assert found.scores["pa"][number] == pytest.approx(wanted, abs=1e-4)
    told = {(one.name, one.rule): one for one in found.metrics if one.score == "pa"}
    for rule in ("reference", "strict"):
        assert ("tar@far=1e-2", rule) in told
    scores, same = found.scores["pa"], found.scores["same"]
    wins = np.searchsorted(np.sort(scores[~same]), scores[same]).sum() / (same.sum() * (~same).sum())
    assert told["auc", "reference"].value == pytest.approx(wins, abs=1e-6)
    assert "threshold (pa)" in told["eer", "interpolation"].detail
    assert {one.mirror for one in told.values()} == {"none"}
    assert ("weighted by confidence" in found.rules["pa"]) == (how == "precision")


def test_nothing_else_changes():
    protocol, faces = demo(samples=20)
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    assert tuple(one for one in found.metrics if one.score == "cosine") == plain.metrics
    assert (found.curves, found.counts, found.warnings) == (plain.curves, plain.counts, plain.warnings)
    assert set(found.rules) - set(plain.rules) == set(found.scores) - set(plain.scores) == {"pa"}
    assert not any(one.name.startswith(("rank", "tpir")) for one in found.metrics if one.score == "pa")
    intervals = [one.interval for one in found.metrics if one.score == "pa" and one.value is not None]
    assert any(interval is not None for interval in intervals)


def test_confidences_that_cannot_be_used_are_told():
    protocol, faces = demo()
    embeddings = embedded(faces)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    lost = embeddings.vectors.copy()
    lost[0, :SIZE] = 0
    for changes, why in (
        ({"confidence": np.ones((len(faces), 5), dtype=np.float32)}, "24 dimensions do not part into 5"),
        ({"confidence": 0 * embeddings.confidence}, "above 0"),
        ({"vectors": lost}, "no direction"),
    ):
        found = protocol.evaluate(replace(embeddings, **changes), faces, seed=0)
        assert any(said.startswith("the score pa is missing: ") and why in said for said in found.warnings)
        assert [one.name for one in found.metrics] == [one.name for one in plain.metrics]
        assert "pa" not in found.scores
