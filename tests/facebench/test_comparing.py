from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebench import DataError, FacebenchError
from facebench.comparing import compare
from facebench.metrics import auc, fold_accuracy, tar_at_far
from facebench.scorefiles import Kept
from facebench.testing import toy_result

PEOPLE = 60


def listed(seed=0):
    """Comparisons of many people, in ten folds' order, with what is hard about each."""
    random = np.random.default_rng(seed)
    first = random.integers(0, PEOPLE, 2000)
    same = np.arange(2000) % 2 == 0
    second = np.where(same, first, (first + random.integers(1, PEOPLE, 2000)) % PEOPLE)
    return first, second, same, random.normal(0, 0.15, 2000)


def kept(name, noise, *, seed, data=None, **changes):
    """Scores of a method: all methods find the same pairs hard."""
    first, second, same, hard = listed()
    scores = np.clip(0.55 * same + hard + np.random.default_rng(seed).normal(0, noise, 2000), -1, 1)
    columns = {
        "score": scores,
        "same": same,
        "first": np.char.add("a", np.arange(2000).astype(str)),
        "second": np.char.add("b", np.arange(2000).astype(str)),
        "first_subject": first.astype(str),
        "second_subject": second.astype(str),
    }
    result = None
    if data is not None:
        result = toy_result("lfw")
        subject = result.subject.model_copy(update={"model": name, **changes})
        result = result.model_copy(update={"subject": subject, "data": data})
        columns["fold"] = np.repeat(np.arange(10), 200)
    return Kept(Path(f"{name}.npz"), columns, result)


def with_columns(method, **columns):
    return Kept(method.path, {**method.columns, **columns}, method.result)


def gap_of(found, name, pairing=0):
    return next(gap for gap in found.pairings[pairing].gaps if gap.name == name)


def test_differences_are_those_of_the_metrics():
    data = toy_result().data
    good, bad = kept("good", 0.05, seed=1, data=data), kept("bad", 0.3, seed=2, data=data)
    found = compare([good, bad], far=(1e-2,), samples=200)
    assert found.methods == ("toy, good", "toy, bad")
    assert found.data == "lfw (demo)"
    one, other = good.pairs(), bad.pairs()
    assert gap_of(found, "auc").value == pytest.approx(
        auc(one.genuine, one.impostor) - auc(other.genuine, other.impostor)
    )
    tars = [tar_at_far(s.genuine, s.impostor, target=1e-2, rule="strict").tar for s in (one, other)]
    assert gap_of(found, "tar@far=1e-2").value == pytest.approx(tars[0] - tars[1])
    accuracies = [fold_accuracy(2 - 2 * s.score, s.same, folds=10).mean for s in (one, other)]
    assert gap_of(found, "accuracy").value == pytest.approx(accuracies[0] - accuracies[1])
    for gap in found.pairings[0].gaps:
        assert gap.verdict == "first"
        assert gap.interval.low <= gap.value <= gap.interval.high
        assert gap.corrected is None
    decisions = found.pairings[0].decisions
    assert (decisions.only_first - decisions.only_second) / 2000 == pytest.approx(accuracies[0] - accuracies[1])
    assert not found.warnings


def test_folds_are_those_that_were_kept():
    data = toy_result().data
    one, other = kept("one", 0.1, seed=1, data=data), kept("other", 0.2, seed=2, data=data)
    fold = np.random.default_rng(3).integers(0, 5, 2000)
    found = compare([with_columns(method, fold=fold) for method in (one, other)], far=(), samples=20)
    accuracies = [fold_accuracy(2 - 2 * s.score, s.same, folds=fold).mean for s in (one.pairs(), other.pairs())]
    weights = np.bincount(fold)
    expected = [
        np.average(fold_accuracy(2 - 2 * s.score, s.same, folds=fold).folds, weights=weights)
        for s in (one.pairs(), other.pairs())
    ]
    assert gap_of(found, "accuracy").value == pytest.approx(expected[0] - expected[1])
    assert expected == pytest.approx(accuracies, abs=2e-3)
    assert gap_of(found, "accuracy").rule == "the thresholds of 5 folds, as in the accuracy"


def test_folds_of_groups_are_folds_within_them():
    data = toy_result().data
    one, other = kept("one", 0.1, seed=1, data=data), kept("other", 0.2, seed=2, data=data)
    group, fold = np.repeat(["a", "b"], 1000), np.tile(np.repeat(np.arange(10), 100), 2)
    shift = np.where(group == "a", 0.0, 0.3)
    methods = [
        with_columns(method, score=np.clip(method.columns["score"] - shift, -1, 1), group=group, fold=fold)
        for method in (one, other)
    ]
    found = compare(methods, far=(), samples=20)
    means = []
    for method in methods:
        s = method.pairs()
        halves = [
            fold_accuracy(2 - 2 * s.score[part], s.same[part], folds=10).mean for part in (group == "a", group == "b")
        ]
        means.append(np.mean(halves))
    assert gap_of(found, "accuracy").value == pytest.approx(means[0] - means[1])
    assert gap_of(found, "accuracy").rule == "the thresholds of 10 folds of each of 2 groups, as in the accuracy"


def test_one_rule_of_accuracy_for_all_methods():
    one = kept("one", 0.1, seed=1, data=toy_result().data)
    bare = Kept(Path("bare.csv"), {name: column for name, column in one.columns.items() if name != "fold"}, None)
    third = kept("third", 0.1, seed=2, data=toy_result().data)
    found = compare([one, bare, third], far=(), samples=20)
    assert gap_of(found, "accuracy").value == 0
    for pairing in range(3):
        assert gap_of(found, "accuracy", pairing).rule == "each method's threshold of equal error rates"
    # Scores that are no cosines have no squared distance for the thresholds of folds.
    scaled = [with_columns(method, score=5 * method.columns["score"]) for method in (one, third)]
    assert "equal error rates" in gap_of(compare(scaled, far=(), samples=20), "accuracy").rule


def test_equal_methods_are_undecided_and_order_only_changes_signs():
    one, other = kept("one", 0.1, seed=1), kept("other", 0.1, seed=2)
    there, back = (compare(pair, samples=300) for pair in ([one, other], [other, one]))
    for gap, mirrored in zip(there.pairings[0].gaps, back.pairings[0].gaps, strict=True):
        assert gap.value == pytest.approx(-mirrored.value)
        assert gap.p_value == pytest.approx(mirrored.p_value, abs=0.02)
    assert gap_of(there, "auc").verdict == "undecided"


def test_a_paired_difference_is_narrower_than_two_intervals():
    one, other = kept("one", 0.03, seed=1), kept("other", 0.03, seed=2)
    gap = gap_of(compare([one, other], samples=300), "auc")
    shuffled = np.random.default_rng(0).permutation(1000)
    scores = other.columns["score"].copy()
    for part in (slice(0, None, 2), slice(1, None, 2)):
        scores[part] = scores[part][shuffled]  # as good, but on other pairs
    apart = gap_of(compare([one, with_columns(other, score=scores)], samples=300), "auc")
    assert apart.value == pytest.approx(gap.value)
    assert apart.interval.high - apart.interval.low > 1.5 * (gap.interval.high - gap.interval.low)


def test_several_methods_are_corrected():
    methods = [kept(name, noise, seed=at) for at, (name, noise) in enumerate([("a", 0.1), ("b", 0.1), ("c", 0.12)])]
    found = compare(methods, samples=200)
    assert [(one.first, one.second) for one in found.pairings] == [
        ("a.npz", "b.npz"),
        ("a.npz", "c.npz"),
        ("b.npz", "c.npz"),
    ]
    gaps = [gap_of(found, "auc", at) for at in range(3)]
    assert min(gap.corrected for gap in gaps) == pytest.approx(min(1, 3 * min(gap.p_value for gap in gaps)))
    assert all(gap.corrected >= gap.p_value for gap in gaps)
    assert all(one.decisions.corrected is not None for one in found.pairings)


def test_scores_without_a_result_decide_where_errors_are_equal():
    found = compare([kept("one", 0.1, seed=1), kept("other", 0.1, seed=2)], samples=50)
    assert "equal error rates" in gap_of(found, "accuracy").rule
    assert any("do not tell which pictures" in said for said in found.warnings)


def test_rates_that_impostors_do_not_resolve_are_left_out():
    found = compare([kept("one", 0.1, seed=1), kept("other", 0.1, seed=2)], far=(1e-2, 1e-5), samples=50)
    assert {gap.name for gap in found.pairings[0].gaps} == {"accuracy", "tar@far=1e-2", "auc", "eer"}
    assert any("FAR 1e-05 is below what 1,000 impostor pairs resolve" in said for said in found.warnings)


def test_the_smallest_rate_that_impostors_resolve_is_compared():
    for count in (49, 93, 103):
        methods = []
        for name, method in [("one", kept("one", 0.1, seed=1)), ("other", kept("other", 0.1, seed=2))]:
            same = method.columns["same"]
            rows = np.concatenate([np.flatnonzero(same)[:50], np.flatnonzero(~same)[:count]])
            columns = {key: method.columns[key][rows] for key in ("score", "same")}
            methods.append(Kept(Path(f"{name}.csv"), columns, None))
        found = compare(methods, far=(1 / count,), samples=20)
        assert sum(gap.name.startswith("tar@far") for gap in found.pairings[0].gaps) == 1


def test_every_two_methods_are_checked():
    bare, one, other = kept("bare", 0.1, seed=1), kept("one", 0.1, seed=2), kept("other", 0.1, seed=3)
    for sides in (("first", "second"), ("first_subject", "second_subject")):
        without = Kept(bare.path, {name: c for name, c in bare.columns.items() if name not in sides}, None)
        changed = other.columns[sides[0]].astype("U9")
        changed[7] = "x"
        with pytest.raises(FacebenchError, match=r"one\.npz and other\.npz were not .* differ, first in comparison 8"):
            compare([without, one, with_columns(other, **{sides[0]: changed})], samples=20)
    fold = np.repeat(np.arange(10), 200)
    with pytest.raises(FacebenchError, match="folds differ, first in comparison 1"):
        compare([bare, with_columns(one, fold=fold), with_columns(other, fold=fold[::-1])], samples=20)


def test_subjects_that_any_method_knows_serve_all():
    methods = [kept(name, 0.1, seed=seed) for seed, name in enumerate("abc")]
    sides = ("first_subject", "second_subject")
    bare = [Kept(m.path, {name: c for name, c in m.columns.items() if name not in sides}, None) for m in methods]
    shared = compare([*bare[:2], methods[2]], samples=50)
    everywhere = compare(methods, samples=50)
    assert shared.pairings == everywhere.pairings
    assert not any("who is compared" in said for said in shared.warnings)
    nowhere = compare(bare, samples=50)
    assert "pair bootstrap" in gap_of(nowhere, "auc").interval.method
    assert any("do not say who is compared" in said for said in nowhere.warnings)


@pytest.mark.parametrize("samples", [0, -1])
def test_a_bootstrap_needs_replicates(samples):
    for methods in ([searched("one", 1, 1), searched("two", 0, 2)], [kept("a", 0.1, seed=1), kept("b", 0.1, seed=2)]):
        with pytest.raises(FacebenchError, match="at least one replicate"):
            compare(methods, samples=samples)


@pytest.mark.parametrize(
    ("column", "said"), [("same", "labels differ"), ("first", "pictures differ"), ("second_subject", "subjects differ")]
)
def test_other_comparisons_are_refused(column, said):
    one, other = kept("one", 0.1, seed=1), kept("other", 0.1, seed=2)
    changed = other.columns[column].copy()
    changed[7] = ~changed[7] if column == "same" else "x"
    with pytest.raises(
        FacebenchError,
        match=f"one.npz and other.npz were not measured on the same comparisons: {said}, first in comparison 8",
    ):
        compare([one, with_columns(other, **{column: changed})])


def test_another_number_of_comparisons_is_refused():
    one, other = kept("one", 0.1, seed=1), kept("other", 0.1, seed=2)
    fewer = Kept(other.path, {name: column[:-2] for name, column in other.columns.items()}, None)
    with pytest.raises(FacebenchError, match=r"2,000 and 1,998 of them"):
        compare([one, fewer])


def test_results_on_other_data_are_refused():
    data = toy_result().data
    demo = kept("one", 0.1, seed=1, data=data)
    with pytest.raises(FacebenchError, match=r"different data: lfw \(demo\) and lfw;"):
        compare([demo, kept("two", 0.1, seed=2, data=data.model_copy(update={"demo": False}))])
    copy = data.model_copy(update={"fingerprint": "f" * 16})
    with pytest.raises(FacebenchError, match=r"different copies of lfw \(demo\): data 000000000000 and ffffffffffff"):
        compare([demo, kept("two", 0.1, seed=2, data=copy)])
    # Embeddings from elsewhere never saw the pictures: their fingerprint is of the list alone.
    found = compare([demo, kept("two", 0.1, seed=2, data=copy, plugin="embeddings")], samples=20)
    assert any("do not tell which pictures" in said for said in found.warnings)


def test_methods_of_one_name_are_told_apart_by_their_files():
    data = toy_result().data
    one, other = kept("same", 0.1, seed=1, data=data), kept("same", 0.1, seed=2, data=data)
    other = Kept(Path("elsewhere.npz"), other.columns, other.result)
    assert compare([one, other], samples=20).methods == ("toy, same (same.npz)", "toy, same (elsewhere.npz)")


def test_one_method_is_no_comparison():
    one = kept("one", 0.1, seed=1)
    with pytest.raises(FacebenchError, match="at least two methods; found 1"):
        compare([one])
    with pytest.raises(FacebenchError, match=r"one\.npz is given more than once"):
        compare([one, one])


def searched(name, lead, seed, people=80):
    random = np.random.default_rng(seed)
    subject = np.repeat(np.arange(people), 3)
    hard = np.random.default_rng(0).geometric(0.4, people)[subject] - 1
    place = np.maximum(hard + random.integers(-1, 2, len(subject)) - lead, 0)
    columns = {
        "probe": np.array([f"Probe/{who}_{at}" for at, who in enumerate(subject)]),
        "subject": subject,
        "place": place,
        "average_precision": 1 / (1 + place),
    }
    return Kept(Path(f"{name}.npz"), columns, None)


def test_searches():
    good, bad = searched("good", 1, 1), searched("bad", 0, 2)
    found = compare([good, bad], samples=2000)
    gap = gap_of(found, "rank-1")
    hits = [one.columns["place"] == 0 for one in (good, bad)]
    assert gap.value == pytest.approx(hits[0].mean() - hits[1].mean())
    assert gap.verdict == "first"
    assert gap_of(found, "map").value == pytest.approx(
        good.columns["average_precision"].mean() - bad.columns["average_precision"].mean()
    )
    # People drawn one by one, with all of their probes.
    random, difference = np.random.default_rng(5), (hits[0].astype(float) - hits[1]).reshape(80, 3).mean(axis=1)
    means = [random.choice(difference, 80).mean() for _ in range(4000)]
    low, high = np.quantile(means, [0.025, 0.975])
    assert gap.interval.low == pytest.approx(low, abs=0.012)
    assert gap.interval.high == pytest.approx(high, abs=0.012)
    decisions = found.pairings[0].decisions
    assert decisions.only_first == np.count_nonzero(hits[0] & ~hits[1])


def test_other_searches_are_refused():
    one, other = searched("one", 1, 1), searched("other", 0, 2)
    probe = other.columns["probe"].copy()
    probe[3] = "Probe/x"
    with pytest.raises(FacebenchError, match="probes differ, first in comparison 4"):
        compare([one, with_columns(other, probe=probe)])
    fewer = Kept(other.path, {name: column[:9] for name, column in other.columns.items()}, None)
    with pytest.raises(FacebenchError, match="240 and 9 probes"):
        compare([one, fewer])
    lacking = Kept(other.path, {"place": other.columns["place"]}, None)
    with pytest.raises(DataError, match=r"other\.npz: no column average_precision, probe, subject"):
        compare([one, lacking])


def test_searches_in_other_galleries_are_refused():
    one, other = searched("one", 1, 1), searched("other", 0, 2)
    results = []
    for count in (100, 0):
        result = toy_result("tinyface")
        data = result.data.model_copy(update={"counts": {"distractors": count}})
        subject = result.subject.model_copy(update={"plugin": "embeddings"})
        results.append(result.model_copy(update={"data": data, "subject": subject}))
    one, other = (Kept(m.path, m.columns, r) for m, r in zip((one, other), results, strict=True))
    with pytest.raises(FacebenchError, match="galleries hold 100 and 0 distractors"):
        compare([one, other])
    with pytest.raises(FacebenchError, match="galleries hold 100 and 0 distractors"):
        compare([searched("bare", 0, 3), one, other])


def test_pairs_and_searches_do_not_mix():
    with pytest.raises(DataError, match=r"scores of pairs .* or of searches"):
        compare([kept("pairs", 0.1, seed=1), searched("searches", 0, 2)])
