"""The offers on demo faces, the flags, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench import DataError, Embeddings, MetricError
from facebench.testing import check_protocol
from facebench_ijb.options import TemplateOptions
from facebench_ijb.plugin import facebench_protocols
from facebench_ijb.pooling import template_vectors
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBC

SPECS = {spec.name: spec for spec in facebench_protocols()}


@pytest.mark.parametrize("name", ["ijba", "ijbb", "ijbc"])
def test_offer(name):
    check_protocol(SPECS[name])


def demo(name="ijbc", **changes):
    spec = SPECS[name]
    protocol = spec.build(spec.options(**changes))
    return protocol, protocol.faces(None)


def blurred(faces, noise=2.0):
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(int(faces.labels.max()) + 1, 48))
    vectors = (centres[faces.labels] + noise * draw.normal(size=(len(faces), 48))).astype(np.float32)
    mirrored = (vectors + draw.normal(size=vectors.shape)).astype(np.float32)
    return Embeddings(keys=np.array(faces.keys), vectors=vectors, mirrored=mirrored, fingerprint="0" * 16)


def test_one_drawn_set_serves_all_three():
    prints = {demo(name)[1].fingerprint for name in SPECS}
    assert len(prints) == 1


def test_the_demo_is_a_benchmark_of_templates():
    protocol, faces = demo()
    lists = faces.lists
    images = np.bincount(lists.rows.template)
    assert 1500 <= len(faces) <= 2500
    assert images.min() == 1
    assert images.max() == 6
    assert not set(lists.galleries[0].subjects) & set(lists.galleries[1].subjects)
    found = protocol.evaluate(blurred(faces), faces, seed=0)
    have = {(one.name, one.rule) for one in found.metrics if one.value is not None}
    for rule in ("reference", "strict"):
        assert {(f"tar@far=1e-{power}", rule) for power in (1, 2, 3, 4)} <= have
        assert {("tpir@fpir=1e-1", rule), ("tpir@fpir=1e-2", rule)} <= have
    assert {curve.name for curve in found.curves} == {"roc", "det", "scores", "cmc", "open-set"}
    assert found.warnings == ()


def test_stills_and_frames_differ():
    _, faces = demo()
    rows = np.array([0, 600])
    np.testing.assert_array_equal(faces.batch(rows)[1], faces[600].image)
    assert faces.labels[0] == faces.labels[600]
    assert faces.keys[600].endswith("/100")


def test_intervals_cover_and_can_be_left_out():
    protocol, faces = demo(samples=100)
    embeddings = blurred(faces)
    found = protocol.evaluate(embeddings, faces, seed=0)
    first = found.metrics[0]
    assert first.interval.low <= first.value <= first.interval.high
    assert "bootstrap" in first.interval.method
    assert protocol.evaluate(embeddings, faces, seed=1).metrics[0].interval != first.interval
    without = demo(samples=0)[0].evaluate(embeddings, faces, seed=0)
    assert all(one.interval is None or "Wilson" in one.interval.method for one in without.metrics)
    assert [one.value for one in without.metrics] == [one.value for one in found.metrics]


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({}, "norm", "is kept"),
        ({"norm": "unit"}, "norm", "scaled to unit length"),
        ({}, "faceness", "multiplied by its detector score"),
        ({"faceness": "off"}, "faceness", "switched off"),
        ({}, "mirror", "are added"),
        ({"mirror": "none"}, "mirror", "not used"),
    ],
)
def test_flags_are_told_in_words(changes, rule, words):
    protocol, faces = demo(samples=0, **changes)
    found = protocol.evaluate(blurred(faces), faces, seed=0)
    assert words in found.rules[rule]
    assert {one.mirror for one in found.metrics} == {changes.get("mirror", "sum")}


def test_flags_change_the_templates():
    _, faces = demo()
    embeddings = blurred(faces)
    rows = faces.lists.rows
    plain = template_vectors(embeddings, rows, TemplateOptions(), name="ijbc")
    for change in ({"norm": "unit"}, {"faceness": "off"}, {"mirror": "none"}):
        other = template_vectors(embeddings, rows, TemplateOptions(**change), name="ijbc")
        assert np.abs(other - plain).max() > 1e-3


def test_stretches_do_not_change_templates(monkeypatch):
    _, faces = demo()
    embeddings, rows = blurred(faces), faces.lists.rows
    whole = template_vectors(embeddings, rows, TemplateOptions(), name="ijbc")
    for size in (1, 7, 1000):
        monkeypatch.setattr("facebench_ijb.pooling._ROWS", size)
        parts = template_vectors(embeddings, rows, TemplateOptions(), name="ijbc")
        np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_memory_mapped_embeddings(tmp_path):
    protocol, faces = demo(samples=0)
    given = blurred(faces)
    for name in ("vectors", "mirrored"):
        np.save(tmp_path / f"{name}.npy", getattr(given, name))
    mapped = replace(
        given, **{name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("vectors", "mirrored")}
    )
    assert protocol.evaluate(mapped, faces, seed=0).metrics == protocol.evaluate(given, faces, seed=0).metrics


def test_mirrors_that_are_not_there():
    protocol, faces = demo(samples=0)
    single = replace(blurred(faces), mirrored=None)
    with pytest.raises(MetricError, match=r"protocol\.ijbc\.mirror=none"):
        protocol.evaluate(single, faces, seed=0)
    assert demo(mirror="none", samples=0)[0].evaluate(single, faces, seed=0).metrics


def test_a_face_without_embedding():
    protocol, faces = demo(samples=0)
    given = blurred(faces)
    short = replace(given, keys=given.keys[1:], vectors=given.vectors[1:], mirrored=given.mirrored[1:])
    with pytest.raises(DataError, match=r"no embedding for '1100000/000' \(1 of 1700"):
        protocol.evaluate(short, faces, seed=0)


def test_other_faces_are_a_bug():
    protocol, faces = demo()
    with pytest.raises(TypeError, match="expected the faces of this protocol"):
        protocol.evaluate(blurred(faces), faces._source, seed=0)


def test_pairs_of_one_kind(tmp_path, write_release, small, small_pairs):
    impostors = small_pairs[2] == 0
    write_release(tmp_path, small, pairs=tuple(side[impostors] for side in small_pairs))
    protocol = Janus(IJBC, TemplateOptions(samples=0))
    with pytest.raises(MetricError, match="both genuine and impostor"):
        protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)


def test_a_gallery_without_mates_leaves_open_set_out(tmp_path, write_release, small, small_sides):
    sides = small_sides | {"probe_mixed": (small.ids[[4, 5]], small.subject_of[[4, 5]])}
    write_release(tmp_path, small, sides=sides)
    protocol = Janus(IJBC, TemplateOptions(samples=0))
    found = protocol.evaluate(small.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert any("open-set metrics are left out" in said for said in found.warnings)
    assert not any(one.name.startswith("tpir") for one in found.metrics)
    assert found.metrics[0].detail["mated searches"] == 2
