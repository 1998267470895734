"""The second score of embeddings with confidences: another order of the gallery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench import Embeddings
from facebench.metrics import likelihood_scores, unit_blocks
from facebench_tinyface.options import TinyFaceOptions
from facebench_tinyface.protocol import TinyFace

PARTS, SIZE = 4, 4


@pytest.fixture
def opened():
    """The protocol on its demo lists; no picture is drawn."""
    protocol = TinyFace(TinyFaceOptions(samples=20))
    return protocol, protocol.faces(None)


def embedded(faces):
    random = np.random.default_rng(3)
    centres = random.normal(size=(int(faces.labels.max()) + 2, PARTS * SIZE))
    vectors = (centres[faces.labels] + random.normal(size=(len(faces), PARTS * SIZE))).astype(np.float32)
    vectors[faces.labels < 0] = random.normal(size=((faces.labels < 0).sum(), PARTS * SIZE))
    sure = random.uniform(4.0, 40.0, (len(faces), PARTS)).astype(np.float32)
    return Embeddings(keys=np.array(faces.keys), vectors=vectors, mirrored=vectors, confidence=sure)


def test_places_are_those_of_a_sort_by_the_score(opened):
    protocol, faces = opened
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    probes, gallery = faces.probes, np.concatenate([faces.gallery.keys, faces.distractors])
    owners = np.concatenate([faces.gallery.ids, np.full(len(faces.distractors), -100)])
    blocks, entries = unit_blocks(embeddings.vectors, PARTS), embeddings.rows(gallery)
    for number, row in enumerate(embeddings.rows(probes.keys)[:40]):
        scores = likelihood_scores(blocks, embeddings.confidence, np.full(len(entries), row), entries)
        places = np.flatnonzero(owners[np.argsort(-scores, kind="stable")] == probes.ids[number])
        assert found.scores["pa_place"][number] == places[0]
    told = {(one.name, one.rule): one for one in found.metrics if one.score == "pa"}
    assert told["rank-1", "reference"].value == pytest.approx(np.mean(found.scores["pa_place"] == 0))
    assert told["map", "reference"].value == pytest.approx(found.scores["pa_average_precision"].mean())
    assert {one.mirror for one in told.values()} == {"none"}
    assert told["rank-1", "reference"].interval is not None
    assert not np.array_equal(found.scores["pa_place"], found.scores["place"])
    assert "uncertainty-guided" in found.rules["pa"]


def test_nothing_else_changes(opened):
    protocol, faces = opened
    embeddings = embedded(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    assert tuple(one for one in found.metrics if one.score == "cosine") == plain.metrics
    assert len(found.metrics) == 2 * len(plain.metrics)
    assert (found.curves, found.counts, found.warnings) == (plain.curves, plain.counts, plain.warnings)


def test_confidences_that_cannot_be_used_are_told(opened):
    protocol, faces = opened
    embeddings = embedded(faces)
    plain = protocol.evaluate(replace(embeddings, confidence=None), faces, seed=0)
    lost = embeddings.vectors.copy()
    lost[0, :SIZE] = 0
    for changes, why in (
        ({"confidence": np.ones((len(faces), 5), dtype=np.float32)}, "16 dimensions do not part into 5"),
        ({"confidence": -embeddings.confidence}, "above 0"),
        ({"confidence": embeddings.confidence[:, :0]}, "pa is missing"),
        ({"vectors": lost}, "no direction"),
    ):
        found = protocol.evaluate(replace(embeddings, **changes), faces, seed=0)
        (warning,) = set(found.warnings) - set(plain.warnings)
        assert why in warning
        assert {one.score for one in found.metrics} == {"cosine"}
        assert set(found.scores) == set(plain.scores)
