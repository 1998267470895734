from __future__ import annotations

import numpy as np
import pytest

from facebench import ConfigError, DataError
from facebench.declare import undecided
from facebench.metrics.discrepancy import discrepancy
from facebench.testing import toy_result
from facebench_topology.options import TopologyOptions


def value(evaluation, name, rule="reference"):
    return next(one for one in evaluation.metrics if (one.name, one.rule) == (name, rule))


def test_one_batch_of_all_faces_is_the_direct_computation(kit, faces, vectors):
    found = kit.protocol(sizes=(40,)).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
    wanted = discrepancy(kit.points(faces.images), vectors, diameter=387.9793)
    spelt = {
        ("discrepancy@40", "reference"): wanted.isa_sorted,
        ("discrepancy@40", "symmetric"): wanted.isa_symmetric,
        ("discrepancy-scale-free@40", "best-multiplier"): wanted.isa_at_best_scale,
        ("discrepancy-scale-free@40", "own-maximum"): wanted.isa_by_maximum,
        ("discrepancy-scale-free@40", "mean-edge"): wanted.isa_by_mean,
        ("shared-edges@40", "reference"): wanted.shared_edges,
        ("distance-correlation@40", "spearman"): wanted.rank_correlation,
        ("wasserstein@40", "literal-p1"): wanted.wasserstein1,
        ("wasserstein@40", "literal-p2"): wanted.wasserstein2,
        ("bottleneck@40", "literal"): wanted.bottleneck,
        ("best-multiplier@40", "least-squares"): wanted.scale,
    }
    assert {(one.name, one.rule): one.value for one in found.metrics} == pytest.approx(spelt, rel=1e-4)
    assert all(one.interval is None for one in found.metrics)
    assert "one batch" in found.warnings[0]


def test_a_mean_is_that_of_its_batches_with_their_spread(kit, faces, vectors):
    found = kit.protocol(count=9).evaluate(kit.embeddings(faces, vectors), faces, seed=3)
    scores = found.scores
    assert {len(column) for column in scores.values()} == {18}
    of_eight = scores["isa_sorted"][scores["size"] == 8]
    metric = value(found, "discrepancy@8")
    assert found.metrics[0] == metric
    assert metric.value == pytest.approx(of_eight.mean())
    assert value(found, "discrepancy@8-std").value == pytest.approx(of_eight.std(ddof=1))
    assert metric.detail["median"] == pytest.approx(np.median(of_eight))
    assert metric.interval.low < metric.value < metric.interval.high
    half = 2.306004 * of_eight.std(ddof=1) / 3  # t of 8 degrees of freedom
    assert metric.interval.high - metric.value == pytest.approx(half, rel=1e-5)
    assert "fixed set" in metric.interval.method
    assert found.folds["discrepancy@8"] == of_eight.tolist()
    assert value(found, "shared-edges@8").detail["chance"] == 0.25


def test_batches_are_without_replacement_and_follow_the_seed(kit, faces, vectors):
    given = kit.embeddings(faces, vectors)
    first, again, other = (kit.protocol().evaluate(given, faces, seed=seed) for seed in (1, 1, 2))
    assert first.metrics == again.metrics
    assert first.folds == again.folds
    assert value(first, "discrepancy@8").value != value(other, "discrepancy@8").value
    assert not any("equal pictures" in text for text in first.warnings)
    assert len(set(first.folds["discrepancy@8"])) == 5


def test_more_batches_or_sizes_leave_the_first_ones_as_they_are(kit, faces, vectors):
    given = kit.embeddings(faces, vectors)
    few = kit.protocol(sizes=(12,), count=3).evaluate(given, faces, seed=1)
    many = kit.protocol(sizes=(8, 12), count=6).evaluate(given, faces, seed=1)
    assert many.folds["discrepancy@12"][:3] == pytest.approx(few.folds["discrepancy@12"], rel=1e-6)


def test_the_order_of_faces_and_embeddings_is_no_matter(kit, faces, vectors):
    straight = kit.protocol(sample=12).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
    order = np.random.default_rng(1).permutation(len(faces))
    moved = kit.protocol(sample=12).evaluate(kit.embeddings(faces, vectors), faces.moved(order), seed=0)
    assert moved.metrics == straight.metrics
    assert moved.curves == straight.curves


@pytest.mark.parametrize("whole", [0, 39])
def test_reading_by_the_batch_gives_what_the_whole_matrix_gives(kit, faces, vectors, whole):
    given = kit.embeddings(faces, vectors)
    together = kit.protocol(count=30).evaluate(given, faces, seed=0)
    apart = kit.protocol(count=30, whole=whole).evaluate(given, faces, seed=0)
    assert [one.name for one in apart.metrics] == [one.name for one in together.metrics]
    assert [one.value for one in apart.metrics] == pytest.approx([one.value for one in together.metrics], rel=1e-4)


def test_a_size_larger_than_the_set_is_absent_with_a_reason(kit, faces, vectors):
    found = kit.protocol(sizes=(8, 41)).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
    absent = [one for one in found.metrics if one.name.endswith("@41")]
    assert {one.value for one in absent} == {None}
    assert {one.reason for one in absent} == {"a batch of 41 cannot be drawn from 40 faces"}
    assert value(found, "discrepancy@8").value is not None
    assert found.counts == {"batches of 8": 5}
    assert toy_result("topology", found)


def test_overlapping_batches_are_told(kit, faces, vectors):
    found = kit.protocol(sizes=(20, 21)).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
    assert [text for text in found.warnings if "share most of them" in text] == [
        "batches of 21 of 40 faces share most of them: they differ less than batches of fresh faces would"
    ]


def test_equal_pictures_are_told(kit, images, vectors):
    twice = kit.Pictures(np.concatenate([images[:20], images[:20]]), [f"{place:02d}" for place in range(40)])
    found = kit.protocol(sizes=(30,)).evaluate(kit.embeddings(twice, vectors), twice, seed=0)
    assert any(text.startswith("5 of 5 batches of 30 faces hold equal pictures") for text in found.warnings)


def test_embeddings_that_are_one_point_have_no_value(kit, faces):
    found = kit.protocol(sample=12).evaluate(kit.embeddings(faces, np.ones((40, 8))), faces, seed=0)
    assert {one.value for one in found.metrics} == {None}
    assert "one point" in found.metrics[0].reason
    assert any("embeddings: all faces of the sample are one point" in text for text in found.warnings)
    assert not found.scores


def test_a_face_without_embedding_is_refused(kit, faces, vectors):
    given = kit.embeddings(faces.moved(np.arange(39)), vectors[:39])
    with pytest.raises(DataError, match="no embedding for 'who/039'"):
        kit.protocol().evaluate(given, faces, seed=0)


def test_unit_vectors_are_compared_where_asked(kit, faces, vectors):
    lengths = np.random.default_rng(0).uniform(0.1, 9, (len(faces), 1)).astype(np.float32)
    asked = kit.protocol(space="unit")
    plain, stretched = (asked.evaluate(kit.embeddings(faces, v), faces, seed=0) for v in (vectors, vectors * lengths))
    values = [one.value for one in plain.metrics]
    assert [one.value for one in stretched.metrics] == pytest.approx(values, rel=1e-3)
    assert {one.score for one in plain.metrics} == {"euclidean, unit vectors"}
    assert "unit length" in plain.rules["latent space"]


class TestScale:
    """Whether small means structure, or only short embeddings."""

    def warned(self, kit, faces, vectors):
        found = kit.protocol(sizes=(32,), count=4).evaluate(kit.embeddings(faces, vectors), faces, seed=0)
        return [text for text in found.warnings if "structure" in text], found

    def test_embeddings_of_usual_length_give_none(self, kit, faces, vectors):
        said, found = self.warned(kit, faces, vectors)
        assert said == []
        assert value(found, "discrepancy@32").value > 100

    @pytest.mark.parametrize("factor", [0.01, 0.005, 0.0001])
    def test_shrinking_is_found_out(self, kit, faces, vectors, factor):
        (said,), found = self.warned(kit, faces, vectors * factor)
        assert value(found, "discrepancy@32").value < 0.1
        assert f"{100 * value(found, 'shared-edges@32').value:.1f} % of the edges are shared" in said
        assert "6.2 % by chance" in said

    @pytest.mark.parametrize("factor", [0.01, 0.0001])
    def test_scale_free_numbers_do_not_shrink(self, kit, faces, vectors, factor):
        before, after = (self.warned(kit, faces, v)[1] for v in (vectors, vectors * factor))
        names = [(one.name, one.rule) for one in before.metrics if one.name.startswith(("discrepancy-s", "sh", "di-"))]
        assert len(names) == 4
        for name in names:
            assert value(after, *name).value == pytest.approx(value(before, *name).value, rel=1e-3)

    def test_structure_at_the_right_scale_gives_none(self, kit, faces):
        said, found = self.warned(kit, faces, kit.projected(faces.images))
        assert said == []
        assert value(found, "discrepancy@32").value < 1e-3
        assert value(found, "shared-edges@32").value > 0.5
        assert value(found, "best-multiplier@32", "least-squares").value == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("sizes", [(3,), (8, 8), (0,)])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(ConfigError, match="sizes must hold different numbers from 4 on"):
        TopologyOptions(sizes=sizes)


def test_options_that_contradict_one_another_are_refused():
    with pytest.raises(ConfigError, match="sample must be 0 or at least 4"):
        TopologyOptions(sample=2)
    with pytest.raises(ConfigError, match="limit 100 is less than the smallest batch, 128"):
        TopologyOptions(limit=100)


def test_where_pictures_are_held_decides_no_number():
    assert undecided(TopologyOptions) == {"whole"}
