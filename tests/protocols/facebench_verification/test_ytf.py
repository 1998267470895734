from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, Embeddings
from facebench.metrics import fuse, unit
from facebench.testing import check_dataset
from facebench_verification.options import VideoOptions
from facebench_verification.plugin import facebench_protocols
from facebench_verification.videos import VideoFaces, pool

SPEC = next(spec for spec in facebench_protocols() if spec.name == "ytf")
FRAMES = ("aligned_detect_0.9", "aligned_detect_0.10", "aligned_detect_0.100", "aligned_detect_0.11")


@pytest.fixture
def root(tmp_path):
    """Three people with two videos each; the second video of P2 has one frame."""
    base = tmp_path / "ytf"
    for number, video in enumerate(f"P{who}/{which}" for who in range(3) for which in (0, 5)):
        folder = base / "aligned_images_DB" / video
        folder.mkdir(parents=True)
        for frame in FRAMES[:1] if video == "P2/5" else FRAMES:
            picture = np.full((8, 8, 3), 10 * number + int(frame.rpartition(".")[2]), dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{frame}.png")
    lines = [f"{fold}, {2 * fold}, P{fold % 3}/0, P{fold % 3}/5, 1" for fold in range(1, 7)]
    lines += [f"{fold}, {2 * fold + 1}, P{fold % 3}/0, P{(fold + 1) % 3}/5, 0" for fold in range(1, 7)]
    (base / "splits.txt").write_text("\n".join(lines))
    return tmp_path


def opened(root, *, images=True, **options):
    protocol = SPEC.build(VideoOptions(samples=0, far=(), **options))
    return protocol, protocol.faces(root, images=images)


def embedded(faces, size=6, seed=0):
    random = np.random.default_rng(seed)
    vectors, mirrored = random.normal(size=(2, len(faces.keys), size)).astype(np.float32)
    vectors *= random.uniform(0.2, 5, (len(vectors), 1)).astype(np.float32)
    return Embeddings(keys=np.array(faces.keys, dtype=np.str_), vectors=vectors, mirrored=mirrored)


def test_frames_of_all_videos(root):
    _, faces = opened(root)
    check_dataset(faces)
    assert len(faces) == 5 * 4 + 1
    # In the order of time, not of names.
    assert faces.keys[:4] == [f"P0/0/aligned_detect_0.{n}" for n in (9, 10, 11, 100)]
    assert np.array_equal(faces[3].image, np.full((8, 8, 3), 100, np.uint8))
    assert faces.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 5


def test_fewer_frames_are_spread_evenly(root):
    _, faces = opened(root, frames=2)
    assert faces.keys[:2] == ["P0/0/aligned_detect_0.9", "P0/0/aligned_detect_0.100"]
    assert len(faces) == 5 * 2 + 1
    assert faces.fingerprint != opened(root)[1].fingerprint


@pytest.mark.parametrize("how", ["mean", "unit-mean"])
@pytest.mark.parametrize("mirror", ["sum", "none", "concat"])
def test_pooling_by_hand(root, how, mirror):
    _, faces = opened(root)
    embeddings = embedded(faces)
    pooled = pool(embeddings, faces, mirror=mirror, how=how)
    fused = fuse(embeddings.vectors.astype(float), embeddings.mirrored.astype(float), how=mirror)
    frames = unit(fused) if how == "unit-mean" else fused
    for number, video in enumerate(faces.videos):
        rows = [row for row, key in enumerate(faces.keys) if key.startswith(f"{video}/")]
        found = fuse(pooled.plain[number : number + 1], pooled.mirrored[number : number + 1], how=mirror)[0]
        np.testing.assert_allclose(found, frames[rows].mean(axis=0), atol=1e-12)
    both = np.concatenate([embeddings.vectors, embeddings.mirrored])
    assert pooled.norm == pytest.approx(np.linalg.norm(both, axis=1).mean(), rel=1e-6)


def test_folds_are_those_of_the_list(root):
    protocol, faces = opened(root)
    found = protocol.evaluate(embedded(faces), faces, seed=0)
    assert len(found.folds["accuracy"]) == 6
    assert found.counts["videos"] == 6
    assert "raw embeddings; all frames" in found.rules["pooling"]


def test_perfect_frames_are_perfect_videos(root):
    protocol, faces = opened(root)
    vectors = np.eye(3, dtype=np.float32)[faces.labels]
    embeddings = Embeddings(keys=np.array(faces.keys), vectors=vectors, mirrored=vectors)
    assert protocol.evaluate(embeddings, faces, seed=0).metrics[0].value == 1.0


def test_embeddings_need_no_pictures(root):
    protocol, faces = opened(root)
    embeddings = embedded(faces)
    _, listed = opened(root, images=False)
    assert listed.keys == ["P0/0", "P0/5", "P1/0", "P1/5", "P2/0", "P2/5"]
    one, two = (protocol.evaluate(embeddings, which, seed=0) for which in (faces, listed))
    np.testing.assert_allclose(one.scores["score"], two.scores["score"], atol=1e-12)
    # One vector a video will do as well.
    assert protocol.evaluate(embedded(listed), listed, seed=0).counts["pairs"] == 12
    with pytest.raises(DataError, match="there are no frames"):
        listed[0]


def test_a_video_without_embedding(root):
    protocol, listed = opened(root, images=False)
    keys = np.array([f"{video}/1" for video in listed.keys[1:]])
    vectors = np.ones((5, 3), dtype=np.float32)
    with pytest.raises(DataError, match="no embedding of video 'P0/0' or of a frame below it \\(1 of 6"):
        protocol.evaluate(Embeddings(keys=keys, vectors=vectors, mirrored=vectors), listed, seed=0)


def test_a_video_without_frames(root):
    for frame in (root / "ytf" / "aligned_images_DB" / "P1" / "5").iterdir():
        frame.unlink()
    with pytest.raises(DataError, match=r"splits\.txt, line 1: no frames of 'P1/5' .*\(1 of 6 videos have none\)"):
        opened(root)


def test_lists_without_people_have_unknown_labels(root):
    from dataclasses import replace

    _, faces = opened(root)
    anonymous = VideoFaces("x", replace(faces.pairs, subjects=None), None, frames=0, listed_in="x")
    assert anonymous.labels.tolist() == [-1] * 6
