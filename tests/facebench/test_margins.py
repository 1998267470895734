from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from facebench.errors import ConfigError
from facebench.margins import (
    arcface_phi,
    combined_phi,
    cosface_phi,
    cosine_logits,
    filter_others,
    sphereface_phi,
    target_cosine,
)

GOLDEN = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())["cases"]
    if case["method"] == "arcface"
}
VARIANTS = {
    "plain": ("exact", "none"),
    "plain_ste": ("straight-through", "none"),
    "hard": ("exact", "hard"),
    "easy": ("exact", "easy"),
    "clip_eps1e-4": ("exact", "clip"),
}
GRADIENTS = ["exact", "straight-through"]
FALLBACKS = ["auto", "hard", "easy", "clip", "none"]


def run(vectors, centres, labels, scale, margin, gradient="exact", fallback="none"):
    """Loss, logits and gradients on raw float64 (or other) arrays."""
    x = torch.as_tensor(vectors).clone().requires_grad_()
    w = torch.as_tensor(centres).clone().requires_grad_()
    y = torch.as_tensor(labels)
    cosine = cosine_logits(x, w)
    own = target_cosine(cosine, y)
    phi = arcface_phi(own, margin, gradient=gradient, fallback=fallback).along(own)
    logits = scale * cosine.scatter(1, y[:, None], phi[:, None])
    losses = functional.cross_entropy(logits, y, reduction="none")
    losses.mean().backward()
    return {
        "cos": cosine,
        "logits": logits,
        "loss_per_sample": losses,
        "loss": losses.mean(),
        "dX": x.grad,
        "dW": w.grad,
    }


def arrays(case):
    inputs = case["inputs"]
    return np.array(inputs["X"]), np.array(inputs["W"]), np.array(inputs["y"])


def compare(found, expected, names):
    for name in names:
        value = found[name].detach().numpy()
        np.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", ["arcface_hand", "arcface_rand", "arcface_rand_easy"])
def test_values_and_both_gradients(name):
    case = GOLDEN[name]
    params, expected = case["params"], case["expected"]
    margin = params.get("m", params.get("m_rad"))
    exact = run(*arrays(case), params["s"], margin)
    compare(exact, expected, ["cos", "logits", "loss_per_sample", "loss", "dX", "dW"])
    through = run(*arrays(case), params["s"], margin, "straight-through")
    compare(through, expected, ["logits", "loss"])
    compare({"dX_ste": through["dX"], "dW_ste": through["dW"]}, expected, ["dX_ste", "dW_ste"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_answer_to_theta_plus_margin_beyond_pi(variant):
    case = GOLDEN["arcface_theta_plus_m_gt_pi"]
    expected = case["expected"][variant]
    found = run(*arrays(case), case["params"]["s"], case["params"]["m"], *VARIANTS[variant])
    compare(found, expected, sorted(expected))


def test_plain_exact_gradient_pushes_a_misplaced_face_away_and_the_others_do_not():
    case = GOLDEN["arcface_theta_plus_m_gt_pi"]
    x, w, y = arrays(case)
    own = w[y[0]] / np.linalg.norm(w[y[0]])

    def slope(gradient, fallback):
        return float(run(x, w, y, 64.0, 0.5, gradient, fallback)["dX"][0].numpy() @ own)

    assert slope("exact", "none") > 0.01  # The loss rises towards the own class: the wrong way.
    for gradient, fallback in [("exact", "auto"), ("exact", "easy"), ("straight-through", "auto")]:
        assert slope(gradient, fallback) < -0.01


def test_auto_is_hard_with_exact_and_none_with_straight_through():
    cosine = torch.linspace(-1, 1, 101, dtype=torch.float64)
    for gradient, fallback in [("exact", "hard"), ("straight-through", "none")]:
        auto = arcface_phi(cosine, 0.5, gradient=gradient).value
        assert torch.equal(auto, arcface_phi(cosine, 0.5, gradient=gradient, fallback=fallback).value)


@settings(deadline=None, max_examples=60)
@given(theta=st.floats(0.001, math.pi - 0.001), margin=st.floats(0, math.pi))
def test_matches_the_angle_and_its_derivative(theta, margin):
    cosine = torch.tensor([math.cos(theta)], dtype=torch.float64, requires_grad=True)
    phi = arcface_phi(cosine, margin, fallback="none").along(cosine)
    phi.backward()
    assert phi.item() == pytest.approx(math.cos(theta + margin), abs=1e-9)
    assert cosine.grad.item() == pytest.approx(math.sin(theta + margin) / math.sin(theta), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("fallback", FALLBACKS)
def test_finite_at_and_beyond_the_ends(dtype, gradient, fallback):
    ends = [-1 - 4e-7, -1.0, -1 + 1e-7, 0.0, 1 - 1e-7, 1.0, 1 + 4e-7]
    cosine = torch.tensor(ends, dtype=dtype, requires_grad=True)
    phi = arcface_phi(cosine, 0.5, gradient=gradient, fallback=fallback).along(cosine)
    phi.sum().backward()
    assert phi.dtype == dtype and phi.isfinite().all() and cosine.grad.isfinite().all()
    if gradient == "straight-through":
        assert torch.equal(cosine.grad, torch.ones_like(cosine))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 6), columns=st.integers(1, 7), size=st.integers(2, 9), seed=st.integers(0, 999))
def test_cosines_and_their_gradients_are_those_of_normalised_vectors(dtype, rows, columns, size, seed):
    draw = torch.Generator().manual_seed(seed)
    x, w, upstream = (
        torch.randn(shape, generator=draw, dtype=torch.float64)
        for shape in ((rows, size), (columns, size), (rows, columns))
    )
    found = [one.clone().to(dtype).requires_grad_() for one in (x, w)]
    plain = [one.clone().requires_grad_() for one in (x, w)]
    cosine = cosine_logits(*found)
    expected = functional.normalize(plain[0]) @ functional.normalize(plain[1]).T
    cosine.backward(upstream.to(dtype))
    expected.backward(upstream)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(cosine.double(), expected, **close)
    for one, other in zip(found, plain, strict=True):
        scale = 1 + other.grad.abs().max()
        torch.testing.assert_close(one.grad.double() / scale, other.grad / scale, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 6), columns=st.integers(1, 7), seed=st.integers(0, 999))
@example(rows=1, columns=2, seed=568)
def test_on_a_line_there_is_no_direction_to_turn_to(dtype, rows, columns, seed):
    """The gradient is 0, as the difference of two terms that grow without bound as a vector becomes short."""
    draw = torch.Generator().manual_seed(seed)
    x, w, upstream = (torch.randn(s, generator=draw, dtype=dtype) for s in ((rows, 1), (columns, 1), (rows, columns)))
    x, w = x.requires_grad_(), w.requires_grad_()
    cosine = cosine_logits(x, w)
    cosine.backward(upstream)
    rounding = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(cosine, x.sign() * w.sign().T, rtol=0, atol=rounding)
    for one, terms in ((x, upstream.abs().sum(1, keepdim=True)), (w, upstream.abs().sum(0)[:, None])):
        assert (one.grad.abs() <= rounding * terms / one.detach().abs()).all()


def test_a_vector_without_length_has_cosine_0_and_finite_gradients():
    x, w = torch.zeros(1, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    cosine = cosine_logits(x, w)
    cosine.sum().backward()
    assert torch.equal(cosine, torch.zeros(1, 3)) and x.grad.isfinite().all() and w.grad.isfinite().all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), gradient=st.sampled_from(GRADIENTS), fallback=st.sampled_from(FALLBACKS))
def test_gradients_are_tangent_to_the_sphere(seed, gradient, fallback):
    random = np.random.default_rng(seed)
    x, w, y = random.normal(size=(6, 8)), random.normal(size=(5, 8)), random.integers(0, 5, 6)
    found = run(x, w, y, 64.0, 0.5, gradient, fallback)
    for raw, slope in ((x, found["dX"].numpy()), (w, found["dW"].numpy())):
        lengths = np.linalg.norm(raw, axis=1) * np.linalg.norm(slope, axis=1)
        assert np.all(np.abs((raw * slope).sum(axis=1)) <= 1e-12 * (1 + lengths))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), own=st.sampled_from([-1.0, 1.0]), gradient=st.sampled_from(GRADIENTS))
def test_loss_and_gradients_are_finite_when_a_face_is_its_centre_or_opposite(seed, own, gradient):
    centres = torch.randn(4, 512, generator=torch.Generator().manual_seed(seed))
    found = run(own * centres[:2] * 3, centres, [0, 1], 64.0, 0.5, gradient, "auto")
    for name in ("loss", "dX", "dW"):
        assert found[name].isfinite().all()


def test_cosines_keep_float32_inside_autocast_and_for_half_precision():
    x, w = torch.randn(4, 64), torch.randn(3, 64)
    plain = cosine_logits(x, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosine_logits(x, w), plain)
    half = cosine_logits(x.bfloat16(), w)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, atol=2e-2, rtol=0)


def slopes(target, cosine):
    leaf = cosine.clone().requires_grad_()
    value = target(leaf).along(leaf)
    value.sum().backward()
    return value.detach(), leaf.grad


def through_the_angle(formula, cosine):
    """A formula of theta, differentiated by torch."""
    leaf = cosine.clone().requires_grad_()
    value = formula(leaf.acos())
    value.sum().backward()
    return value.detach(), leaf.grad


INSIDE = torch.linspace(-0.999, 0.999, 1001, dtype=torch.float64)


def sphereface_formula(margin):
    def psi(theta):
        times = (margin * theta.detach() / math.pi).floor()
        return torch.where(times % 2 == 0, 1.0, -1.0) * (margin * theta).cos() - 2 * times

    return psi


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 7])
def test_sphereface_is_the_piecewise_formula_with_its_derivative(margin):
    found = slopes(lambda cosine: sphereface_phi(cosine, margin), INSIDE)
    expected = through_the_angle(sphereface_formula(margin), INSIDE)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("margin", [1, 2, 4])
def test_sphereface_falls_without_a_jump_from_1_to_1_minus_2m(margin):
    theta = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    psi = sphereface_phi(theta.cos(), margin).value
    assert psi[0].item() == pytest.approx(1, abs=1e-9) and psi[-1].item() == pytest.approx(1 - 2 * margin, abs=1e-9)
    assert bool((psi.diff() <= 1e-12).all()) and psi.diff().abs().max() < 1e-3 * margin


@pytest.mark.parametrize("margins", [(1, 0.3, 0.2), (0.9, 0.4, 0.15), (1.35, 0, 0), (1, 0, 0), (3, 1, 0)])
def test_combined_is_the_formula_with_its_derivative(margins):
    m1, m2, m3 = margins
    found = slopes(lambda cosine: combined_phi(cosine, *margins, fallback="none"), INSIDE)
    expected = through_the_angle(lambda theta: (m1 * theta + m2).cos() - m3, INSIDE)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_combined_holds_the_angle_below_pi_unless_told_otherwise():
    value, slope = slopes(lambda cosine: combined_phi(cosine, 1.35, 0.2, 0.1), INSIDE)
    beyond = 1.35 * INSIDE.acos() + 0.2 >= math.pi
    assert 0 < beyond.sum() < len(beyond)
    assert bool((slope[beyond] == 0).all()) and bool((slope[~beyond] > 0).all())
    assert value[beyond].numpy() == pytest.approx(-1.1, abs=1e-7)
    assert bool((value.diff() >= -1e-12).all())  # A nearer face never gets a lower logit.


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_combined_holds_arcface_and_cosface(gradient):
    arcface = slopes(lambda cosine: arcface_phi(cosine, 0.5, gradient=gradient, fallback="clip"), INSIDE)
    for one, other in zip(
        slopes(lambda c: combined_phi(c, 1, 0.5, 0, gradient=gradient), INSIDE), arcface, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    cosface = slopes(lambda cosine: cosface_phi(cosine, 0.4), INSIDE)
    for one, other in zip(slopes(lambda c: combined_phi(c, 1, 0, 0.4, fallback="none"), INSIDE), cosface, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


EVERY = {
    "cosface": lambda cosine: cosface_phi(cosine, 0.4),
    "sphereface": lambda cosine: sphereface_phi(cosine, 4),
    "combined clip": lambda cosine: combined_phi(cosine, 1.35, 0.5, 0.2),
    "combined none": lambda cosine: combined_phi(cosine, 1.35, 0.5, 0.2, fallback="none"),
    "combined through": lambda cosine: combined_phi(cosine, 3, 3.1, 1, gradient="straight-through"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", EVERY.values(), ids=EVERY)
def test_the_other_margins_are_finite_at_and_beyond_the_ends(dtype, target):
    ends = [-1 - 4e-7, -1.0, -1 + 1e-7, 0.0, 1 - 1e-7, 1.0, 1 + 4e-7]
    value, slope = slopes(target, torch.tensor(ends, dtype=dtype))
    assert value.dtype == dtype and value.isfinite().all() and slope.isfinite().all()


def test_other_classes_that_are_too_near_count_as_nothing():
    cosine = torch.tensor([[0.9, 0.5, 0.3], [0.5, 0.4, -0.9]], requires_grad=True)
    others = torch.tensor([[False, True, True], [True, True, False]])
    found = filter_others(cosine, others, 0.4)
    assert torch.equal(found, torch.tensor([[0.9, 0.0, 0.3], [0.0, 0.4, -0.9]]))
    found.sum().backward()
    assert torch.equal(cosine.grad, torch.tensor([[1.0, 0, 1], [0, 1, 1]]))


@pytest.mark.parametrize("target", EVERY.values(), ids=EVERY)
def test_the_other_margins_refuse_half_precision(target):
    with pytest.raises(ConfigError, match="bfloat16"):
        target(torch.zeros(2, dtype=torch.bfloat16))


def test_combined_refuses_unknown_words():
    with pytest.raises(ConfigError, match="'hard'"):
        combined_phi(torch.zeros(2), 1, 0, 0, fallback="hard")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'sometimes'"):
        combined_phi(torch.zeros(2), 1, 0, 0, gradient="sometimes")  # type: ignore[arg-type]


def test_a_margin_refuses_half_precision_and_unknown_words():
    with pytest.raises(ConfigError, match="bfloat16"):
        arcface_phi(torch.zeros(2, dtype=torch.bfloat16), 0.5)
    with pytest.raises(ConfigError, match="'sometimes'"):
        arcface_phi(torch.zeros(2), 0.5, gradient="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'maybe'"):
        arcface_phi(torch.zeros(2), 0.5, fallback="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("fallback", "slope"), [("hard", 1.0), ("clip", 0.0)])
@pytest.mark.parametrize("margin", [math.pi, 3.1416])
def test_a_margin_of_pi_leaves_no_angle_below_it(margin, fallback, slope, dtype):
    cosine = torch.tensor([1.0 + 1e-7, 1.0, 0.9, -1.0], dtype=dtype)
    found = arcface_phi(cosine, margin, fallback=fallback)
    assert torch.equal(found.slope, torch.full_like(cosine, slope))
