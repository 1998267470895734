from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebench import DataError, Embeddings, MetricError
from facebench.demo import Nuisance
from facebench.testing import check_protocol
from facebench_tinyface.demo import COARSE, demo_faces
from facebench_tinyface.options import TinyFaceOptions
from facebench_tinyface.plugin import facebench_protocols
from facebench_tinyface.protocol import TinyFace

GOLDEN = Path(__file__).parents[2] / "golden" / "protocols.json"
SPEC = next(iter(facebench_protocols()))


def digest(*arrays) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr(array.shape).encode())
        total.update((np.round(array.astype(np.float64), 4) + 0.0).astype("<f8").tobytes())
    return total.hexdigest()[:16]


def drawn(seed, subjects, distractors, dim, noise):
    """Probes, mates and distractors as unit vectors, with who they are."""
    random = np.random.RandomState(seed)
    centre = random.standard_normal((subjects, dim))
    probe_ids = np.repeat(np.arange(1, subjects + 1), random.randint(1, 4, subjects))
    gallery_ids = np.repeat(np.arange(1, subjects + 1), random.randint(1, 4, subjects))
    probes = centre[probe_ids - 1] + noise * random.standard_normal((len(probe_ids), dim))
    gallery = centre[gallery_ids - 1] + noise * random.standard_normal((len(gallery_ids), dim))
    others = random.standard_normal((distractors, dim)) * np.sqrt(1 + noise**2)
    probes, gallery, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probes, gallery, others))
    return probes, probe_ids, gallery, gallery_ids, others


def laid_out(bare, probes, probe_ids, gallery, gallery_ids, others, *, mirrored=False):
    """Lists on disk and the embeddings to go with them, rows shuffled."""
    numbered = [[(f"{who}_{row}.jpg", int(who)) for row, who in enumerate(ids)] for ids in (probe_ids, gallery_ids)]
    bare.lists(probes=numbered[0], gallery=numbered[1])
    keys = [
        *(f"Probe/{name[:-4]}" for name, _ in numbered[0]),
        *(f"Gallery_Match/{name[:-4]}" for name, _ in numbered[1]),
        *(f"Gallery_Distractor/{row:06d}" for row in range(len(others))),
    ]
    order = np.random.default_rng(0).permutation(len(keys))
    vectors = np.concatenate([probes, gallery, others]).astype(np.float32)[order]
    other = vectors if mirrored else None
    return Embeddings(keys=np.array(keys)[order], vectors=vectors, mirrored=other, fingerprint="0")


def found(bare, embeddings, *, seed=0, **options):
    protocol = TinyFace(TinyFaceOptions(**options))
    return protocol.evaluate(embeddings, protocol.faces(bare.root, images=False), seed=seed)


def value(evaluation, name, rule="reference"):
    return next(one.value for one in evaluation.metrics if (one.name, one.rule) == (name, rule))


def test_the_published_scoring_end_to_end(bare):
    case = json.loads(GOLDEN.read_text(encoding="utf-8"))["tinyface"]
    sets = drawn(**case["arguments"])
    assert digest(*sets) == case["input_digest"]
    evaluation = found(bare, laid_out(bare, *sets), mirror="none", samples=0)
    for rank, rate in case["rank"].items():
        assert value(evaluation, f"rank-{rank}") == pytest.approx(rate, abs=1e-12)
    assert value(evaluation, "map") == pytest.approx(case["mAP_official"], abs=1e-12)
    assert value(evaluation, "map", "usual") == pytest.approx(case["mAP_without_trapezoid"], abs=1e-12)
    assert evaluation.scores["average_precision"][:6] == pytest.approx(case["ap_head"], abs=1e-12)
    wanted = case["counts"]
    counts = (evaluation.counts["probes"], evaluation.counts["mates"], evaluation.counts["distractors"])
    assert counts == (wanted["probes"], wanted["gallery_match"], wanted["distractors"])
    assert evaluation.metrics[0].name == "rank-1"


@pytest.mark.parametrize("mirror", ["sum", "none"])
def test_against_a_sort_of_the_whole_matrix(bare, mirror):
    random = np.random.default_rng(7)
    probes, probe_ids, gallery, gallery_ids, others = drawn(5, 40, 300, 16, 1.2)
    embeddings = laid_out(bare, probes, probe_ids, gallery, gallery_ids, others)
    mirrored = embeddings.vectors + 0.4 * random.standard_normal(embeddings.vectors.shape).astype(np.float32)
    embeddings = Embeddings(keys=embeddings.keys, vectors=3 * embeddings.vectors, mirrored=mirrored)
    evaluation = found(bare, embeddings, mirror=mirror, samples=0)

    at = {key: row for row, key in enumerate(embeddings.keys)}
    fused = embeddings.vectors.astype(np.float64) + (mirrored if mirror == "sum" else 0)
    fused /= np.linalg.norm(fused, axis=1, keepdims=True)
    queries = fused[[at[f"Probe/{who}_{row}"] for row, who in enumerate(probe_ids)]]
    entries = fused[
        [at[f"Gallery_Match/{who}_{row}"] for row, who in enumerate(gallery_ids)]
        + [at[f"Gallery_Distractor/{row:06d}"] for row in range(len(others))]
    ]
    owners = np.concatenate([gallery_ids, np.full(len(others), -100)])
    firsts, precisions = [], []
    for query, who in zip(queries, probe_ids, strict=True):
        hits = owners[np.argsort(np.linalg.norm(entries - query, axis=1), kind="stable")] == who
        places = np.flatnonzero(hits)
        firsts.append(places[0])
        precisions.append(np.mean((np.arange(len(places)) + 1) / (places + 1)))
    assert evaluation.scores["place"].tolist() == firsts
    assert value(evaluation, "rank-10") == np.mean(np.array(firsts) < 10)
    assert value(evaluation, "map", "usual") == pytest.approx(np.mean(precisions))
    assert evaluation.metrics[0].mirror == mirror


def test_more_distractors_are_never_easier(bare):
    sets = drawn(1, 60, 2000, 12, 1.0)
    embeddings = laid_out(bare, *sets)
    hard = found(bare, embeddings, mirror="none", samples=0)
    easy = found(bare, embeddings, mirror="none", distractors="off", samples=0)
    assert (hard.scores["place"] >= easy.scores["place"]).all()
    assert value(easy, "rank-1") > value(hard, "rank-1")
    assert easy.counts["distractors"] == 0
    assert any("no distractors" in said and "comparable" in said for said in easy.warnings)
    assert any("2,000 distractors, TinyFace has 153,428" in said for said in hard.warnings)


def test_no_distractor_anywhere(bare):
    *sets, _ = drawn(1, 20, 1, 8, 0.5)
    embeddings = laid_out(bare, *sets, np.empty((0, 8)))
    with pytest.raises(DataError, match=r"no embedding has a key 'Gallery_Distractor/NAME'.*distractors=off"):
        found(bare, embeddings, mirror="none")


def test_a_missing_embedding_is_named(bare):
    embeddings = laid_out(bare, *drawn(1, 20, 30, 8, 0.5))
    keep = embeddings.keys != "Gallery_Match/1_0"
    with pytest.raises(DataError, match="no embedding for 'Gallery_Match/1_0'"):
        found(bare, Embeddings(keys=embeddings.keys[keep], vectors=embeddings.vectors[keep]), mirror="none")


def test_mirror_fusion_needs_mirrors(bare):
    embeddings = laid_out(bare, *drawn(1, 20, 30, 8, 0.5))
    with pytest.raises(MetricError, match=r"protocol\.tinyface\.mirror=none"):
        found(bare, embeddings)


def test_ranks_are_the_users_and_begin_at_one(bare):
    embeddings = laid_out(bare, *drawn(1, 20, 30, 8, 0.5), mirrored=True)
    names = [one.name for one in found(bare, embeddings, ranks=(3, 1), samples=0).metrics]
    assert names == ["rank-3", "rank-1", "map", "map"]
    with pytest.raises(MetricError, match="ranks count from 1; found 0"):
        TinyFace(TinyFaceOptions(ranks=(1, 0)))


def test_intervals_hold_their_values_and_follow_the_seed(bare):
    embeddings = laid_out(bare, *drawn(1, 60, 500, 12, 1.0), mirrored=True)
    first, again, other = (found(bare, embeddings, seed=seed) for seed in (0, 0, 1))
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics
    for one in first.metrics:
        assert one.interval is not None
        assert one.interval.low <= one.value <= one.interval.high
        assert one.interval.high > one.interval.low


def test_faces_of_another_protocol_are_refused(bare):
    embeddings = laid_out(bare, *drawn(1, 20, 30, 8, 0.5))
    with pytest.raises(TypeError, match="faces of this protocol"):
        TinyFace(TinyFaceOptions()).evaluate(embeddings, object(), seed=0)


def test_the_offer_keeps_its_contract():
    check_protocol(SPEC)


def test_the_demo_is_laid_out_as_tinyface_is():
    faces = demo_faces()
    assert 1500 <= len(faces) <= 2000
    _, mates = np.unique(faces.gallery.ids, return_counts=True)
    assert set(mates) == {1, 2, 3}
    assert np.isin(faces.probes.ids, faces.gallery.ids).all()
    strangers = {key.partition("/")[2].partition("_")[0] for key in faces.distractors}
    assert not strangers & set(faces.probes.ids.astype(str))
    assert len(set(faces.keys)) == len(faces)
    assert demo_faces().fingerprint == faces.fingerprint
    assert demo_faces(distractors=False).fingerprint != faces.fingerprint


def test_the_demo_without_distractors():
    protocol = TinyFace(TinyFaceOptions(distractors="off"))
    faces = protocol.faces(None)
    assert (faces.labels >= 0).all()


def outlines(images):
    """A simple embedder: where a grey picture gets lighter or darker, and which way."""
    grey = images.mean(axis=3).reshape(len(images), 56, 2, 56, 2).mean(axis=(2, 4))
    down, across = np.gradient(grey, axis=(1, 2))
    strength, angle = np.hypot(down, across), np.arctan2(down, across)
    bins = ((angle + np.pi) / (2 * np.pi) * 8).astype(int) % 8
    cells = [(strength * (bins == one)).reshape(len(grey), 8, 7, 8, 7).sum(axis=(2, 4)) for one in range(8)]
    roots = np.sqrt(np.stack(cells, axis=-1).reshape(len(grey), -1))
    return (roots - roots.mean(axis=1, keepdims=True)).astype(np.float32)


def test_coarse_pictures_are_harder_than_sharp_ones_of_the_same_people():
    # Nothing else differs: the same people, poses and light, drawn from the same numbers.
    sharp = replace(COARSE, low_resolution=0.0, blur=Nuisance.easy().blur)
    rates = []
    for nuisance in (sharp, COARSE):
        faces = demo_faces(nuisance=nuisance)
        vectors = outlines(faces.batch(np.arange(len(faces))))
        embeddings = Embeddings(keys=np.array(faces.keys), vectors=vectors)
        evaluation = TinyFace(TinyFaceOptions(mirror="none", samples=0)).evaluate(embeddings, faces, seed=0)
        rates.append(value(evaluation, "rank-1"))
        assert not evaluation.warnings
    chance = 2 / len(faces.gallery)
    assert rates[1] > 5 * chance
    assert rates[0] > 1.5 * rates[1], rates
