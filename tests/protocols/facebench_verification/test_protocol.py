from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from facebench import ConfigError, DataError, Embeddings, MetricError
from facebench import metrics as numbers
from facebench.config import build_options
from facebench.testing import check_protocol, toy_result
from facebench_verification.faces import PairFaces
from facebench_verification.options import PairsOptions, VerificationOptions
from facebench_verification.pairs import Pairs, read_pairs
from facebench_verification.plugin import facebench_protocols
from facebench_verification.protocol import Verification
from facebench_verification.sources import LFW, OWN

FOLDS, PEOPLE, PICTURES, D = 5, 6, 4, 8
SPECS = {spec.name: spec for spec in facebench_protocols()}


def pairs_of(random, *, folds=FOLDS, per_fold=30, subjects=True):
    """Random pairs of named people, both kinds in every fold, people apart from fold to fold."""
    first, second, same, who, partner = [], [], [], [], []
    for fold in range(folds):
        rows = np.arange(PEOPLE * PICTURES) + fold * PEOPLE * PICTURES
        every = np.array(list(combinations(rows, 2)))
        alike = every[:, 0] // PICTURES == every[:, 1] // PICTURES
        for kind, count in ((alike, per_fold // 2), (~alike, per_fold - per_fold // 2)):
            chosen = every[kind][random.permutation(kind.sum())[:count]]
            first.append(chosen[:, 0])
            second.append(chosen[:, 1])
            same.append(chosen[:, 0] // PICTURES == chosen[:, 1] // PICTURES)
    a, b = np.concatenate(first), np.concatenate(second)
    who, partner = (np.char.add("p", (rows // PICTURES).astype(str)) for rows in (a, b))
    return Pairs(
        first=np.char.add("k", np.char.zfill(a.astype(str), 4)),
        second=np.char.add("k", np.char.zfill(b.astype(str), 4)),
        same=np.concatenate(same),
        subjects=(who, partner) if subjects else None,
        folds=folds,
        lines=np.arange(1, len(a) + 1),
    )


def embeddings_of(pairs, random, *, noise=1.0, mirrored=True):
    keys = pairs.keys
    people = np.array([int(key[1:]) // PICTURES for key in keys])
    centres = random.normal(size=(people.max() + 1, D))
    vectors = (centres[people] + noise * random.normal(size=(len(keys), D))) * random.uniform(1, 5, (len(keys), 1))
    flipped = (vectors + 0.5 * random.normal(size=vectors.shape)).astype(np.float32) if mirrored else None
    return Embeddings(keys=keys, vectors=vectors.astype(np.float32), mirrored=flipped, fingerprint="0" * 16)


@pytest.fixture
def pairs():
    return pairs_of(np.random.default_rng(3))


@pytest.fixture
def embeddings(pairs):
    return embeddings_of(pairs, np.random.default_rng(4))


def evaluated(pairs, embeddings, *, folds=10, place=OWN, seed=0, **chosen):
    protocol = Verification(place, VerificationOptions(**{"samples": 20, "far": (0.1, 0.02), **chosen}), folds=folds)
    return protocol.evaluate(embeddings, PairFaces("toy", pairs, None, listed_in="toy"), seed=seed)


def metric(evaluation, name, rule="reference", mirror=None):
    for found in evaluation.metrics:
        if (found.name, found.rule) == (name, rule) and mirror in (None, found.mirror):
            return found
    raise AssertionError(f"no {name} by {rule}: {[m.name for m in evaluation.metrics]}")


# By hand: plain loops over pairs, from the definitions, without the room under test or facebench.metrics.


def by_hand(pairs, embeddings, mirror):
    row = {key: index for index, key in enumerate(embeddings.keys.tolist())}

    def vector(key):
        plain = embeddings.vectors[row[key]].astype(np.float64)
        if mirror == "none":
            fused = plain
        else:
            other = embeddings.mirrored[row[key]].astype(np.float64)
            fused = plain + other if mirror == "sum" else np.concatenate([plain, other])
        return fused / np.sqrt((fused**2).sum())

    distances = np.array(
        [((vector(a) - vector(b)) ** 2).sum() for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    )
    return distances, pairs.same


def accuracy_by_hand(distances, same, folds):
    grid = [0.01 * step for step in range(400)]
    size = len(distances) // folds
    accuracies, thresholds = [], []
    for fold in range(folds):
        test = set(range(fold * size, (fold + 1) * size))
        train = [n for n in range(len(distances)) if n not in test]
        right = [sum((distances[n] < t) == same[n] for n in train) for t in grid]
        best = grid[right.index(max(right))]
        accuracies.append(sum((distances[n] < best) == same[n] for n in test) / size)
        thresholds.append(best)
    return np.mean(accuracies), np.std(accuracies), np.mean(thresholds), accuracies


def tar_by_hand(scores, same, target):
    """The largest share of genuine pairs accepted by any threshold whose false accepts stay within the target."""
    genuine, impostor = scores[same], scores[~same]
    return max(
        (np.mean(genuine >= t) for t in [*scores, np.inf] if np.mean(impostor >= t) <= target + 1e-12), default=0.0
    )


@pytest.mark.parametrize("mirror", ["sum", "none", "concat"])
def test_the_numbers_are_those_by_hand(pairs, embeddings, mirror):
    found = evaluated(pairs, embeddings, mirror=mirror)
    distances, same = by_hand(pairs, embeddings, mirror)
    mean, std, threshold, folds = accuracy_by_hand(distances, same, FOLDS)
    assert metric(found, "accuracy").value == pytest.approx(mean, abs=1e-12)
    assert metric(found, "accuracy-std").value == pytest.approx(std, abs=1e-12)
    assert metric(found, "threshold").value == pytest.approx(1 - threshold / 2, abs=1e-9)
    assert found.folds["accuracy"] == pytest.approx(folds)
    scores = 1 - distances / 2
    np.testing.assert_allclose(found.scores["score"], scores, atol=1e-12)
    wins = [np.mean(g > scores[~same]) + np.mean(g == scores[~same]) / 2 for g in scores[same]]
    assert metric(found, "auc").value == pytest.approx(np.mean(wins), abs=1e-12)
    for far, name in ((0.1, "tar@far=1e-1"), (0.02, "tar@far=2e-2")):
        assert metric(found, name, rule="strict").value == pytest.approx(tar_by_hand(scores, same, far))
    assert 0.6 < mean < 1  # neither trivial nor hopeless, so that a mistake would show


@pytest.mark.parametrize("mirror", ["sum", "none", "concat"])
def test_the_numbers_are_those_of_facebench_metrics(pairs, embeddings, mirror):
    found = evaluated(pairs, embeddings, mirror=mirror)
    distances, same = by_hand(pairs, embeddings, mirror)
    scores = 1 - distances / 2
    genuine, impostor = scores[same], scores[~same]
    for rule in ("reference", "strict"):
        wanted = numbers.fold_accuracy(distances, same, folds=FOLDS, rule=rule)
        assert metric(found, "accuracy", rule).value == pytest.approx(wanted.mean)
        assert metric(found, "accuracy", rule).detail["standard error"] == pytest.approx(wanted.standard_error)
        assert metric(found, "threshold", rule).detail["squared distance"] == pytest.approx(wanted.best_threshold)
        for far, name in ((0.1, "tar@far=1e-1"), (0.02, "tar@far=2e-2")):
            point = numbers.tar_at_far(genuine, impostor, target=far, rule=rule)
            assert metric(found, name, rule).value == pytest.approx(point.tar)
            assert metric(found, name, rule).detail["far"] == pytest.approx(point.far)
    val = numbers.val_at_far(distances, same, target=0.1, folds=FOLDS)
    assert metric(found, "val@far=1e-1").value == pytest.approx(val.val)
    assert metric(found, "eer", "interpolation").value == pytest.approx(
        numbers.equal_error_rate(genuine, impostor, rule="interpolation").value
    )
    assert metric(found, "dprime").value == pytest.approx(numbers.dprime(genuine, impostor))
    both = np.concatenate([pairs.first, pairs.second])
    rows = embeddings.rows(both)
    norms = [
        np.linalg.norm(side[rows].astype(np.float64), axis=1) for side in (embeddings.vectors, embeddings.mirrored)
    ]
    assert metric(found, "xnorm").value == pytest.approx(np.mean(norms))


def test_intervals_hold_their_values_and_say_how_they_were_made(pairs, embeddings):
    found = evaluated(pairs, embeddings, samples=200)
    for name, rule, method in (
        ("accuracy", "reference", "Student t over folds"),
        ("auc", "reference", "subject bootstrap, percentile"),
        ("eer", "interpolation", "subject bootstrap, percentile"),
        ("tar@far=1e-1", "strict", "subject bootstrap, percentile"),
    ):
        interval = metric(found, name, rule).interval
        assert interval.method == method
        assert 0 <= interval.low <= metric(found, name, rule).value <= interval.high <= 1
        assert interval.low < interval.high


def test_the_seed_decides_intervals_and_nothing_else(pairs, embeddings):
    one, same, two = (evaluated(pairs, embeddings, samples=50, seed=seed) for seed in (0, 0, 1))
    assert one.metrics == same.metrics
    assert [m.value for m in one.metrics] == [m.value for m in two.metrics]
    assert metric(one, "auc").interval != metric(two, "auc").interval


def test_without_samples_there_are_no_bootstrap_intervals(pairs, embeddings):
    found = evaluated(pairs, embeddings, samples=0)
    assert metric(found, "auc").interval is None
    assert metric(found, "tar@far=1e-1").interval is None
    assert metric(found, "accuracy").interval.method == "Student t over folds"


def test_without_rates_there_are_none(pairs, embeddings):
    assert not [m for m in evaluated(pairs, embeddings, far=()).metrics if "far" in m.name]


def test_the_order_of_rows_is_free(pairs, embeddings):
    order = np.random.default_rng(9).permutation(len(embeddings.keys))
    moved = Embeddings(
        keys=np.append(embeddings.keys[order], "nobody"),
        vectors=np.vstack([embeddings.vectors[order], np.ones((1, D), np.float32)]),
        mirrored=np.vstack([embeddings.mirrored[order], np.ones((1, D), np.float32)]),
    )
    straight, turned = evaluated(pairs, embeddings), evaluated(pairs, moved)
    assert straight.metrics == turned.metrics
    np.testing.assert_array_equal(straight.scores["score"], turned.scores["score"])


def test_mirrors_change_the_numbers_and_the_plain_accuracy_stands_beside(pairs, embeddings):
    added, plain, beside = (evaluated(pairs, embeddings, mirror=mirror) for mirror in ("sum", "none", "concat"))
    assert len({tuple(found.scores["score"].tolist()) for found in (added, plain, beside)}) == 3
    for found in (added, beside):
        assert metric(found, "accuracy", mirror="none").value == metric(plain, "accuracy").value
    assert {m.mirror for m in plain.metrics} == {"none"}
    assert "not used" in plain.rules["mirror"]
    assert "added" in added.rules["mirror"]


def test_scores_are_kept_with_who_was_compared(pairs, embeddings):
    found = evaluated(pairs, embeddings)
    assert set(found.scores) == {"score", "same", "first", "second", "first_subject", "second_subject", "fold"}
    assert found.scores["first"].tolist() == pairs.first.tolist()
    assert found.counts == {"pairs": 150, "genuine": 75, "impostor": 75, "subjects": 30}


def test_pairs_of_nobody_known_carry_a_warning(pairs, embeddings):
    found = evaluated(replace(pairs, subjects=None), embeddings)
    assert found.warnings == ("the list does not say who is shown: intervals resample pairs and are likely too narrow",)
    assert "subjects" not in found.counts
    assert metric(found, "auc").interval.method != "subject bootstrap, percentile"
    assert metric(found, "auc").value == metric(evaluated(pairs, embeddings), "auc").value


def test_the_lists_folds_go_before_the_options(pairs, embeddings):
    assert len(evaluated(pairs, embeddings, folds=3).folds["accuracy"]) == FOLDS
    assert len(evaluated(replace(pairs, folds=None), embeddings, folds=3).folds["accuracy"]) == 3


def test_it_is_a_result(pairs, embeddings):
    result = toy_result("pairs", evaluated(pairs, embeddings))
    document = json.loads(result.to_json())
    assert [curve["name"] for curve in document["curves"]] == ["roc", "scores"]
    assert result.metric("accuracy").rule == "reference"


# What cannot be computed.


def test_a_face_without_embedding_is_named(pairs, embeddings):
    few = Embeddings(keys=embeddings.keys[1:], vectors=embeddings.vectors[1:], mirrored=embeddings.mirrored[1:])
    with pytest.raises(
        DataError, match=rf"no embedding for '{embeddings.keys[0]}' \(1 of {len(embeddings.keys)} faces"
    ):
        evaluated(pairs, few)


@pytest.mark.parametrize("mirror", ["sum", "concat"])
def test_mirrors_that_are_not_there_are_asked_for(pairs, mirror):
    plain = embeddings_of(pairs, np.random.default_rng(4), mirrored=False)
    with pytest.raises(
        MetricError, match=f"mirror fusion '{mirror}' needs embeddings .* or set protocol.lfw.mirror=none"
    ):
        evaluated(pairs, plain, mirror=mirror, place=LFW)
    assert metric(evaluated(pairs, plain, mirror="none"), "accuracy").value > 0.5


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_only_is_refused(pairs, embeddings, kind):
    chosen = pairs.same == kind
    one = replace(
        pairs,
        first=pairs.first[chosen],
        second=pairs.second[chosen],
        same=pairs.same[chosen],
        subjects=None,
        lines=pairs.lines[chosen],
    )
    with pytest.raises(MetricError):
        evaluated(one, embeddings)


def test_a_rate_below_the_resolution_is_absent_with_the_reason(pairs, embeddings):
    found = evaluated(pairs, embeddings, far=(1e-3,))
    for rule in ("reference", "strict"):
        absent = metric(found, "tar@far=1e-3", rule)
        assert absent.value is None
        assert absent.interval is None
        assert absent.reason == "FAR 1e-3 is below what 75 impostor pairs resolve"
    assert metric(found, "val@far=1e-3").reason == "FAR 1e-3 is below what 60 impostor pairs of the other folds resolve"


def test_a_list_sorted_by_kind_loses_only_what_needs_both_in_every_fold(pairs, embeddings):
    order = np.argsort(~pairs.same, kind="stable")
    by_kind = replace(
        pairs,
        first=pairs.first[order],
        second=pairs.second[order],
        same=pairs.same[order],
        subjects=None,
        lines=pairs.lines[order],
    )
    found = evaluated(by_kind, embeddings)
    val = metric(found, "val@far=1e-1")
    assert val.value is None
    assert "needs same and different pairs in every fold" in val.reason
    assert metric(found, "auc").value == metric(evaluated(pairs, embeddings), "auc").value


def test_faces_of_something_else_are_a_bug(embeddings):
    with pytest.raises(TypeError, match="expected the faces of this protocol"):
        Verification(LFW, VerificationOptions(), folds=10).evaluate(embeddings, object(), seed=0)


# Options.


@pytest.mark.parametrize("far", [[0.0], [1.0], [-1e-3], [2], [1e-2, 1e-2], [float("nan")]])
def test_senseless_rates_are_refused_before_anything_is_trained(far):
    for cls in (VerificationOptions, PairsOptions):
        with pytest.raises(ConfigError, match="far"):
            build_options(cls, {"far": far}, "protocol.pairs")


@pytest.mark.parametrize("values", [{"mirror": "flip"}, {"samples": -1}, {"folds": 1}])
def test_senseless_options_are_refused(values):
    with pytest.raises(ConfigError, match=rf"protocol\.pairs\.{next(iter(values))}"):
        build_options(PairsOptions, values, "protocol.pairs")


# Lists that cannot be evaluated are told when they are opened.


@pytest.mark.parametrize(
    ("text", "folds", "said"),
    [
        ("a b 1\nc d 1\n", 2, "all 2 pairs show the same person; verification needs both kinds"),
        ("a b 0\nc d 0\n", 2, "all 2 pairs show two people; verification needs both kinds"),
        ("a b 0\nc d 1\n", 10, "2 pairs in 10 folds; at least 2 folds of one pair are needed"),
        ("1 1\nAnn 1 2\nAnn 1 Bob 1\n", 10, "2 pairs in 1 folds"),
    ],
)
def test_lists_without_a_meaning(tmp_path, text, folds, said):
    (tmp_path / "pairs.txt").write_text(text)
    protocol = Verification(OWN, PairsOptions(), folds=folds)
    with pytest.raises(DataError, match=said) as error:
        protocol.faces(tmp_path, images=False)
    assert str(tmp_path / "pairs.txt") in str(error.value)


# The specs.


@pytest.mark.parametrize("name", ["lfw", "pairs"])
def test_the_specs_keep_their_promises(name):
    check_protocol(SPECS[name])


def test_what_is_offered():
    assert {"lfw", "pairs"} <= set(SPECS)
    assert all(spec.layout and spec.summary for spec in SPECS.values())


def test_folds_of_a_list_of_ones_own_are_an_option(pairs, embeddings):
    protocol = SPECS["pairs"].build(PairsOptions(folds=3, samples=0, far=()))
    faces = PairFaces("toy", replace(pairs, folds=None), None, listed_in="toy")
    assert len(protocol.evaluate(embeddings, faces, seed=0).folds["accuracy"]) == 3


# Lists as strangers write them.


def test_a_byte_order_mark_is_no_part_of_a_list(tmp_path):
    (tmp_path / "p.txt").write_text("1 1\nAnn 1 2\nAnn 1 Bob 1\n", encoding="utf-8-sig")
    assert read_pairs(tmp_path / "p.txt").folds == 1


@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1", "1.5"])
def test_numbers_that_are_none_are_told_with_their_line(tmp_path, number):
    (tmp_path / "p.txt").write_text(f"Ann 1 2\nAnn 1 {number}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: expected") as error:
        read_pairs(tmp_path / "p.txt")
    assert len(str(error.value)) < 400
