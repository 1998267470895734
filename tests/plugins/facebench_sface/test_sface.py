from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_losses import assert_golden, batch_of, golden_case, golden_cases, run, run_case
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.centres import ClassCentres
from facebench.config import build_options
from facebench.contracts import Features
from facebench.errors import FacebenchError
from facebench.testing import check_loss, check_trainer
from facebench_sface import plugin
from facebench_sface.loss import SFaceLoss
from facebench_sface.options import SFaceOptions

(LOSS,) = plugin.facebench_losses()
(TRAINER,) = plugin.facebench_trainers()


def made(case, **chosen):
    params = case["params"]
    options = SFaceOptions(a=params["a"], b=params["b"], scale=params["s"], slope=params["k"], **chosen)
    return SFaceLoss(*np.shape(case["inputs"]["W"]), options)


@pytest.mark.parametrize("case", golden_cases("sface"), ids=lambda case: case["id"])
def test_golden(case):
    expected = case["expected"]
    found = run_case(made(case), case)
    assert_golden(found, expected)
    terms = {name: value.item() for name, value in found["terms"].items()}
    labels, cosine = case["inputs"]["y"], np.array(expected["cos"])
    own = np.eye(cosine.shape[1], dtype=bool)[labels]
    wanted = {
        "intra": expected["intra"],
        "inter": expected["inter"],
        "pull": np.mean(expected["r_intra"]),
        "push": np.array(expected["r_inter"])[~own].mean(),
        "target_cosine": cosine[own].mean(),
        "other_cosine": cosine[~own].mean(),
        "accuracy": np.mean(cosine.argmax(axis=1) == labels),
    }
    assert terms.keys() == wanted.keys()
    for name, value in wanted.items():
        assert terms[name] == pytest.approx(value, rel=1e-10, abs=1e-12), name


def by_hand(vectors, centres, labels, a, b, pull=None):
    """Loss and gradients after the paper's formulas, face by face, with s = 64 and k = 80."""
    loss, dx, dw = 0.0, np.zeros_like(vectors), np.zeros_like(centres)
    count = len(vectors)
    for i, x in enumerate(vectors):
        for j, w in enumerate(centres):
            p, q = x / np.linalg.norm(x), w / np.linalg.norm(w)
            cosine = float(p @ q)
            theta = math.acos(cosine)
            if j == labels[i]:
                weight = -64 / (1 + math.exp(-80 * (theta - a))) if pull is None else -pull[i]
            else:
                weight = 64 / (1 + math.exp(80 * (theta - b)))
            loss += weight * cosine / count
            dx[i] += weight * (q - cosine * p) / np.linalg.norm(x) / count
            dw[j] += weight * (p - cosine * q) / np.linalg.norm(w) / count
    return {"loss": loss, "dX": dx, "dW": dw}


def assert_close(found, expected):
    for key, value in expected.items():
        bound = 1e-10 * (1 + np.abs(value).max())
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-9, atol=bound, err_msg=key)


@settings(deadline=None, max_examples=30)
@given(
    counts=st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(2, 9)),
    near=st.floats(0, 2),
    seed=st.integers(0, 10_000),
)
def test_the_gradient_is_the_papers_with_weights_that_have_none(counts, near, seed):
    faces, classes, size = counts
    random = np.random.default_rng(seed)
    vectors, centres = random.normal(size=(faces, size)), random.normal(size=(classes, size))
    labels = random.integers(0, classes, faces)
    vectors += near * centres[labels]
    found = run(SFaceLoss(classes, size, SFaceOptions()), vectors, centres, labels)
    assert_close(found, by_hand(vectors, centres, labels, 0.87, 1.20))
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(found["dX"].numpy(), axis=1)
    assert np.all(np.abs((vectors * found["dX"].numpy()).sum(axis=1)) <= 1e-12 * (1 + lengths))


def test_sampled_classes_only_change_the_push(monkeypatch):
    case = golden_case("sface_rand")
    whole = run_case(made(case), case)["terms"]
    drawn = torch.tensor(sorted(set(case["inputs"]["y"])))
    monkeypatch.setattr(ClassCentres, "_drawn_classes", lambda self, goal: drawn)
    loss = made(case, sample_rate=0.5)
    found = run_case(loss, case)
    assert found["terms"]["intra"].item() == pytest.approx(whole["intra"].item(), rel=1e-12)
    assert found["terms"]["inter"] < whole["inter"]
    kept = np.array(case["inputs"]["W"])[drawn]
    labels = np.searchsorted(drawn.numpy(), case["inputs"]["y"])
    expected = by_hand(np.array(case["inputs"]["X"]), kept, labels, 0.87, 1.2)
    assert_close(found | {"dW": loss.centres.active.grad}, expected)


@pytest.mark.parametrize("quality", ["off", "norm"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_finite_where_a_face_is_its_centre_or_opposite(quality, dtype):
    torch.manual_seed(0)
    loss = SFaceLoss(4, 512, SFaceOptions(quality=quality))
    centre = loss.centres.weight.detach()
    vectors = torch.cat([3 * centre, -3 * centre, torch.zeros(1, 512)]).to(dtype).requires_grad_()
    loss = loss.double() if dtype == torch.float64 else loss
    output = loss(batch_of([0, 1, 2, 3, 0, 1, 2, 3, 0]), Features(vectors))
    output.total.backward()
    for value in (output.total, vectors.grad, loss.centres.weight.grad, *output.terms.values()):
        assert value.isfinite().all()


def test_centres_start_as_the_authors_have_them():
    torch.manual_seed(0)
    weight = SFaceLoss(1000, 64, SFaceOptions()).centres.weight
    assert weight.std().item() == pytest.approx(2 * math.sqrt(2 / 1000), rel=0.02)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, (0.87, 1.20)),
        ({"preset": "vggface2"}, (0.88, 1.25)),
        ({"preset": "ms1mv2"}, (0.90, 1.20)),
        ({"preset": "ms1mv2", "a": 0.8}, (0.8, 1.20)),
        ({"b": 1.23}, (0.87, 1.23)),
        ({"a": 0.8, "b": 1.23}, (0.8, 1.23)),
    ],
)
def test_a_preset_gives_what_is_not_set(chosen, expected):
    options = SFaceOptions(**chosen)
    assert options.boundaries() == expected
    loss = SFaceLoss(3, 4, options)
    assert (loss.a, loss.b) == expected


@pytest.mark.parametrize(
    "values", [{"gamma": 1}, {"gamma": -0.1}, {"a": 2}, {"norm_sign": 0}, {"preset": "lfw"}, {"quality": "blur"}]
)
def test_impossible_options_are_refused(values):
    with pytest.raises(FacebenchError, match=f"loss.{next(iter(values))}"):
        build_options(SFaceOptions, values, "loss")


def test_keeps_the_contracts(tmp_path):
    check_loss(LOSS)
    check_trainer(
        TRAINER, tmp_path, loss=lambda classes, size: LOSS.build(classes, size, LOSS.options()), learning_rate=0.01
    )


def test_demo_settings_are_options_that_exist():
    assert set(TRAINER.demo) <= {"backbone", "loss", "trainer", "train_data"}
    build_options(TRAINER.options, TRAINER.demo["trainer"], "trainer")
    build_options(LOSS.options, TRAINER.demo.get("loss", {}), "loss")
