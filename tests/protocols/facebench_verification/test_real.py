"""Real data: LFW, and a published network's own embeddings of it."""

from __future__ import annotations

import numpy as np
import pytest

import facebench
from facebench.datasets import PackImages, TarImages
from facebench_verification.options import PairsOptions
from facebench_verification.pairs import read_pairs
from facebench_verification.protocol import Verification
from facebench_verification.sources import OWN

pytestmark = pytest.mark.data

NPZ = "embeddings/lfw_mobilefacenet_arcface_ms1m.npz"


@pytest.fixture(scope="module")
def result(real_data):
    return facebench.evaluate(real_data / NPZ, "lfw", data_root=real_data, options={"samples": 20})


@pytest.fixture(scope="module")
def single(real_data):
    return facebench.evaluate(real_data / NPZ, "lfw", data_root=real_data, options={"mirror": "none", "samples": 0})


def percent(result, name, **which):
    return round(100 * result.metric(name, **which).value, 3)


@pytest.mark.parametrize(
    ("mirror", "rule", "accuracy", "std"),
    [
        ("sum", "reference", 99.450, 0.466),
        ("none", "reference", 99.333, 0.527),
        ("sum", "strict", 99.483, 0.425),
        ("none", "strict", 99.317, 0.529),
    ],
)
def test_accuracies(result, single, mirror, rule, accuracy, std):
    found = result if mirror == "sum" else single
    assert percent(found, "accuracy", rule=rule) == accuracy
    assert percent(found, "accuracy-std", rule=rule) == std


def test_the_plain_accuracy_stands_beside(result):
    assert percent(result, "accuracy", rule="reference", mirror="none") == 99.333


def test_thresholds(result, single):
    assert round(result.metric("threshold", rule="strict").value, 4) == 0.2768
    assert round(single.metric("threshold", rule="strict").value, 4) == 0.2703
    expected = [99.17, 99.83, 99.17, 99.33, 98.67, 99.83, 98.33, 99.83, 100.00, 99.00]
    assert [round(100 * value, 2) for value in single.folds["accuracy (strict)"]] == expected


def test_roc_figures(result, single):
    assert round(result.metric("auc").value, 6) == 0.999043
    assert round(single.metric("auc").value, 6) == 0.998958
    assert percent(result, "eer") == percent(single, "eer") == 0.667
    assert percent(result, "tar@far=1e-2", rule="strict") == 99.433
    assert percent(result, "tar@far=1e-3", rule="strict") == 98.667
    assert percent(single, "tar@far=1e-2", rule="strict") == 99.367
    assert percent(single, "tar@far=1e-3", rule="strict") == 98.833


def test_counts(result):
    assert result.data.counts == {
        "images": 7701,
        "pairs": 6000,
        "genuine": 3000,
        "impostor": 3000,
        "subjects": 4281,
    }
    assert not result.data.demo


def test_a_pack_gives_the_numbers_of_its_pairs(real_data):
    """Fold 1 as a pack against the same 600 pairs of the list; vectors are looked up by what a picture's file is."""
    stored = facebench.Embeddings.load(real_data / NPZ)
    tar = TarImages(real_data / "lfw" / "lfw_112x112.tar")
    pack = PackImages(real_data / "lfw" / "lfw_fold1.bin")
    wanted = {pack.encoded(row) for row in range(len(pack))}
    key_of = {tar.encoded(row): key for row, key in enumerate(tar.keys) if tar.encoded(row) in wanted}
    assert len(key_of) == len(wanted)

    protocol = Verification(OWN, PairsOptions(pairs="lfw/lfw_fold1.bin", samples=0), folds=10)
    faces = protocol.faces(real_data)
    rows = stored.rows([key_of[pack.encoded(int(key))] for key in faces.keys])
    looked_up = facebench.Embeddings(
        keys=np.array(faces.keys), vectors=stored.vectors[rows], mirrored=stored.mirrored[rows]
    )
    found = protocol.evaluate(looked_up, faces, seed=0)

    listed = read_pairs(real_data / "lfw" / "pairs.txt")
    assert found.counts == {"pairs": 600, "genuine": 300, "impostor": 300}
    assert found.scores["same"].tolist() == listed.same[:600].tolist()
    whole = facebench.evaluate(stored, "lfw", data_root=real_data, options={"samples": 0, "pairs": "lfw/pairs.txt"})
    distances = _distances(stored, listed.first[:600], listed.second[:600])
    np.testing.assert_allclose(found.scores["score"], 1 - distances / 2, atol=1e-12)
    assert whole.data.counts["pairs"] == 6000
    # The pack's faces are each embedded once.
    assert len(faces) == len(wanted) < 1200


def _distances(stored, first, second):
    fused = stored.vectors.astype(np.float64) + stored.mirrored.astype(np.float64)
    fused /= np.linalg.norm(fused, axis=1, keepdims=True)
    return ((fused[stored.rows(first)] - fused[stored.rows(second)]) ** 2).sum(axis=1)


@pytest.mark.slow
def test_the_network_itself_on_the_pack(real_data, tmp_path):
    pytest.importorskip("onnxruntime")
    outcome = facebench.run(
        "onnx",
        "pairs",
        weights=real_data / "models" / "mobilefacenet_arcface_ms1m_112x112.onnx",
        data_root=real_data,
        changes={"protocol": {"pairs": {"pairs": "lfw/lfw_fold1.bin", "samples": 0}}},
        out=tmp_path / "runs",
        cache=tmp_path / "cache",
        quiet=True,
    )
    (result,) = outcome.results
    with np.load(outcome.folder / "results" / "pairs.scores.npz") as scores:
        measured = scores["score"]
    listed = read_pairs(real_data / "lfw" / "pairs.txt")
    stored = facebench.Embeddings.load(real_data / NPZ)
    expected = 1 - _distances(stored, listed.first[:600], listed.second[:600]) / 2
    np.testing.assert_allclose(measured, expected, atol=1e-4)
    assert result.metric("accuracy").value > 0.98
