"""The whole family: against golden values, against plain formulas, and where vectors are extreme."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_losses import assert_golden, batch_of, golden_case, golden_cases, run, run_case
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facebench.centres import ClassCentres
from facebench.contracts import Features
from facebench_arcface.loss import ArcFaceLoss, CombinedLoss, CosFaceLoss, SubcentreLoss
from facebench_arcface.options import (
    ArcFaceOptions,
    CombinedOptions,
    CosFaceOptions,
    SphereFaceOptions,
    SubcentreOptions,
)
from facebench_arcface.sphereface import SphereFaceLoss

FIXED = {"anneal_start": 0, "anneal_least": 0}


def shape(case):
    return np.shape(case["inputs"]["W"])


@pytest.mark.parametrize("case", golden_cases("cosface"), ids=lambda case: case["id"])
def test_cosface(case):
    params = case["params"]
    above = params.get("interclass_filtering_threshold", 0)
    options = CosFaceOptions(scale=params["s"], margin=params["m"], filter_above=above)
    assert_golden(run_case(CosFaceLoss(*shape(case), options), case), case["expected"])


@pytest.mark.parametrize("case", golden_cases("combined_margin"), ids=lambda case: case["id"])
def test_combined(case):
    params = case["params"]
    options = CombinedOptions(scale=params["s"], m1=params["m1"], m2=params["m2"], m3=params["m3"], fallback="none")
    assert_golden(run_case(CombinedLoss(*shape(case), options), case), case["expected"])


def test_what_arcface_torch_makes_of_all_three_margins_is_cosface():
    case = golden_case("combined_cm1")
    quirk = case["expected"]["arcface_torch_quirk_loss_m2_ignored"]
    found = run_case(CosFaceLoss(*shape(case), CosFaceOptions(scale=64, margin=0.2)), case)
    assert found["loss"].item() == pytest.approx(quirk, rel=1e-12)
    assert abs(quirk - case["expected"]["loss"]) > 10


def test_sphereface():
    (case,) = golden_cases("sphereface")
    options = SphereFaceOptions(scale=case["params"]["s"], margin=case["params"]["m1"], **FIXED)
    assert_golden(run_case(SphereFaceLoss(*shape(case), options), case), case["expected"])


def test_subcentres():
    (case,) = golden_cases("subcenter_arcface")
    params = case["params"]
    rows, size = shape(case)
    options = SubcentreOptions(scale=params["s"], margin=params["m"], subcentres=params["K"], fallback="none")
    assert_golden(run_case(SubcentreLoss(rows // params["K"], size, options), case), case["expected"])


def test_two_shards_are_one_loss():
    arcface = golden_case("partialfc_two_shards_arcface")
    options = ArcFaceOptions(scale=16, margin=0.5, gradient="straight-through")
    assert_golden(run_case(ArcFaceLoss(*shape(arcface), options), arcface), arcface["expected"])
    cosface = golden_case("partialfc_two_shards_cosface")
    options = CosFaceOptions(scale=16, margin=0.4)
    assert_golden(run_case(CosFaceLoss(*shape(cosface), options), cosface), cosface["expected"])


@pytest.mark.parametrize("update_unsampled", [False, True])
def test_sampled_classes(update_unsampled, monkeypatch):
    case = golden_case("partialfc_sampled_classes")
    active = torch.tensor(case["params"]["active_classes"])
    monkeypatch.setattr(ClassCentres, "_drawn_classes", lambda self, goal: active)
    options = CosFaceOptions(scale=16, margin=0.4, sample_rate=0.5, update_unsampled=update_unsampled)
    loss = CosFaceLoss(*shape(case), options)
    found = run_case(loss, case)
    if not update_unsampled:
        assert found["dW"] is None
        found["dW"] = torch.zeros(shape(case), dtype=torch.float64)
        found["dW"][active] = loss.centres.active.grad
    idle = sorted(set(range(len(found["dW"]))) - set(active.tolist()))
    assert not found["dW"][idle].any()
    assert_golden(found, case["expected"] | {"dW": case["expected"]["dW_full"]})


def plain(name, options, vectors, centres, labels):
    """The published formula as anybody would write it, and its gradients by torch."""
    x = torch.tensor(vectors, requires_grad=True)
    w = torch.tensor(centres, requires_grad=True)
    y = torch.tensor(labels)
    cosine = functional.normalize(x) @ functional.normalize(w).T
    cosine = cosine.reshape(len(x), -1, getattr(options, "subcentres", 1)).max(dim=2).values
    own = functional.one_hot(y, cosine.shape[1]).bool()
    theta = cosine.acos()
    match name:
        case "arcface" | "subcentre-arcface":
            phi = torch.where(
                theta + options.margin < math.pi,
                (theta + options.margin).cos(),
                cosine - options.margin * math.sin(options.margin),
            )
        case "cosface":
            phi = cosine - options.margin
        case "combined-margin":
            phi = (options.m1 * theta + options.m2).clamp(max=math.pi - 1e-4).cos() - options.m3
        case "sphereface":
            times = (options.margin * theta / math.pi).floor()
            psi = (-1) ** times * (options.margin * theta).cos() - 2 * times
            keep = max(options.anneal_least, options.anneal_start / (1 + options.anneal_rate))
            phi = (keep * cosine + psi) / (1 + keep)
    others = torch.where(cosine > (options.filter_above or 2), 0.0, cosine)
    scale = getattr(options, "scale", 0) or x.norm(dim=1, keepdim=True)
    loss = functional.cross_entropy(torch.where(own, phi, others) * scale, y)
    loss.backward()
    return {"loss": loss.detach().numpy(), "dX": x.grad.numpy(), "dW": w.grad.numpy()}


FAMILY = {
    "arcface": (ArcFaceLoss, ArcFaceOptions, {"margin": 0.5}),
    "subcentre-arcface": (SubcentreLoss, SubcentreOptions, {"margin": 0.3, "scale": 32}),
    "cosface": (CosFaceLoss, CosFaceOptions, {}),
    "combined-margin": (CombinedLoss, CombinedOptions, {"m1": 0.9, "m2": 0.4, "m3": 0.15}),
    "sphereface": (SphereFaceLoss, SphereFaceOptions, {"margin": 3}),
}


@pytest.mark.parametrize("name", FAMILY)
@settings(deadline=None, max_examples=20)
@given(
    counts=st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(2, 9)),
    subcentres=st.integers(1, 4),
    filter_above=st.sampled_from([0, 0.2]),
    seed=st.integers(0, 10_000),
)
def test_is_the_published_formula(name, counts, subcentres, filter_above, seed):
    faces, classes, size = counts
    kind, options, chosen = FAMILY[name]
    subcentres = subcentres if name == "subcentre-arcface" else 1
    more = {"subcentres": subcentres} if name == "subcentre-arcface" else {}
    options = options(filter_above=filter_above, **chosen, **more)
    random = np.random.default_rng(seed)
    vectors, centres = random.normal(size=(faces, size)), random.normal(size=(classes * subcentres, size))
    labels = random.integers(0, classes, faces)
    found = run(kind(classes, size, options), vectors, centres, labels)
    for key, value in plain(name, options, vectors, centres, labels).items():
        bound = 1e-9 * (1 + np.abs(value).max())
        np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-7, atol=bound, err_msg=key)


@pytest.mark.parametrize("name", FAMILY)
def test_gradients_are_tangent_to_the_sphere(name):
    kind, options, chosen = FAMILY[name]
    chosen = chosen | ({"scale": 30} if name == "sphereface" else {})
    random = np.random.default_rng(5)
    vectors, labels = random.normal(size=(6, 8)), random.integers(0, 5, 6)
    loss = kind(5, 8, options(**chosen))
    centres = random.normal(size=(loss.centres.weight.numel() // 8, 8))
    found = run(loss, vectors, centres, labels)
    for raw, slope in ((vectors, found["dX"].numpy()), (centres, found["dW"].numpy())):
        lengths = np.linalg.norm(raw, axis=1) * np.linalg.norm(slope, axis=1)
        assert np.all(np.abs((raw * slope).sum(axis=1)) <= 1e-12 * (1 + lengths))


EXTREME = {
    **FAMILY,
    "arcface beyond pi": (ArcFaceLoss, ArcFaceOptions, {"margin": 3.1}),
    "arcface beyond pi, none": (ArcFaceLoss, ArcFaceOptions, {"margin": 3.1, "fallback": "none"}),
    "arcface through": (ArcFaceLoss, ArcFaceOptions, {"margin": 3.1, "gradient": "straight-through"}),
    "combined beyond pi": (CombinedLoss, CombinedOptions, {"m1": 4, "m2": 3, "m3": 1}),
    "combined beyond pi, none": (CombinedLoss, CombinedOptions, {"m1": 4, "m2": 3, "m3": 1, "fallback": "none"}),
    "sphereface alone": (SphereFaceLoss, SphereFaceOptions, {"margin": 9, **FIXED}),
}


@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_finite_where_a_face_is_its_centre_or_opposite(name, dtype):
    kind, options, chosen = EXTREME[name]
    torch.manual_seed(0)
    loss = kind(4, 512, options(**chosen))
    centre = loss.centres.weight.detach()[:, :512]
    vectors = torch.cat([3 * centre, -3 * centre, torch.zeros(1, 512)]).to(dtype).requires_grad_()
    if dtype == torch.float64:
        loss = loss.double()
    output = loss(batch_of([0, 1, 2, 3, 0, 1, 2, 3, 0]), Features(vectors))
    output.total.backward()
    for value in (output.total, vectors.grad, loss.centres.weight.grad, *output.terms.values()):
        assert value.isfinite().all()


def test_lambda_falls_from_the_first_training_step_on_and_is_kept():
    options = SphereFaceOptions()
    loss = SphereFaceLoss(3, 4, options)

    def told(module):
        return module(batch_of([0, 1]), Features(torch.ones(2, 4))).terms["lambda"].item()

    found = [told(loss) for _ in range(3)]
    assert found == pytest.approx([1000 / (1 + 0.12 * step) for step in (1, 2, 3)])
    other = SphereFaceLoss(3, 4, options)
    other.load_state_dict(loss.state_dict())
    assert told(other) == told(loss) == pytest.approx(1000 / 1.48)
    assert told(loss.eval()) == told(loss)
    loss.steps.fill_(10_000)
    assert told(loss) == 5


def test_the_length_of_an_embedding_is_sphereface_s_scale_and_learns():
    torch.manual_seed(0)
    loss = SphereFaceLoss(5, 8, SphereFaceOptions())
    vectors = torch.randn(4, 8, requires_grad=True)
    loss(batch_of([0, 1, 2, 3]), Features(vectors)).total.backward()
    assert (vectors.grad * vectors).sum(dim=1).abs().min() > 1e-3
