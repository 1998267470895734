from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_losses import assert_golden, batch_of, golden_cases, run_case

from facebench.config import build_options
from facebench.contracts import Features
from facebench.errors import FacebenchError
from facebench.testing import check_loss, check_trainer
from facebench_arcface import plugin
from facebench_arcface.loss import ArcFaceLoss
from facebench_arcface.options import ArcFaceOptions

LOSSES = {spec.name: spec for spec in plugin.facebench_losses()}
TRAINERS = {spec.name: spec for spec in plugin.facebench_trainers()}
VARIANTS = {
    "plain": ("exact", "none"),
    "hard": ("exact", "auto"),
    "easy": ("exact", "easy"),
    "plain_ste": ("straight-through", "auto"),
    "clip_eps1e-4": ("exact", "clip"),
}


def made(case, **chosen):
    """The loss of a case."""
    params, inputs = case["params"], case["inputs"]
    options = ArcFaceOptions(scale=params["s"], margin=params.get("m", params.get("m_rad")), **chosen)
    return ArcFaceLoss(*np.shape(inputs["W"]), options)


@pytest.mark.parametrize("case", golden_cases("arcface"), ids=lambda case: case["id"])
@pytest.mark.parametrize(("gradient", "ending"), [("exact", ""), ("straight-through", "_ste")])
def test_golden(case, gradient, ending):
    expected = case["expected"]
    found = run_case(made(case, gradient=gradient, fallback="none"), case)
    if "plain" in expected:
        expected, ending = expected["plain" + ending], ""
    assert_golden(found, expected, ending)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_beyond_pi(variant):
    (case,) = (case for case in golden_cases("arcface") if "plain" in case["expected"])
    gradient, fallback = VARIANTS[variant]
    assert_golden(run_case(made(case, gradient=gradient, fallback=fallback), case), case["expected"][variant])


@pytest.mark.parametrize(
    ("gradient", "fallback", "sign"), [("exact", "none", 1), ("exact", "auto", -1), ("straight-through", "auto", -1)]
)
def test_the_published_exact_gradient_pushes_a_misplaced_face_away_and_ours_does_not(gradient, fallback, sign):
    (case,) = (case for case in golden_cases("arcface") if "plain" in case["expected"])
    found = run_case(made(case, gradient=gradient, fallback=fallback), case)
    own = np.array(case["inputs"]["W"])[case["inputs"]["y"][0]]
    slope = found["dX"][0].numpy() @ (own / np.linalg.norm(own))
    assert slope * sign > 0.01


def test_terms_say_how_near_the_own_class_is():
    loss = ArcFaceLoss(3, 2, ArcFaceOptions())
    with torch.no_grad():
        loss.centres.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]))
    terms = loss(batch_of([0, 1]), Features(torch.tensor([[3.0, 0.0], [1.0, 0.0]]))).terms
    assert {name: term.item() for name, term in terms.items()} == {"target_cosine": 0.5, "accuracy": 0.5}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_keep_the_contract(name):
    check_loss(LOSSES[name])


@pytest.mark.parametrize("name", TRAINERS)
def test_trainers_keep_the_contract(name, tmp_path):
    spec = LOSSES[TRAINERS[name].loss]
    check_trainer(
        TRAINERS[name],
        tmp_path,
        loss=lambda classes, size: spec.build(classes, size, spec.options()),
        learning_rate=0.01,
    )


def test_cosface_is_as_arcface_torch_has_it():
    chosen = LOSSES["cosface"].options()
    assert (chosen.scale, chosen.margin, chosen.sample_rate) == (64, 0.4, 1)


@pytest.mark.parametrize("name", TRAINERS)
def test_demo_settings_are_options_that_exist(name):
    trainer = TRAINERS[name]
    assert set(trainer.demo) <= {"backbone", "loss", "trainer", "train_data"}
    build_options(trainer.options, trainer.demo["trainer"], "trainer")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("arcface", {"scale": 0}),
        ("arcface", {"margin": 4}),
        ("arcface", {"gradient": "exakt"}),
        ("arcface", {"fallback": "soft"}),
        ("arcface", {"filter_above": 1.5}),
        ("arcface", {"sample_rate": 0}),
        ("cosface", {"margin": -0.1}),
        ("combined-margin", {"m1": 0}),
        ("combined-margin", {"fallback": "hard"}),
        ("sphereface", {"margin": 1.35}),
        ("subcentre-arcface", {"subcentres": 0}),
    ],
)
def test_impossible_options_are_refused(name, values):
    with pytest.raises(FacebenchError, match=f"loss.{next(iter(values))}"):
        build_options(LOSSES[name].options, values, "loss")
