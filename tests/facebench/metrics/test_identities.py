from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import identities as module
from facebench.metrics.identities import Groups, identity_means, mean_similarity, within_identities


@st.composite
def labelled(draw):
    """Vectors of any lengths, labels with gaps and some of nobody, rows in any order."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    faces, size = draw(st.integers(2, 40)), draw(st.integers(2, 6))
    labels = random.integers(-1, draw(st.integers(1, 8)), faces) * 3
    labels[0] = 0
    vectors = random.normal(size=(faces + 3, size)) * random.uniform(0.1, 9, (faces + 3, 1)) + 0.1
    return vectors.astype(draw(st.sampled_from([np.float32, np.float64]))), labels, random.permutation(faces)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def direct(vectors, labels, rows, how, threshold):
    """The definitions, identity by identity and pair by pair."""
    found = []
    for who in sorted(set(labels[labels >= 0].tolist())):
        own = vectors[rows[labels == who]].astype(np.float64)
        given_ = own / np.linalg.norm(own, axis=1, keepdims=True) if how == "unit" else own
        n, centre = len(own), given_.mean(axis=0)
        pairs = [cosine(own[i], own[j]) for i in range(n) for j in range(i)]
        alone = [cosine(own[i], np.delete(given_, i, axis=0).mean(axis=0)) for i in range(n)] if n > 1 else [np.nan]
        near = [cosine(row, centre) for row in own]
        share = np.mean([one > threshold for one in near])
        found.append((who, centre, np.mean(pairs) if pairs else np.nan, np.mean(near), np.mean(alone), share, near))
    return found


@settings(max_examples=100, deadline=None)
@given(labelled(), st.sampled_from(["raw", "unit"]), st.sampled_from([24, 10**6]))
def test_all_of_it_is_the_definition(case, how, run_bytes):
    vectors, labels, rows = case
    before, module._RUN_BYTES = module._RUN_BYTES, run_bytes * vectors.shape[1]
    try:
        groups = Groups.of(labels, rows=rows)
        means = identity_means(vectors, groups, how=how)
        within = within_identities(vectors, groups, thresholds=[0.31], how=how)
    finally:
        module._RUN_BYTES = before
    wanted = direct(vectors, labels, rows, how, 0.31)
    assert groups.ids.tolist() == [one[0] for one in wanted]
    assert np.array_equal(means.counts, [np.count_nonzero(labels == one[0]) for one in wanted])
    assert means.vectors.dtype == np.float32
    np.testing.assert_allclose(means.vectors, [one[1] for one in wanted], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(within.pairwise, [one[2] for one in wanted], atol=1e-6)
    np.testing.assert_allclose(within.to_centre, [one[3] for one in wanted], atol=1e-6)
    np.testing.assert_allclose(within.left_out, [one[4] for one in wanted], atol=1e-5)
    clear = [all(abs(near - 0.31) > 1e-5 for near in one[6]) for one in wanted]
    np.testing.assert_allclose(within.consistent[0][clear], np.array([one[5] for one in wanted])[clear])


@settings(max_examples=50, deadline=None)
@given(labelled())
def test_the_order_of_faces_is_no_matter(case):
    vectors, labels, rows = case
    order = np.random.default_rng(len(labels)).permutation(len(labels))
    one, other = Groups.of(labels, rows=rows), Groups.of(labels[order], rows=rows[order])
    assert np.array_equal(one.bounds, other.bounds)
    for who in range(len(one.ids)):
        part = slice(one.bounds[who], one.bounds[who + 1])
        assert set(one.rows[part].tolist()) == set(other.rows[part].tolist())
    np.testing.assert_allclose(
        within_identities(vectors, one).pairwise, within_identities(vectors, other).pairwise, atol=1e-9
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30))
def test_mean_similarity_is_that_of_all_pairs(seed, count):
    vectors = np.random.default_rng(seed).normal(size=(count, 5)) + 0.3
    pairs = [cosine(vectors[i], vectors[j]) for i in range(count) for j in range(i)]
    assert mean_similarity(vectors) == pytest.approx(np.mean(pairs), abs=1e-9)
    assert mean_similarity(vectors.astype(np.float32) * 7) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_single_face_is_its_own_mean_and_has_no_pairs():
    within = within_identities(np.array([[3.0, 4.0]]), Groups.of([0]), thresholds=[0.5])
    assert np.isnan([within.pairwise[0], within.left_out[0]]).all()
    assert within.to_centre[0] == pytest.approx(1)
    assert within.consistent.tolist() == [[1.0]]


def test_thresholds_are_not_met_by_equality():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]])
    at = float(within_identities(vectors, Groups.of([4, 4])).to_centre[0])
    assert within_identities(vectors, Groups.of([4, 4]), thresholds=[at]).consistent.tolist() == [[0.0]]


def test_long_vectors_weigh_more_in_a_raw_mean_only():
    vectors, groups = np.array([[10.0, 0.0], [0.0, 1.0]], dtype=np.float32), Groups.of([0, 0])
    assert identity_means(vectors, groups).vectors.tolist() == [[5.0, 0.5]]
    assert identity_means(vectors, groups, how="unit").vectors.tolist() == [[0.5, 0.5]]


def test_the_first_identities_are_as_if_there_were_no_others():
    labels, vectors = np.array([5, 2, 5, 9, 2, -1]), np.random.default_rng(0).normal(size=(6, 3))
    cut, alone = Groups.of(labels).first(2), Groups.of(np.where(labels == 9, -1, labels))
    assert np.array_equal(cut.ids, [2, 5])
    assert np.array_equal(cut.rows, alone.rows)
    assert np.array_equal(identity_means(vectors, cut).vectors, identity_means(vectors, alone).vectors)
    assert np.array_equal(Groups.of(labels).first(99).rows, Groups.of(labels).rows)


def test_a_large_file_is_read_in_runs(tmp_path):
    people, images, size = 2000, 8, 128
    path = tmp_path / "vectors.npy"
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(people * images, size))
    vectors[:] = np.random.default_rng(0).normal(size=vectors.shape)
    vectors.flush()
    mapped = np.load(path, mmap_mode="r")
    groups = Groups.of(np.repeat(np.arange(people), images))
    before, module._RUN_BYTES = module._RUN_BYTES, 1 << 20
    tracemalloc.start()
    try:
        means = identity_means(mapped, groups)
        within_identities(mapped, groups, thresholds=[0.3])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        module._RUN_BYTES = before
    assert peak < 9 << 20  # of 8 MiB of vectors: 1 MiB of means, 5 MiB of runs, and what is known of each face
    np.testing.assert_allclose(means.vectors, vectors.reshape(people, images, size).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: Groups.of([[0, 1]]), MetricError, "one integer for each face"),
        (lambda v: Groups.of([0.0, 1.0]), MetricError, "one integer for each face"),
        (lambda v: Groups.of([0, 1], rows=[0]), MetricError, "one integer for each face"),
        (lambda v: Groups.of([-1, -1]), MetricError, "no face has a label; found 2 faces of nobody"),
        (lambda v: identity_means(v, Groups.of([0, 0], rows=[0, 3])), MetricError, "between 0 and 2"),
        (lambda v: identity_means(v, Groups.of([0, 0], rows=[0, -1])), MetricError, "between 0 and 2"),
        (lambda v: identity_means(v, Groups.of([0]), how="median"), UnknownName, "identity mean"),
        (lambda v: identity_means(v[0], Groups.of([0])), MetricError, "rows, dimensions"),
        (lambda v: identity_means(v.astype(str), Groups.of([0])), MetricError, "real numbers"),
        (lambda v: within_identities(v, Groups.of([0, 0, 0])), MetricError, "the first is number 2"),
        (lambda v: identity_means(v, Groups.of([0, 0, 0]), how="unit"), MetricError, "no direction"),
        (lambda v: within_identities([[1.0, 0], [-1.0, 0]], Groups.of([7, 7])), MetricError, "the first is number 7"),
        (lambda v: identity_means([[np.nan, 0]], Groups.of([0])), MetricError, "finite"),
        (lambda v: mean_similarity(v[:1]), MetricError, "at least 2"),
        (lambda v: mean_similarity(v), MetricError, "no direction"),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call(np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 0.0]]))
