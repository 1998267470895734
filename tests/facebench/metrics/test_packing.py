from __future__ import annotations

from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_separability import greedy_of

from facebench.errors import MetricError
from facebench.metrics import packing, tiles
from facebench.metrics.packing import GreedyFilter
from facebench.metrics.separability import neighbours


@st.composite
def streams(draw):
    """Vectors with duplicates and ties, and where the stream is cut."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    count, dim = draw(st.integers(1, 25)), draw(st.sampled_from([1, 2, 4, 16]))
    some = random.choice([-1.0, 1.0], (count, dim))
    if draw(st.booleans()):
        some += draw(st.sampled_from([1e-7, 1e-3, 0.5])) * random.standard_normal((count, dim))
    some = some[random.integers(0, count, count)].astype(np.float32)
    return some, sorted([0, *draw(st.lists(st.integers(1, count), max_size=4, unique=True)), count])


def admitted(walker, some, ends):
    parts = [walker.admit(some[a:b]) for a, b in pairwise(ends) if a < b]
    return np.concatenate([np.zeros(0, dtype=bool), *parts])


@settings(max_examples=120, deadline=None)
@given(
    streams(),
    st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.9, 1.0]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([1, 64]),
)
def test_the_outcome_is_that_of_brute_force_however_the_stream_is_cut(stream, tau, height, width, few):
    some, ends = stream
    sizes = {"_HEIGHT": height, "_WIDTH": {"cpu": width, "other": 1}, "_LEAST": 1}
    with patch.multiple(packing, **sizes), patch.multiple(tiles, _FEW=few):
        walker = GreedyFilter(tau, size=some.shape[1])
        found = admitted(walker, some, ends)
    expected = greedy_of(some, tau)
    np.testing.assert_array_equal(found, expected)
    assert walker.accepted == expected.sum()
    np.testing.assert_array_equal(found, neighbours(some, [tau]).packed[0])


@settings(max_examples=60, deadline=None)
@given(streams(), st.sampled_from([0.25, 0.5, 0.9]), st.integers(0, 25))
def test_it_goes_on_from_what_was_accepted(stream, tau, cut):
    some, _ = stream
    expected = greedy_of(some, tau)
    before = some[:cut][expected[:cut]]
    walker = GreedyFilter(tau, size=some.shape[1], accepted=before)
    assert walker.accepted == len(before)
    if cut < len(some):
        np.testing.assert_array_equal(walker.admit(some[cut:]), expected[cut:])
    assert walker.accepted == expected[: max(cut, len(some))].sum()


def test_large_blocks():
    some = np.random.default_rng(0).standard_normal((3000, 24)).astype(np.float32)
    walker = GreedyFilter(0.6, size=24)
    found = walker.admit(some)
    np.testing.assert_array_equal(found, greedy_of(some, 0.6))
    assert 100 < walker.accepted < 2900
    assert not walker.admit(some[found]).any()


def test_at_the_threshold_a_vector_is_accepted():
    walker = GreedyFilter(0.5, size=4)
    assert walker.admit([[1, 1, 1, 1], [1, 1, 1, -1], [-1, 1, 1, -1], [2, 2, 2, 2]]).tolist() == [
        True,
        True,
        True,
        False,
    ]


def test_what_does_not_fit_is_refused_and_changes_nothing():
    walker = GreedyFilter(0.5, size=2)
    walker.admit(np.eye(2))
    with pytest.raises(MetricError, match="candidates must have 2 dimensions; found 3"):
        walker.admit(np.eye(3))
    with pytest.raises(MetricError, match="candidates of length 0"):
        walker.admit([[-1.0, 0.0], [0.0, 0.0]])
    assert walker.accepted == 2
    for wrong in (np.nan, np.inf):
        with pytest.raises(MetricError, match="threshold"):
            GreedyFilter(wrong, size=2)
    with pytest.raises(MetricError, match="at least one dimension"):
        GreedyFilter(0.5, size=0)
    with pytest.raises(MetricError, match="accepted vectors must have 2"):
        GreedyFilter(0.5, size=2, accepted=np.eye(3))
    with pytest.raises(MetricError, match="device"):
        GreedyFilter(0.5, size=2, device="nowhere")
