from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import blocks, likelihood_blocks, likelihood_scores, pool_blocks, retrieve, unit_blocks

CASES = {
    case["method"]: case
    for case in json.loads((Path(__file__).parents[2] / "golden" / "losses.json").read_text())["cases"]
    if case["method"] in ("url_pa_score", "url_template")
}


def drawn(draw, count, parts, size, *, low=0.5, high=200.0):
    """Unit blocks and confidences."""
    vectors = unit_blocks(draw.normal(size=(count, parts * size)), parts)
    return vectors, np.exp(draw.uniform(np.log(low), np.log(high), (count, parts)))


def by_hand(one, other, sure, surer):
    """The formula, block by block."""
    parts = len(sure)
    size, total = len(one) // parts, 0.0
    for k in range(parts):
        spread = 1 / sure[k] + 1 / surer[k]
        apart = one[k * size : (k + 1) * size] - other[k * size : (k + 1) * size]
        total += -0.5 * (apart @ apart) / spread - size / 2 * np.log(spread)
    return total


def test_golden_score():
    given, expected = CASES["url_pa_score"]["inputs"], CASES["url_pa_score"]["expected"]["score"]
    vectors = np.concatenate([given["F1"], given["F2"]])
    confidence = 1 / np.concatenate([given["var1"], given["var2"]])
    count = len(expected)
    found = likelihood_scores(vectors, confidence, np.arange(count), np.arange(count) + count)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(unit_blocks(vectors, 4), vectors, rtol=1e-12)


def test_golden_template():
    given, expected = CASES["url_template"]["inputs"], CASES["url_template"]["expected"]
    found = pool_blocks(given["F"], 1 / np.array(given["var"]), np.full(len(given["F"]), 7), how="precision")
    np.testing.assert_allclose(found.vectors[0], expected["pooled_sub_normalised"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(1 / found.confidence[0], expected["var_min"], rtol=1e-12)
    assert (found.ids.tolist(), found.images.tolist()) == ([7], [len(given["F"])])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 30))
def test_pairs_score_as_the_formula_says_and_in_either_order_alike(seed, count, parts, size, pairs):
    draw = np.random.default_rng(seed)
    vectors, sure = drawn(draw, count, parts, size)
    first, second = draw.integers(0, count, (2, pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PAIRS", 7)
        found = likelihood_scores(vectors, sure, first, second)
        turned = likelihood_scores(vectors, sure, second, first)
    np.testing.assert_array_equal(found, turned)
    wanted = [by_hand(vectors[i], vectors[j], sure[i], sure[j]) for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-10)
    assert found.dtype == np.float64


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(0.01, 1000))
def test_one_variance_orders_as_the_mean_cosine(seed, parts, confidence):
    draw = np.random.default_rng(seed)
    vectors, _ = drawn(draw, 20, parts, 3)
    first, second = draw.integers(0, 20, (2, 40))
    found = likelihood_scores(vectors, np.full((20, parts), confidence), first, second)
    cosine = np.sum(vectors[first] * vectors[second], axis=1) / parts
    # |f - g|^2 = 2 - 2 cos in each block, so the score is a rising straight line of the mean cosine.
    slope = parts * confidence / 2
    np.testing.assert_allclose(found - found[0], slope * (cosine - cosine[0]), rtol=1e-9, atol=1e-9 * slope)


def test_a_surer_pair_gains_when_alike_and_loses_when_not():
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    unsure, sure = (likelihood_scores(vectors, np.full((3, 1), c), [0, 0], [1, 2]) for c in (2.0, 20.0))
    assert sure[0] > unsure[0]
    assert sure[1] < unsure[1]


def test_equal_faces_tie():
    vectors, sure = drawn(np.random.default_rng(2), 3, 4, 8)
    vectors, sure = vectors[[0, 1, 2, 1]], sure[[0, 1, 2, 1]]
    found = likelihood_scores(vectors.astype(np.float32), sure.astype(np.float32), [0, 0, 0], [1, 3, 2])
    assert found[0] == found[1] != found[2]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 30), st.integers(1, 5), st.integers(1, 4))
def test_search_finds_what_the_pairs_say(seed, probes, entries, parts, size):
    draw = np.random.default_rng(seed)
    vectors, sure = drawn(draw, probes + entries, parts, size)
    # Copies in the gallery tie, and ties must stand in its order.
    copied = draw.integers(0, entries, entries)
    vectors[probes:], sure[probes:] = vectors[probes:][copied], sure[probes:][copied]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BLOCK_BYTES", 4 * 3 * entries)
        patch.setattr(blocks, "_TILE", (2, 5))
        scorer = likelihood_blocks(sure[:probes], sure[probes:])
        sides = (side.astype(np.float32) for side in np.split(vectors, [probes]))
        found = [block.numpy().copy() for _, block in scorer(*sides, "cpu")]
    first, second = (grid.ravel() for grid in np.meshgrid(np.arange(probes), np.arange(entries), indexing="ij"))
    wanted = likelihood_scores(vectors, sure, first, second + probes).reshape(probes, entries)
    # float32: a hundred thousandth of the largest possible terms.
    np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-5, atol=1e-5 * parts * (2 * sure.max() + size))


def test_retrieval_by_likelihood():
    draw = np.random.default_rng(5)
    vectors, sure = drawn(draw, 60, 4, 8, low=5.0, high=20.0)
    wanted, offered = draw.integers(0, 9, 20), draw.integers(0, 9, 40)
    scorer = likelihood_blocks(sure[:20], sure[20:])
    found = retrieve(vectors[:20], wanted, vectors[20:], offered, scorer=scorer)
    assert (found.mates.size, found.entries) == (20, 40)
    for row in range(20):
        scores = likelihood_scores(vectors, sure, np.full(40, row), np.arange(20, 60))
        places = np.flatnonzero(offered[np.argsort(-scores, kind="stable")] == wanted[row])
        np.testing.assert_array_equal(found.positions[found.offsets[row] : found.offsets[row + 1]], places)
    plain = retrieve(vectors[:20], wanted, vectors[20:], offered)
    assert not np.array_equal(found.positions, plain.positions)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 25),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(2, 3),
    st.sampled_from(["mean", "precision"]),
)
def test_pooling_by_hand(seed, images, people, parts, size, how):
    draw = np.random.default_rng(seed)
    vectors, sure = draw.normal(size=(images, parts * size)), draw.uniform(0.1, 50, (images, parts))
    templates, rows = draw.integers(0, people, images) - 1, draw.permutation(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_POOLED_BYTES", 8 * parts * size * int(draw.integers(1, 6)))
        found = pool_blocks(vectors, sure, templates, how=how, rows=rows)
    np.testing.assert_array_equal(found.ids, np.unique(templates))
    for place, template in enumerate(found.ids):
        chosen = rows[templates == template]
        assert found.images[place] == chosen.size
        for k in range(parts):
            part = vectors[chosen, k * size : (k + 1) * size]
            part = part / np.linalg.norm(part, axis=1, keepdims=True)
            weights, variances = sure[chosen, k], 1 / sure[chosen, k]
            mean = part.T @ weights / weights.sum() if how == "precision" else part.mean(axis=0)
            got = found.vectors[place, k * size : (k + 1) * size]
            np.testing.assert_allclose(got, mean / np.linalg.norm(mean), rtol=1e-7, atol=1e-9)
            variance = variances.min() if how == "precision" else variances.mean()
            assert 1 / found.confidence[place, k] == pytest.approx(variance)


def test_a_template_of_one_image_is_that_image():
    vectors, sure = drawn(np.random.default_rng(1), 4, 3, 5)
    for how in ("mean", "precision"):
        found = pool_blocks(vectors.astype(np.float32), sure, np.array([4, 3, 2, 1]), how=how)
        np.testing.assert_allclose(found.vectors, vectors[::-1], atol=1e-6)
        np.testing.assert_allclose(found.confidence, sure[::-1])
        assert found.vectors.dtype == np.float32


def test_one_block_is_a_plain_unit_vector():
    vectors = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(unit_blocks(vectors, 1), axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.abs(unit_blocks(vectors, 6)), 1, rtol=1e-6)
    assert unit_blocks(vectors, 2).dtype == np.float32


def test_refuses_what_cannot_be_compared():
    vectors, sure = drawn(np.random.default_rng(0), 4, 2, 3)
    lost = vectors.copy()
    lost[2, 3:] = 0
    with pytest.raises(MetricError, match="block 1 of row 2"):
        unit_blocks(lost, 2)
    with pytest.raises(MetricError, match="block 1 of row 2"):
        pool_blocks(lost, sure, np.arange(4))
    for parts in (0, 4, 12):
        with pytest.raises(MetricError, match="6 dimensions do not part"):
            unit_blocks(vectors, parts)
    with pytest.raises(MetricError, match=r"neither of them 0; found \(0, 6\)"):
        unit_blocks(vectors[:0], 2)
    pair = [0], [1]
    with pytest.raises(MetricError, match="6 dimensions do not part into 4"):
        likelihood_scores(vectors, np.ones((4, 4)), *pair)
    with pytest.raises(MetricError, match="confidences must have the shape"):
        likelihood_scores(vectors, np.ones((4, 0)), *pair)
    with pytest.raises(MetricError, match="each of the 4 vectors; found 3"):
        likelihood_scores(vectors, sure[:3], *pair)
    for wrong in (0.0, -1.0, 1e-40, 1e40):
        bad = sure.copy()
        bad[3, 1] = wrong
        with pytest.raises(MetricError, match="block 1 of row 3, 1 such"):
            likelihood_scores(vectors, bad, *pair)
    with pytest.raises(MetricError, match="found 1 first and 2 second"):
        likelihood_scores(vectors, sure, [0], [1, 2])
    with pytest.raises(MetricError, match="between 0 and 3; found 4"):
        likelihood_scores(vectors, sure, [0], [4])
    with pytest.raises(MetricError, match="list of integers"):
        likelihood_scores(vectors, sure, [], [])


def test_refuses_what_cannot_be_searched_or_pooled():
    vectors, sure = drawn(np.random.default_rng(0), 4, 2, 3)
    with pytest.raises(MetricError, match="2 confidences each and the gallery 3"):
        retrieve(vectors, [0] * 4, vectors, [0] * 4, scorer=likelihood_blocks(sure, np.ones((4, 3))))
    with pytest.raises(MetricError, match="each of the 4 vectors; found 2"):
        retrieve(vectors, [0] * 4, vectors, [0] * 4, scorer=likelihood_blocks(sure, sure[:2]))
    with pytest.raises(UnknownName, match="median"):
        pool_blocks(vectors, sure, np.arange(4), how="median")
    with pytest.raises(MetricError, match="one integer for each of the 4 images"):
        pool_blocks(vectors, sure, np.arange(3))
    with pytest.raises(MetricError, match="image rows must lie between"):
        pool_blocks(vectors, sure, np.arange(2), rows=[0, 9])
    opposite = np.concatenate([vectors[:1], -vectors[:1]])
    with pytest.raises(MetricError, match="block 0 of template 7 pools to length 0"):
        pool_blocks(opposite, np.ones((2, 2)), np.array([7, 7]))
