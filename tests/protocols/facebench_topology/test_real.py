"""Real data: a published network on LFW."""

from __future__ import annotations

import numpy as np
import pytest

from facebench import Embeddings
from facebench.metrics.discrepancy import discrepancy

pytestmark = pytest.mark.data

OPTIONS = {"sizes": (128,), "count": 10, "limit": 600}


@pytest.fixture(scope="module")
def lfw(kit, real_data):
    """600 faces of LFW, and MobileFaceNet's embeddings of them."""
    faces = kit.protocol(**OPTIONS).faces(real_data)
    every = Embeddings.load(real_data / "embeddings" / "lfw_mobilefacenet_arcface_ms1m.npz")
    return faces, every.vectors[every.rows(faces.keys)]


def evaluated(kit, faces, vectors):
    found = kit.protocol(**OPTIONS).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
    return found, {(one.name, one.rule): one.value for one in found.metrics}


def test_a_recogniser_has_not_the_structure_of_the_pictures(kit, lfw):
    faces, vectors = lfw
    found, values = evaluated(kit, faces, vectors)
    assert values["discrepancy@128", "reference"] > 100
    assert values["shared-edges@128", "reference"] < 0.05
    assert abs(values["distance-correlation@128", "spearman"]) < 0.2
    assert found.warnings == ()


def test_shrunk_to_the_best_multiplier_it_looks_aligned_and_is_found_out(kit, lfw):
    faces, vectors = lfw
    _, before = evaluated(kit, faces, vectors)
    found, after = evaluated(kit, faces, vectors * before["best-multiplier@128", "least-squares"])
    assert after["discrepancy@128", "reference"] < 1e-3
    assert after["shared-edges@128", "reference"] == before["shared-edges@128", "reference"]
    assert any("not because they keep structure" in text for text in found.warnings)


def test_batches_are_those_of_the_definition(kit, lfw):
    faces, vectors = lfw
    found, _ = evaluated(kit, faces, vectors)
    pixels = np.stack([faces[row].image for row in range(len(faces))])
    random = np.random.default_rng((0, 128))
    for batch in range(3):
        chosen = np.sort(random.choice(len(faces), 128, replace=False))
        wanted = discrepancy(kit.points(pixels[chosen]), vectors[chosen], diameter=2 * np.sqrt(3 * 112 * 112))
        assert found.scores["isa_sorted"][batch] == pytest.approx(wanted.isa_sorted, rel=1e-5)
        assert found.scores["isa_symmetric"][batch] == pytest.approx(wanted.isa_symmetric, rel=1e-5)
        assert found.scores["shared_edges"][batch] == pytest.approx(wanted.shared_edges)
        assert found.scores["isa_at_best_scale"][batch] == pytest.approx(wanted.isa_at_best_scale, rel=1e-3)
