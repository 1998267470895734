"""Correlation of blocks: brute force, and the two ends of the scale."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from facebench import MetricError
from facebench_confidence.blocks import (
    MOST_FACES,
    blocks_of,
    mean_off_diagonal,
    measure,
    similarity_correlation,
    value_correlation,
)

PEOPLE = np.repeat(np.arange(40), 2)


def drawn(shared, *, faces=80, blocks=4, size=8, seed=0):
    """Vectors whose blocks have so much in common, float32 (faces, blocks * size)."""
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(faces, 1, size)), random.normal(size=(faces, blocks, size))
    return (shared * common + (1 - shared) * own).reshape(faces, -1).astype(np.float32)


def by_name(found):
    return {metric.name: metric for metric in found.metrics}


def test_similarities_against_brute_force():
    vectors = drawn(0.4, faces=14).astype(np.float64)
    people = np.repeat(np.arange(7), 2)
    pairs = [(a, b) for a, b in combinations(range(14), 2) if people[a] != people[b]]
    cosines = [
        [
            np.dot(vectors[a, k : k + 8], vectors[b, k : k + 8])
            / np.linalg.norm(vectors[a, k : k + 8])
            / np.linalg.norm(vectors[b, k : k + 8])
            for a, b in pairs
        ]
        for k in range(0, 32, 8)
    ]
    found = similarity_correlation(blocks_of(vectors, 4), people)
    np.testing.assert_allclose(found, np.corrcoef(cosines), atol=1e-10)
    assert mean_off_diagonal(found) == pytest.approx(
        np.mean([abs(np.corrcoef(cosines)[a, b]) for a, b in combinations(range(4), 2)])
    )


def test_values_against_brute_force():
    vectors = drawn(0.4, faces=20, blocks=3, size=4).astype(np.float64)
    scaled = vectors.reshape(20, 3, 4) / np.linalg.norm(vectors.reshape(20, 3, 4), axis=2, keepdims=True)
    wanted = [
        abs(np.corrcoef(scaled[:, k, i], scaled[:, other, j])[0, 1])
        for k, other in combinations(range(3), 2)
        for i in range(4)
        for j in range(4)
    ]
    assert value_correlation(blocks_of(vectors, 3)) == pytest.approx(np.mean(wanted), abs=1e-12)


def test_equal_blocks_say_the_same():
    vectors = np.tile(drawn(0.0, blocks=1, size=8), (1, 4))
    found = by_name(measure(vectors, PEOPLE, count=4, seed=0))
    assert found["block-correlation"].value == pytest.approx(1.0, abs=1e-12)
    assert found["block-correlation"].detail["mean with sign"] == pytest.approx(1.0, abs=1e-12)
    assert found["block-correlation"].detail["chance"] < 0.1


def test_independent_blocks_are_at_chance():
    vectors = drawn(0.0, faces=300, blocks=8, size=16)
    found = by_name(measure(vectors, np.arange(300), count=8, seed=0))
    for metric in found.values():
        assert metric.value == pytest.approx(metric.detail["chance"], rel=0.35)
    assert found["block-correlation"].value < 0.01
    # The mean absolute correlation of 300 independent draws, sqrt(2 / pi / 299).
    assert found["block-correlation-values"].value == pytest.approx(np.sqrt(2 / np.pi / 299), rel=0.05)


def test_more_in_common_is_more_correlated():
    measured = [by_name(measure(drawn(share), PEOPLE, count=4, seed=0)) for share in (0.0, 0.3, 0.6, 0.9)]
    for name in ("block-correlation", "block-correlation-values"):
        values = [found[name].value for found in measured]
        assert values == sorted(values)


def test_lengths_of_blocks_are_no_matter():
    vectors = drawn(0.3)
    longer = (vectors.reshape(80, 4, 8) * np.array([1, 5, 0.1, 30])[:, None]).reshape(80, 32).astype(np.float32)
    one, two = (by_name(measure(given, PEOPLE, count=4, seed=0)) for given in (vectors, longer))
    for name, metric in one.items():
        assert metric.value == pytest.approx(two[name].value, abs=1e-6)


def test_pairs_of_one_person_do_not_count():
    """Two pictures of each person agree in all blocks; among strangers nothing does."""
    random = np.random.default_rng(4)
    vectors = np.repeat(drawn(0.0, faces=40), 2, axis=0) + 0.05 * random.normal(size=(80, 32)).astype(np.float32)
    blocks = blocks_of(vectors.astype(np.float32), 4)
    with_mates = mean_off_diagonal(similarity_correlation(blocks, np.arange(80)))
    without = mean_off_diagonal(similarity_correlation(blocks, PEOPLE))
    assert with_mates > without + 0.03


def test_of_many_faces_some_are_compared():
    vectors = drawn(0.2, faces=MOST_FACES + 500, blocks=2, size=4)
    found = by_name(measure(vectors, np.arange(len(vectors)), count=2, seed=0))
    assert found["block-correlation"].detail["faces"] == MOST_FACES


@pytest.mark.parametrize(
    ("count", "change", "reason"),
    [
        (1, {}, "one confidence for the whole vector"),
        (5, {}, "32"),
        (4, {"zero": True}, "length 0"),
        (4, {"flat": True}, "do not vary"),
    ],
)
def test_what_cannot_be_had_is_absent_with_a_reason(count, change, reason):
    vectors = drawn(0.3)
    if change.get("zero"):
        vectors[3, :8] = 0
    if change.get("flat"):
        vectors[:, :8] = 1
    found = measure(vectors, PEOPLE, count=count, seed=0)
    first = found.metrics[0]
    assert (first.value, found.matrix) == (None, None)
    assert reason in first.reason


def test_too_few_people_or_values():
    with pytest.raises(MetricError, match="at least 2 pairs"):
        similarity_correlation(blocks_of(drawn(0.0, faces=2), 4), np.array([0, 0]))
    with pytest.raises(MetricError, match="differ from face to face"):
        value_correlation(blocks_of(np.ones((5, 8), dtype=np.float32), 4))
