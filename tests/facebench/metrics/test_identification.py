from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import RANK_RULES, pool, products, rank_rate, search


@st.composite
def searches(draw, most_mates=3):
    """Vectors of small integers, so that scores are exact and often equal."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    people, probes = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    entries = draw(st.integers(1, 4 * most_mates))
    dim = draw(st.integers(1, 4))
    gallery_subjects = random.integers(0, people, entries)
    if most_mates == 1:
        gallery_subjects = random.permutation(entries)
    probe_subjects = random.integers(0, max(people, entries) + 1, probes)
    return (
        random.integers(-2, 3, (probes, dim)).astype(np.float32),
        random.integers(-2, 3, (entries, dim)).astype(np.float32),
        probe_subjects,
        gallery_subjects,
    )


@settings(max_examples=150, deadline=None)
@given(searches())
def test_search_is_brute_force(case):
    probes, gallery, wanted, offered = case
    found = search(probes, gallery, wanted, offered, top=len(gallery))
    scores = probes @ gallery.T
    assert found.entries == len(gallery)
    for i, subject in enumerate(wanted):
        row, mates = scores[i], np.flatnonzero(offered == subject)
        others = np.flatnonzero(offered != subject)
        best = row[mates].max(initial=-np.inf)
        assert found.mates[i] == mates.size == found.mated[i] * mates.size
        assert found.mate_scores[i] == best
        assert found.rival_scores[i] == row[others].max(initial=-np.inf)
        assert found.above[i] == np.sum(row[others] > best)
        column = mates[row[mates] == best][-1] if mates.size else -1
        assert found.mate_columns[i] == column
        level = others[row[others] == best]
        assert found.level[i] == level.size
        assert found.level_later[i] == np.sum(level > column)
        order = np.argsort(-row, kind="stable")
        np.testing.assert_array_equal(found.top_columns[i], order)
        np.testing.assert_array_equal(found.top_scores[i], row[order])


@settings(max_examples=100, deadline=None)
@given(searches(most_mates=1), st.integers(1, 6))
def test_rank_rules_are_the_sorts(case, k):
    probes, gallery, wanted, offered = case
    found = search(probes, gallery, wanted, offered)
    scores = probes @ gallery.T
    hits = dict.fromkeys(RANK_RULES, 0)
    for i in np.flatnonzero(found.mated):
        mate = np.flatnonzero(offered == wanted[i])[0]
        later = mate in np.argsort(scores[i], kind="stable")[::-1][:k]
        earlier = mate in np.argsort(-scores[i], kind="stable")[:k]
        lost = np.sum(np.delete(scores[i], mate) >= scores[i, mate]) < k
        for rule, hit in {"reference": later, "pfe": later, "stable": earlier, "bob": lost, "strict": lost}.items():
            hits[rule] += bool(hit)
    for rule, expected in hits.items():
        if not found.mated.any():
            with pytest.raises(MetricError, match="found none"):
                rank_rate(found, k, rule=rule)
            continue
        rate = rank_rate(found, k, rule=rule)
        assert (rate.hits, rate.mated, rate.rank, rate.rule) == (expected, found.mated.sum(), k, rule)
        assert rate.rate == expected / rate.mated


def test_blocks_do_not_matter(monkeypatch):
    random = np.random.default_rng(0)
    probes = random.integers(-3, 4, (70, 4)).astype(np.float32)
    gallery = random.integers(-3, 4, (33, 4)).astype(np.float32)
    subjects = random.integers(0, 40, 70), random.integers(0, 30, 33)
    whole = search(probes, gallery, *subjects)
    monkeypatch.setattr(products, "_CACHED_BYTES", 1)
    monkeypatch.setattr(products, "_ROWS", 3)
    parts = search(probes, gallery, *subjects)
    for field in ("mate_scores", "mate_columns", "rival_scores", "above", "level", "level_later"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))


def enrolled(case, rows):
    pooled = pool(case.fused(True), case.templates, case.medias, weights=case.faceness)
    return [
        (pooled.vectors[np.searchsorted(pooled.ids, case.template_id[part])], case.subject_of[part]) for part in rows
    ]


def test_golden_ranks(search_case):
    case, rows = search_case
    *galleries, (probes, wanted) = enrolled(case, rows)
    found = [search(probes, gallery, wanted, offered) for gallery, offered in galleries]
    expected = case.expected["ijb_evals"]
    for one, name in zip(found, ("g1", "g2"), strict=True):
        assert np.count_nonzero(one.mated) == expected[name]["mated_probes"]
        assert np.count_nonzero(~one.mated) == expected[name]["other_probes"]
        for k in (1, 5, 10):
            assert rank_rate(one, k).rate == pytest.approx(expected[name][f"rank_{k}"], abs=1e-12)
    for k in (1, 5, 10):
        both = rank_rate(found, k)
        assert both.rate == pytest.approx(expected["both"][f"rank_{k}"], abs=1e-12)
        assert both.mated == case.expected["probes"]


def test_subjects_may_be_strings():
    found = search(np.eye(2), np.eye(2), ["ann", "bob"], ["bob", "cid"])
    assert found.mates.tolist() == [0, 1]


ONE = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ONE, ONE[:, :2], [1, 2, 3], [1, 2, 3]), "one dimension; found 3 and 2"),
        ((ONE, ONE, [1, 2], [1, 2, 3]), "3 probe vectors"),
        ((ONE, ONE, [1, 2, 3], [1.0, 2.0, 3.0]), "3 gallery vectors"),
        ((ONE, ONE, ["1", "2", "3"], [1, 2, 3]), "one kind"),
        ((ONE * np.nan, ONE, [1, 2, 3], [1, 2, 3]), "probes must be finite"),
        ((ONE[:0], ONE, [], [1, 2, 3]), "probes must have the shape"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(MetricError, match=message):
        search(*arguments)


def test_refuses_impossible_ranks():
    found = search(ONE, ONE, [1, 2, 3], [1, 2, 3])
    with pytest.raises(MetricError, match="at least 1; found 0"):
        rank_rate(found, 0)
    with pytest.raises(UnknownName):
        rank_rate(found, 1, rule="luck")
    with pytest.raises(MetricError, match="top must lie between 0 and the 3"):
        search(ONE, ONE, [1, 2, 3], [1, 2, 3], top=4)
    with pytest.raises(MetricError, match="found none"):
        rank_rate([], 1)
