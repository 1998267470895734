from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, Embeddings
from facebench.testing import check_dataset
from facebench_verification.options import VerificationOptions
from facebench_verification.plugin import facebench_protocols

SPEC = next(spec for spec in facebench_protocols() if spec.name == "lfw-view1")
TRAIN = [f"T{k}" for k in range(4)]
TEST = [f"E{k}" for k in range(4)]


def half(people):
    same = [f"{name}\t1\t2" for name in people]
    apart = [f"{name}\t1\t{other}\t2" for name, other in zip(people, people[1:] + people[:1], strict=True)]
    return "\n".join([str(len(people)), *same, *apart])


@pytest.fixture
def root(tmp_path):
    base = tmp_path / "lfw"
    base.mkdir()
    (base / "pairsDevTrain.txt").write_text(half(TRAIN))
    (base / "pairsDevTest.txt").write_text(half(TEST))
    for number, name in enumerate(TRAIN + TEST):
        for picture in (1, 2):
            path = base / "lfw-112x112" / name / f"{name}_{picture:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 10 * number + picture, np.uint8)).save(path)
    return tmp_path


def opened(root, *, images=True):
    protocol = SPEC.build(VerificationOptions(samples=0, far=(0.25,), mirror="none"))
    return protocol, protocol.faces(root, images=images)


def cosines(faces, wanted):
    """Embeddings whose matched pairs have the wanted cosines: pair k is of picture 1 at 0 and picture 2 at an angle."""
    vectors = np.zeros((len(faces.keys), 2 * len(wanted)), dtype=np.float32)
    for row, key in enumerate(faces.keys):
        name, _, number = key.split("/")[1].rpartition("_")
        place = list(wanted).index(name)
        cosine = wanted[name] if number == "0002" else 1.0
        vectors[row, 2 * place : 2 * place + 2] = cosine, np.sqrt(1 - cosine**2)
    return Embeddings(keys=np.array(faces.keys, dtype=np.str_), vectors=vectors)


def values(found):
    return {(one.name, one.rule): one.value for one in found.metrics}


def test_the_threshold_comes_from_the_other_half(root):
    protocol, faces = opened(root)
    check_dataset(faces)
    assert len(faces) == 16
    # Mismatched pairs have cosine 0. The training half is perfect from 0.603 on, where half of the test half is lost.
    wanted = dict.fromkeys(TRAIN, 0.603) | dict(zip(TEST, (0.9, 0.8, 0.3, 0.2), strict=True))
    found = protocol.evaluate(cosines(faces, wanted), faces, seed=0)
    told = values(found)
    assert told["accuracy", "strict"] == 6 / 8
    assert told["threshold", "strict"] == pytest.approx(0.603, abs=1e-6)
    assert told["accuracy@best-threshold", "strict"] == 1.0
    assert told["threshold@best-threshold", "strict"] == pytest.approx(0.2, abs=1e-6)
    # Of the grid of squared distances, 0.80 is the first above 2 - 2 x 0.603.
    assert told["accuracy", "reference"] == 6 / 8
    assert told["threshold", "reference"] == pytest.approx(1 - 0.80 / 2)
    assert found.metrics[0].name == "accuracy"
    assert found.metrics[0].interval.method == "Wilson score, pairs taken as independent"
    # A threshold fitted to the tested pairs themselves leaves nothing to be sure of.
    assert all(one.interval is None for one in found.metrics if one.name == "accuracy@best-threshold")
    assert found.counts["pairs to test on"] == 8
    assert found.warnings == ()
    assert told["auc", "reference"] == 1.0


def test_only_what_was_tested_is_kept(root):
    protocol, faces = opened(root)
    found = protocol.evaluate(cosines(faces, dict.fromkeys(TRAIN, 0.6) | dict.fromkeys(TEST, 0.5)), faces, seed=0)
    assert {len(column) for column in found.scores.values()} == {8}
    assert all(key.startswith("E") for key in found.scores["first"].tolist())
    assert set(found.scores["group"].tolist()) == {"test"}
    assert found.scores["score"][found.scores["same"]] == pytest.approx([0.5] * 4)
    assert "fold" not in found.scores


def without_training(root):
    for name in TRAIN:
        for picture in (root / "lfw" / "lfw-112x112" / name).iterdir():
            picture.unlink()


def test_without_the_training_half_the_best_threshold_is_told_as_such(root):
    without_training(root)
    protocol, faces = opened(root)
    assert len(faces) == 8
    found = protocol.evaluate(cosines(faces, dict(zip(TEST, (0.9, 0.8, 0.3, 0.2), strict=True))), faces, seed=0)
    assert found.metrics[0].name == "accuracy@best-threshold"
    assert ("accuracy", "reference") not in values(found)
    assert "no threshold could be chosen on other people" in found.warnings[0]


def test_embeddings_of_the_tested_half_will_do(root):
    protocol, faces = opened(root, images=False)
    wanted = dict.fromkeys(TRAIN, 0.6) | dict.fromkeys(TEST, 0.5)
    whole = cosines(faces, wanted)
    tested = np.array([key.startswith("E") for key in faces.keys])
    part = Embeddings(keys=whole.keys[tested], vectors=whole.vectors[tested])
    assert protocol.evaluate(part, faces, seed=0).metrics[0].name == "accuracy@best-threshold"
    assert protocol.evaluate(whole, faces, seed=0).metrics[0].name == "accuracy"
    with pytest.raises(DataError, match="no embedding for 'E"):
        protocol.evaluate(Embeddings(keys=whole.keys[~tested], vectors=whole.vectors[~tested]), faces, seed=0)


def test_a_missing_picture_of_the_tested_half(root):
    (root / "lfw" / "lfw-112x112" / "E1" / "E1_0002.png").unlink()
    with pytest.raises(DataError, match=r"pairsDevTest\.txt, line 3: no picture 'E1/E1_0002'.*\.landmarks"):
        opened(root)


@pytest.mark.data
def test_the_photographs_of_lfw_are_aligned(real_data):
    options = VerificationOptions(
        images="lfw/lfw_devtest_deepfunneled_250x250.tar", landmarks="lfw/lfw_deepfunneled_landmarks5.csv"
    )
    faces = SPEC.build(options).faces(real_data)
    assert (len(faces.pairs), int(faces.pairs.same.sum()), len(faces)) == (1000, 500, 1549)
    assert set(faces.pairs.group.tolist()) == {"test"}
    assert faces[100].image.shape == (112, 112, 3)
