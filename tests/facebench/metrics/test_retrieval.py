from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import products, retrieval, retrieve


def test_golden(tiny_case):
    (probes, wanted, gallery, offered, others), expected = tiny_case
    everyone = np.concatenate([gallery, others]), np.concatenate([offered, np.full(len(others), -100)])
    found = retrieve(probes, wanted, *everyone)
    counts = expected["counts"]
    assert (found.mates.size, found.entries) == (counts["probes"], counts["gallery_match"] + counts["distractors"])
    for k, want in expected["rank"].items():
        assert found.rank_rate(int(k)).rate == pytest.approx(want, abs=1e-12)
    assert found.average_precision()[:6] == pytest.approx(expected["ap_head"], abs=1e-12)
    assert found.mean_average_precision().value == pytest.approx(expected["mAP_official"], abs=1e-12)
    usual = found.mean_average_precision(rule="usual")
    assert usual.value == pytest.approx(expected["mAP_without_trapezoid"], abs=1e-12)
    assert usual.mated == counts["probes"]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 40), st.integers(1, 6), st.sampled_from([0, 48]))
def test_positions_are_those_of_a_stable_sort(seed, probes, entries, people, many):
    draw = np.random.default_rng(seed)
    left, right = draw.integers(-2, 3, (probes, 3)), draw.integers(-2, 3, (entries, 3))
    wanted, offered = draw.integers(0, people, probes), draw.integers(-1, people, entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_MANY", many)
        patch.setattr(products, "_CACHED_BYTES", 4 * 7 * entries)
        patch.setattr(products, "_ROWS", 1)
        found = retrieve(left, wanted, right, offered)
    precisions, usual, hits = [], [], 0
    for i, who in enumerate(wanted):
        order = np.argsort(-(left[i] @ right.T), kind="stable")
        expected = np.flatnonzero(offered[order] == who)
        np.testing.assert_array_equal(found.positions[found.offsets[i] : found.offsets[i + 1]], expected)
        if expected.size:
            j = np.arange(expected.size)
            before = np.array([1.0 if p == 0 else n / p for n, p in zip(j, expected, strict=True)])
            after = (j + 1) / (expected + 1)
            precisions.append(np.mean((before + after) / 2))
            usual.append(np.mean(after))
            hits += expected[0] < 3
        else:
            assert np.isnan(found.average_precision()[i])
    if not precisions:
        with pytest.raises(MetricError, match="found none"):
            found.rank_rate(3)
        with pytest.raises(MetricError, match="found none"):
            found.mean_average_precision()
        return
    rate = found.rank_rate(3)
    assert (rate.hits, rate.mated, rate.rule) == (hits, len(precisions), "stable")
    assert found.mean_average_precision().value == pytest.approx(np.mean(precisions), abs=1e-12)
    assert found.mean_average_precision(rule="usual").value == pytest.approx(np.mean(usual), abs=1e-12)


def test_refuses():
    eye = np.eye(3)
    with pytest.raises(MetricError, match="gallery must be finite"):
        retrieve(eye, [1, 2, 3], eye * np.nan, [1, 2, 3])
    with pytest.raises(MetricError, match="3 gallery vectors"):
        retrieve(eye, [1, 2, 3], eye, [1, 2])
    with pytest.raises(MetricError, match="gallery must have the shape"):
        retrieve(eye, [1, 2, 3], eye[:0], [])
    found = retrieve(eye, [1, 2, 3], eye, [1, 2, 3])
    with pytest.raises(MetricError, match="at least 1"):
        found.rank_rate(0)
    with pytest.raises(UnknownName):
        found.average_precision(rule="eleven-point")
