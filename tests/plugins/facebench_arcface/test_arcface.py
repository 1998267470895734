from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facebench.config import build_options
from facebench.contracts import Batch, Features
from facebench.errors import FacebenchError
from facebench.testing import check_loss, check_trainer
from facebench_arcface import plugin
from facebench_arcface.loss import ArcFaceLoss

CASES = json.loads((Path(__file__).parents[2] / "golden" / "losses.json").read_text())["cases"]


def made(case, **chosen):
    """The loss of a case, in the dtype of its golden values."""
    params, inputs = case["params"], case["inputs"]
    options = plugin.ArcFaceOptions(scale=params["s"], margin=params.get("m", params.get("m_rad")), **chosen)
    centres = torch.tensor(inputs["W"], dtype=torch.float64)
    loss = ArcFaceLoss(*centres.shape, options).double()
    with torch.no_grad():
        loss.centres.weight.copy_(centres)
    vectors = torch.tensor(inputs["X"], dtype=torch.float64, requires_grad=True)
    return loss, vectors, Batch(images=torch.empty(0), labels=torch.tensor(inputs["y"]))


@pytest.mark.parametrize("case", [case for case in CASES if case["method"] == "arcface"], ids=lambda case: case["id"])
@pytest.mark.parametrize(("gradient", "ending"), [("exact", ""), ("straight-through", "_ste")])
def test_golden(case, gradient, ending):
    expected = case["expected"]
    fallback = "none"
    if "plain" in expected:
        expected, ending = expected["plain" + ending], ""
    loss, vectors, batch = made(case, gradient=gradient, fallback=fallback)
    output = loss(batch, Features(vectors))
    output.total.backward()
    close = {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(output.total.item(), expected["loss"], **close)
    np.testing.assert_allclose(vectors.grad.numpy(), expected["dX" + ending], **close)
    np.testing.assert_allclose(loss.centres.weight.grad.numpy(), expected["dW" + ending], **close)


def test_terms_say_how_near_the_own_class_is():
    loss = ArcFaceLoss(3, 2, plugin.ArcFaceOptions())
    with torch.no_grad():
        loss.centres.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]))
    vectors = torch.tensor([[3.0, 0.0], [1.0, 0.0]])
    terms = loss(Batch(images=torch.empty(0), labels=torch.tensor([0, 1])), Features(vectors)).terms
    assert {name: term.item() for name, term in terms.items()} == {"target_cosine": 0.5, "accuracy": 0.5}


def test_centres_start_small_and_follow_the_seed():
    torch.manual_seed(3)
    one = ArcFaceLoss(500, 64, plugin.ArcFaceOptions()).centres.weight
    torch.manual_seed(3)
    assert torch.equal(one, ArcFaceLoss(500, 64, plugin.ArcFaceOptions()).centres.weight)
    assert one.std().item() == pytest.approx(0.01, rel=0.05)


def test_keeps_the_contracts(tmp_path):
    (loss,) = plugin.facebench_losses()
    (trainer,) = plugin.facebench_trainers()
    check_loss(loss)
    check_trainer(
        trainer, tmp_path, loss=lambda classes, size: loss.build(classes, size, loss.options()), learning_rate=0.01
    )


def test_demo_settings_are_options_that_exist():
    (trainer,) = plugin.facebench_trainers()
    assert set(trainer.demo) <= {"backbone", "loss", "trainer", "train_data"}
    build_options(trainer.options, trainer.demo["trainer"], "trainer")


@pytest.mark.parametrize("values", [{"scale": 0}, {"margin": 4}, {"gradient": "exakt"}, {"fallback": "soft"}])
def test_impossible_options_are_refused(values):
    with pytest.raises(FacebenchError, match=f"loss.{next(iter(values))}"):
        build_options(plugin.ArcFaceOptions, values, "loss")
