from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError
from facebench.metrics import pool, pooled_pair_tar, products, rank_rate, search


def test_golden(search_case):
    case, rows = search_case
    pooled = pool(case.fused(True), case.templates, case.medias, weights=case.faceness)
    first, second, probes = (pooled.vectors[np.searchsorted(pooled.ids, case.template_id[part])] for part in rows)
    subjects = [case.subject_of[part] for part in rows]
    arguments = probes, np.concatenate([first, second]), subjects[2], np.concatenate(subjects[:2])
    expected = case.expected["ijb_1n_pooled"]
    for point in pooled_pair_tar(*arguments):
        want = expected["far"][str(point.pairs_per_probe)]
        assert point.tar == pytest.approx(want["recall"], abs=1e-9)
        assert point.threshold == pytest.approx(want["threshold"], abs=1e-6)
        assert (point.probes, point.pairs) == (700, 700 * 199)
    joined = search(*arguments)
    for k, want in expected["ranks"].items():
        assert rank_rate(joined, int(k), rule="stable").rate == pytest.approx(want, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(1, 30), st.booleans())
def test_is_the_whole_matrix_sorted(seed, entries, probes, small):
    draw = np.random.default_rng(seed)
    left, right = draw.integers(-2, 3, (probes, 3)), draw.integers(-2, 3, (entries, 3))
    wanted, offered = draw.integers(0, entries, probes), draw.permutation(entries)
    scores = left @ right.T
    mate = scores[np.arange(probes), np.argsort(offered)[wanted]]
    others = np.sort(scores[wanted[:, None] != offered])[::-1]
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(products, "_CACHED_BYTES", 1)
            patch.setattr(products, "_ROWS", 2)
        for point in pooled_pair_tar(left, right, wanted, offered, pairs_per_probe=[0.1, 0.5, 1.0]):
            assert point.allowed == math.ceil(probes * point.pairs_per_probe)
            assert point.threshold == others[point.allowed - 1]
            assert point.tar == np.mean(mate > point.threshold)


def test_refuses():
    eye = np.eye(3)
    with pytest.raises(MetricError, match="1 of 3 without"):
        pooled_pair_tar(eye, eye, [1, 2, 4], [1, 2, 3])
    with pytest.raises(MetricError, match="between 1 and 6"):
        pooled_pair_tar(eye, eye, [1, 2, 3], [1, 2, 3], pairs_per_probe=[0.0])
    with pytest.raises(MetricError, match="between 1 and 0"):
        pooled_pair_tar(eye, eye, [1, 1, 1], [1, 1, 1])
