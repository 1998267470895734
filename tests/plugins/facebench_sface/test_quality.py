from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_losses import assert_golden, golden_case, run_case

from facebench_sface.loss import SFaceLoss
from facebench_sface.options import SFaceOptions
from facebench_sface.quality import NormQuality

CASE = golden_case("sface_quality")


def made(**chosen):
    params = CASE["params"]
    given = {name: params[name] for name in ("a", "b", "h", "gamma", "delta")} | chosen
    return SFaceLoss(*np.shape(CASE["inputs"]["W"]), SFaceOptions(quality="norm", **given))


@pytest.mark.parametrize("training", [True, False], ids=["first batch", "kept statistics"])
def test_golden(training):
    loss = made().double().train(training)
    if not training:
        loss.quality.mean.fill_(CASE["params"]["mu"])
        loss.quality.deviation.fill_(CASE["params"]["sd"])
    found = run_case(loss, CASE)
    assert_golden(found, CASE["expected"])
    assert found["terms"]["quality"].item() == pytest.approx(np.mean(CASE["expected"]["q"]), rel=1e-10)
    assert found["terms"]["pull"].item() == pytest.approx(np.mean(CASE["expected"]["r_intra"]), rel=1e-10)


def test_without_gamma_and_delta_it_is_sface_to_the_last_bit():
    plain = run_case(SFaceLoss(*np.shape(CASE["inputs"]["W"]), SFaceOptions()), CASE)
    found = run_case(made(gamma=0, delta=0), CASE)
    for name in ("loss", "dX", "dW"):
        assert torch.equal(found[name], plain[name])


def test_the_sign_turns_better_into_worse():
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(NormQuality(0.333, -1)(vectors), -NormQuality(0.333, 1)(vectors))


def lengths(*values):
    """Vectors of these lengths."""
    return torch.tensor(values, dtype=torch.float64)[:, None] * torch.tensor([0.6, 0.8], dtype=torch.float64)


def test_statistics_start_with_the_first_batch_and_follow_slowly():
    quality = NormQuality(0.333, 1).double()
    quality(lengths(1, 3))
    assert quality.mean.item() == pytest.approx(2) and quality.deviation.item() == pytest.approx(math.sqrt(2))
    quality(lengths(10, 10, 10))
    assert quality.mean.item() == pytest.approx(0.99 * 2 + 0.01 * 10)
    assert quality.deviation.item() == pytest.approx(0.99 * math.sqrt(2))


def test_one_face_has_no_deviation_and_extreme_lengths_are_limited():
    quality = NormQuality(0.333, 1).double()
    assert quality(lengths(1e6)).isfinite().all()
    assert (quality.mean.item(), quality.deviation.item()) == (100, 0)
    assert quality(lengths(0)).item() == -1


def test_only_training_changes_the_statistics_and_they_are_kept():
    quality = NormQuality(0.333, 1).double()
    quality(lengths(1, 3))
    before = {name: value.clone() for name, value in quality.state_dict().items()}
    quality.eval()(lengths(50, 60))
    assert all(torch.equal(value, before[name]) for name, value in quality.state_dict().items())
    other = NormQuality(0.333, 1).double()
    other.load_state_dict(before)
    for one in (quality.train(), other):
        one(lengths(7, 9))
    assert torch.equal(quality.mean, other.mean) and quality.mean.item() == pytest.approx(0.99 * 2 + 0.01 * 8)


def test_quality_pulls_hard_faces_more_and_leaves_easy_ones_alone():
    def pull(theta, q):
        loss = made().double().eval()
        loss.quality.mean.fill_(5.0)
        loss.quality.deviation.fill_(1.0)
        own = torch.tensor([math.cos(theta)], dtype=torch.float64)
        return loss._pull(own, lengths(5 + 1.001 * q / 0.333))[0].item()

    assert pull(math.pi / 2, 1) == pytest.approx(64 * 1.3) and pull(math.pi / 2, -1) == pytest.approx(64 * 0.7)
    assert pull(math.pi / 2, 0) == pytest.approx(64)
    assert pull(0.84, 1) > 10 * pull(0.84, 0) > 100 * pull(0.84, -1)
    assert max(pull(0.5, q) for q in (-1, 0, 1)) < 1e-6
