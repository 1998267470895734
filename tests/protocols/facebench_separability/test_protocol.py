from __future__ import annotations

import numpy as np
import pytest

from facebench import DataError, MetricError
from facebench.testing import toy_result

TAUS = (0.2, 0.35)


def judge(kit, case, **options):
    chosen = {"thresholds": TAUS, "headline": 0.35, **options}
    return kit.protocol(**chosen).evaluate(kit.embeddings(case.faces, case.values), case.faces, seed=0)


def own(case, part):
    """Vectors and people's names of one part."""
    rows = list(case.faces.parts[part])
    return case.values[rows], [case.faces.keys[row].rsplit("/", 1)[0] for row in rows]


@pytest.mark.parametrize("means", ["raw", "unit"])
@pytest.mark.parametrize(("part", "suffix"), [("data", ""), ("beside", "-beside")])
def test_counts_are_those_of_the_definitions(kit, two_of_each, means, part, suffix):
    found = judge(kit, two_of_each, means=means)
    values, names = own(two_of_each, part)
    if means == "unit":
        values = values / np.linalg.norm(values, axis=1, keepdims=True)
    centres = np.stack(list(kit.means(values, names).values()))
    for tau in TAUS:
        for rule, count in kit.counts(centres, tau).items():
            metric = kit.value(found, f"identities-separable@{tau}{suffix}", rule)
            assert (metric.detail["separable"], metric.detail["identities"]) == (count, 12)
            assert metric.value == count / 12
            assert metric.interval is None
    similarity = (centres @ centres.T)[np.triu_indices(12, 1)]
    assert kit.value(found, f"similarity-between{suffix}").value == pytest.approx(similarity.mean(), abs=1e-6)
    assert kit.value(found, f"similarity-between-std{suffix}").value == pytest.approx(similarity.std(), abs=1e-6)
    assert kit.value(found, f"effective-dimension{suffix}").value == pytest.approx(similarity.std() ** -2, rel=1e-4)
    assert kit.value(found, f"pairs-above@0.2{suffix}").detail["above"] == np.count_nonzero(similarity > 0.2)
    nearest = (centres @ centres.T - 2 * np.eye(12)).max(axis=1)
    metric = kit.value(found, f"nearest-similarity{suffix}")
    assert metric.value == pytest.approx(nearest.mean(), abs=1e-6)
    assert metric.detail["largest"] == pytest.approx(nearest.max(), abs=1e-6)


def test_the_headline_comes_first_with_real_people_beside_it(kit, two_of_each):
    found = judge(kit, two_of_each)
    assert [(one.name, one.rule) for one in found.metrics[:4]] == [
        ("identities-separable@0.35", "first-occurrence"),
        ("identities-separable@0.35-beside", "first-occurrence"),
        ("identities-separable@0.35", "strict"),
        ("identities-separable@0.35-beside", "strict"),
    ]
    assert all(one.higher_is_better is None for one in found.metrics if one.name.endswith("-beside"))
    assert toy_result("separability", found)


def test_uniqueness_and_consistency_are_those_of_dcface(kit, two_of_each):
    found = judge(kit, two_of_each)
    values, names = own(two_of_each, "data")
    centres = kit.means(values, names)
    close = [
        [
            float(v @ centres[name] / np.linalg.norm(v)) > 0.35
            for v, who in zip(values, names, strict=True)
            if who == name
        ]
        for name in centres
    ]
    assert kit.value(found, "consistency@0.35").value == pytest.approx(np.mean([np.mean(one) for one in close]))
    first = kit.value(found, "identities-separable@0.35", "first-occurrence")
    assert kit.value(found, "uniqueness@0.35").value == first.value
    assert "diversity" in found.rules


def test_within_identities(kit, two_of_each):
    found = judge(kit, two_of_each, samples=50)
    values, names = own(two_of_each, "data")
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    same = np.asarray(names)[:, None] == np.asarray(names)
    pairs = np.array([(units @ units.T)[i][same[i] & (np.arange(36) != i)].mean() for i in range(36)])
    metric = kit.value(found, "intra-similarity")
    assert metric.value == pytest.approx(pairs.mean(), abs=1e-6)
    assert metric.interval.low < metric.value < metric.interval.high
    assert "people" in metric.interval.method
    inflated = kit.value(found, "similarity-to-centre", "reference").value
    assert metric.value < kit.value(found, "similarity-to-centre", "leave-one-out").value < inflated


def test_pairs_of_faces(kit, two_of_each):
    found = judge(kit, two_of_each, samples=50)
    values, names = own(two_of_each, "data")
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    upper = np.triu_indices(36, 1)
    scores, same = (units @ units.T)[upper], (np.asarray(names)[:, None] == np.asarray(names))[upper]
    genuine, impostor = scores[same], scores[~same]
    assert found.counts["genuine pairs"] == genuine.size == 36
    assert found.counts["impostor pairs"] == impostor.size
    assert kit.value(found, "mean-genuine").value == pytest.approx(genuine.mean(), abs=1e-6)
    assert kit.value(found, "mean-impostor").value == pytest.approx(impostor.mean(), abs=1e-6)
    allowed = np.sort(impostor)[::-1][int(0.01 * impostor.size)]
    assert kit.value(found, "fnmr@fmr=1e-2").value == pytest.approx(np.mean(genuine <= allowed))
    assert kit.value(found, "fnmr@fmr=1e-3").reason == "FAR 1e-3 is below what 594 impostor pairs resolve"
    assert kit.value(found, "tar@far=1e-4").value is None
    gap = (genuine.mean() - impostor.mean()) ** 2 / (genuine.var() + impostor.var())
    assert kit.value(found, "fdr").value == pytest.approx(gap, rel=1e-4)
    assert kit.value(found, "eer").interval.low < kit.value(found, "eer").value


def test_the_threshold_is_that_of_real_impostors(kit, two_of_each):
    found = judge(kit, two_of_each, fmr=0.05)
    values, names = own(two_of_each, "beside")
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    upper = np.triu_indices(36, 1)
    apart = (np.asarray(names)[:, None] != np.asarray(names))[upper]
    impostor = np.sort((units @ units.T)[upper][apart])[::-1]
    tau = impostor[int(0.05 * impostor.size)]
    metric = kit.value(found, "threshold@fmr=5e-2")
    assert (metric.value, metric.rule) == (pytest.approx(tau, abs=1e-6), "beside")
    data, who = own(two_of_each, "data")
    wanted = kit.counts(np.stack(list(kit.means(data, who).values())), metric.value)
    for rule, count in wanted.items():
        assert kit.value(found, "identities-separable@fmr=5e-2", rule).detail["separable"] == count
    assert any("of real people (beside) there are" in text for text in found.warnings)
    assert not any("hides it" in text for text in found.warnings)


def test_frechet_distances_name_their_space(kit, two_of_each):
    found = judge(kit, two_of_each)
    distances = {(one.name, one.rule): one for one in found.metrics if one.name.startswith("frechet")}
    assert set(distances) == {
        ("frechet-distance", "beside"),
        ("frechet-distance", "reference"),
        ("frechet-distance-beside", "reference"),
    }
    one = distances["frechet-distance", "beside"]
    assert one.value > 0
    assert one.detail == {"faces": 36, "faces (beside)": 36, "space": "evaluated network"}


def test_the_order_of_faces_and_embeddings_is_no_matter(kit, two_of_each):
    random = np.random.default_rng(1)
    straight = judge(kit, two_of_each, samples=20)
    data, real, learned = (
        faces.moved(random.permutation(len(faces)))
        for faces in (two_of_each.data, two_of_each.real, two_of_each.learned)
    )
    moved = kit.protocol().faces_of(data, beside=real, reference=learned)
    assert moved.keys == two_of_each.faces.keys
    order = random.permutation(len(moved))
    given = kit.embeddings(two_of_each.faces, two_of_each.values)
    shuffled = type(given)(keys=given.keys[order], vectors=given.vectors[order])
    chosen = kit.protocol(thresholds=TAUS, headline=0.35, samples=20)
    again = chosen.evaluate(shuffled, moved, seed=0)
    assert again.metrics == straight.metrics
    assert again.curves == straight.curves


def test_another_set_of_names_changes_the_order_but_not_the_strict_count(kit):
    faces = kit.people(14, 2)
    values = kit.vectors(faces, size=5)
    turned = kit.Toys([f"x{99 - int(key[3:7])}/{key[-1]}" for key in faces.keys], faces.labels)
    one, other = (kit.protocol().evaluate(kit.embeddings(each, values), each, seed=0) for each in (faces, turned))
    assert kit.value(one, "identities-separable@0.4", "strict") == kit.value(
        other, "identities-separable@0.4", "strict"
    )
    assert kit.value(one, "identities-separable@0.4") != kit.value(other, "identities-separable@0.4")


def test_few_real_people_are_compared_at_their_number(kit):
    data, real = kit.people(20, 2), kit.people(6, 2, first=50)
    faces = kit.protocol().faces_of(data, beside=real)
    values = kit.vectors(faces, size=4)
    found = kit.protocol().evaluate(kit.embeddings(faces, values), faces, seed=0)
    names = [key.rsplit("/", 1)[0] for key in faces.keys]
    centres = np.stack(list(kit.means(values[:40], names[:40]).values()))[:6]
    for rule, count in kit.counts(centres, 0.4).items():
        metric = kit.value(found, "identities-separable@0.4-beside", rule)
        assert metric.detail["as many of the judged identities"] == count / 6
    assert any("only 6 people beside 20 judged identities" in text for text in found.warnings)


def test_single_faces_and_faces_of_nobody_are_told(kit):
    data = kit.Toys(["a/1", "a/2", "b/1", "c/1", "d"], [0, 0, 1, 2, -1])
    faces = kit.protocol().faces_of(data)
    found = kit.protocol().evaluate(kit.embeddings(faces, kit.vectors(faces)), faces, seed=0)
    assert "1 faces without a label were left out" in found.warnings
    assert any(text.startswith("2 of 3 judged identities have a single face") for text in found.warnings)
    assert any("hides it" in text for text in found.warnings) == (
        kit.value(found, "threshold@fmr=1e-1").value is not None
    )
    assert found.scores["faces"].tolist() == [2, 1, 1]
    assert found.scores["identity"].tolist() == ["a/1", "b/1", "c/1"]
    assert np.isnan(found.scores["pairwise"]).tolist() == [False, True, True]


def test_no_identity_with_two_faces_leaves_genuine_pairs_absent(kit):
    faces = kit.people(15, 1)
    found = kit.protocol(samples=20).evaluate(kit.embeddings(faces, kit.vectors(faces)), faces, seed=0)
    absent = {one.name for one in found.metrics if one.value is None}
    assert {"intra-similarity", "eer", "auc", "dprime", "fdr", "mean-genuine", "tar@far=1e-4"} <= absent
    assert kit.value(found, "mean-impostor").value is not None
    assert kit.value(found, "consistency@0.4").value == 1
    assert not any(curve.name == "intra-similarity" for curve in found.curves)
    assert toy_result("separability", found)


def test_identities_that_are_all_one_have_no_dimension(kit):
    faces = kit.people(4, 2)
    found = kit.protocol(samples=20).evaluate(kit.embeddings(faces, np.ones((8, 3))), faces, seed=0)
    assert kit.value(found, "identities-separable@0.4").detail["separable"] == 1
    assert kit.value(found, "identities-separable@0.4", "strict").value == 0
    assert kit.value(found, "effective-dimension").value is None
    assert toy_result("separability", found)


def test_samples_of_pairs_follow_the_seed(kit):
    faces = kit.people(30, 4)
    given = kit.embeddings(faces, kit.vectors(faces))
    one, same, other = (kit.protocol(pairs=100).evaluate(given, faces, seed=seed) for seed in (0, 0, 1))
    assert one.metrics == same.metrics
    assert kit.value(one, "mean-impostor").value != kit.value(other, "mean-impostor").value
    assert one.counts["impostor pairs"] == one.counts["genuine pairs"] == 100
    whole = kit.protocol().evaluate(given, faces, seed=0)
    assert kit.value(one, "mean-impostor").value == pytest.approx(kit.value(whole, "mean-impostor").value, abs=0.15)


def test_a_face_without_embedding_or_direction_is_refused(kit):
    faces = kit.people(3, 2)
    values = kit.vectors(faces)
    with pytest.raises(DataError, match="no embedding for 'who0002/1'"):
        kit.protocol().evaluate(kit.embeddings(faces.moved(np.arange(5)), values[:5]), faces, seed=0)
    values[4] = 0
    with pytest.raises(MetricError, match=r"no direction; found 1, the first is number 4"):
        kit.protocol().evaluate(kit.embeddings(faces, values), faces, seed=0)
