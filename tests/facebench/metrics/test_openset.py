from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import TPIR_RULES, mean_tpir_at_fpir, pool, search, tpir_at_fpir

TARGETS = st.sampled_from([0.0, 1e-3, 0.05, 0.1, 0.25, 1 / 3, 0.5, 1.0])


@pytest.fixture(scope="module")
def found(search_case):
    case, rows = search_case
    pooled = pool(case.fused(True), case.templates, case.medias, weights=case.faceness)
    vectors = [pooled.vectors[np.searchsorted(pooled.ids, case.template_id[part])] for part in rows]
    subjects = [case.subject_of[part] for part in rows]
    names = ("g1", "g2")
    searches = [search(vectors[2], vectors[i], subjects[2], subjects[i]) for i in (0, 1)]
    return case.expected, dict(zip(names, searches, strict=True))


def test_golden_reference(found):
    expected, searches = found
    for name, one in searches.items():
        want = expected["ijb_evals"][name]
        points = [tpir_at_fpir(one, target) for target in expected["far_targets"]]
        assert [point.tpir for point in points] == pytest.approx(want["tpir"], abs=1e-12)
        assert [point.threshold for point in points] == pytest.approx(want["threshold"], abs=1e-6)
    for target, want in zip(expected["far_targets"], expected["ijb_evals"]["both"]["tpir_mean"], strict=True):
        mean = mean_tpir_at_fpir(list(searches.values()), target)
        assert mean.tpir == pytest.approx(want, abs=1e-12)
        assert [point.mated for point in mean.galleries] == [430, 270]
        assert mean.resolved == (target >= 1 / 270)


def test_golden_pfe(found):
    expected, searches = found
    for name, one in searches.items():
        want = expected["pfe_dir_far"][name]
        points = [tpir_at_fpir(one, target, rule="pfe") for target in want["far_targets"]]
        assert [point.tpir for point in points] == pytest.approx(want["dir_rank_1"], abs=1e-7)
        assert [point.fpir for point in points] == pytest.approx(want["fpir"], abs=1e-7)
        assert [point.threshold for point in points] == pytest.approx(want["threshold"], abs=1e-6)


def test_golden_bob(found):
    expected, searches = found
    for name, one in searches.items():
        for target, want in expected["bob"][name].items():
            for rank in (1, 20):
                point = tpir_at_fpir(one, float(target), rule="bob", rank=rank)
                assert point.tpir == pytest.approx(want[f"tpir_rank_{rank}"], abs=1e-12)
                assert point.fpir == pytest.approx(want["fpir"], abs=1e-12)
                assert point.threshold == pytest.approx(want["threshold"], abs=1e-6)


def test_what_one_percent_allows(found):
    _, searches = found
    allowed = {rule: tpir_at_fpir(searches["g1"], 0.01, rule=rule).allowed for rule in TPIR_RULES}
    assert allowed == {"reference": 2, "pfe": 3, "bob": 2, "strict": 2}


@st.composite
def open_sets(draw):
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    entries, probes = draw(st.integers(1, 5)), draw(st.integers(2, 30))
    subjects = np.concatenate([[0, entries], random.integers(0, 2 * entries, probes - 2)])
    probes_ = random.integers(-2, 3, (probes, 2)).astype(np.float32)
    return probes_, random.integers(-2, 3, (entries, 2)).astype(np.float32), subjects, np.arange(entries)


@settings(max_examples=200, deadline=None)
@given(open_sets(), TARGETS)
def test_rules_are_their_definitions(case, target):
    probes, gallery, wanted, offered = case
    one = search(*case)
    scores = probes @ gallery.T
    mated = np.isin(wanted, offered)
    alarms = np.sort(scores[~mated].max(axis=1))[::-1]
    mates = scores[mated, wanted[mated]]
    rivals = np.array(
        [np.delete(row, who).max(initial=-np.inf) for row, who in zip(scores[mated], wanted[mated], strict=True)]
    )
    later = np.array(
        [np.argsort(row, kind="stable")[-1] == who for row, who in zip(scores[mated], wanted[mated], strict=True)]
    )
    n = alarms.size

    reference = tpir_at_fpir(one, target)
    threshold = alarms[max(int(n * target) - 1, 0)]
    assert reference.threshold == threshold
    assert reference.tpir == np.mean((mates > rivals) & (mates > threshold))
    assert reference.fpir == np.mean(alarms > threshold)

    pfe = tpir_at_fpir(one, target, rule="pfe")
    k = int(np.round(n * target))
    threshold = alarms[k - 1] if k else np.float32(alarms[0]) + np.float32(1e-5)
    assert pfe.tpir == np.mean(later & (mates >= threshold))
    assert pfe.fpir == np.mean(alarms >= threshold)

    keeping = [score for score in alarms if np.mean(alarms >= score) <= target]
    bob = tpir_at_fpir(one, target, rule="bob")
    threshold = min(keeping, default=np.nextafter(alarms[0], np.float32(np.inf)))
    assert bob.threshold == threshold
    assert bob.tpir == np.mean((mates > rivals) & (mates >= threshold))

    strict = tpir_at_fpir(one, target, rule="strict")
    safe = [t for t in [*mates, *alarms, np.inf] if np.mean(alarms >= t) <= target]
    assert strict.tpir == max(np.mean((mates > rivals) & (mates >= t)) for t in safe)
    assert strict.fpir <= target
    assert strict.tpir >= bob.tpir
    for point in (reference, pfe, bob, strict):
        assert (point.mated, point.non_mated, point.target) == (mates.size, n, target)
        assert point.hits / point.mated == point.tpir
        assert point.resolved == (1 / n <= target)


def test_refuses():
    vectors = np.eye(3, dtype=np.float32)
    closed = search(vectors, vectors, [1, 2, 3], [1, 2, 3])
    stranger = search(vectors, vectors, [7, 8, 9], [1, 2, 3])
    with pytest.raises(MetricError, match="not in the gallery; found none"):
        tpir_at_fpir(closed, 0.1)
    with pytest.raises(MetricError, match="are in the gallery; found none"):
        tpir_at_fpir(stranger, 0.1)
    mixed = search(vectors, vectors, [1, 8, 9], [1, 2, 3])
    with pytest.raises(MetricError, match="between 0 and 1"):
        tpir_at_fpir(mixed, 10)
    with pytest.raises(MetricError, match="at least 1"):
        tpir_at_fpir(mixed, 0.1, rank=0)
    with pytest.raises(UnknownName):
        tpir_at_fpir(mixed, 0.1, rule="ijb_1n")
    with pytest.raises(MetricError, match="at least one search"):
        mean_tpir_at_fpir([], 0.1)
