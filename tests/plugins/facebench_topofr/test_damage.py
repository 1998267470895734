"""The structure damage score."""

from __future__ import annotations

import pytest
import torch

from facebench_topofr.damage import damage_scores

PROBABILITY = torch.tensor([0.9999, 0.6, 1e-4, 1.0], dtype=torch.float64)
HARD = torch.tensor([0.0, 0.25, 1.0, 0.5], dtype=torch.float64)


def losses():
    return (-PROBABILITY.log()).requires_grad_()


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.5])
def test_the_formula(temperature):
    found = damage_scores(losses(), HARD, temperature=temperature)
    torch.testing.assert_close(found, (1 + HARD) ** temperature * (1 - PROBABILITY), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(damage_scores(losses(), None), 1 - PROBABILITY, rtol=1e-12, atol=1e-15)


def test_off_is_what_whole_numbers_leave_of_probabilities():
    # A vector of whole numbers keeps of 0.9999 and 0.6 nothing, and 1 of 1.0, where the loss is 0 anyway.
    kept = torch.ones(4, dtype=torch.int64)
    kept[:] = PROBABILITY.long()
    assert kept.tolist() == [0, 0, 0, 1]
    found = damage_scores(losses(), HARD, focal="off") * losses()
    torch.testing.assert_close(found, (1 + HARD) * (1 - kept) * losses())


def test_which_of_them_teach():
    for focal, expected in (("grad", PROBABILITY), ("detach", None), ("off", None)):
        one = losses()
        found = damage_scores(one, None, focal=focal)
        assert found.requires_grad == (expected is not None)
        if expected is not None:
            # d (1 - exp(-loss)) / d loss is the probability.
            torch.testing.assert_close(torch.autograd.grad(found.sum(), one)[0], expected)


def test_small_losses_keep_their_precision():
    tiny = torch.tensor([1e-9])
    torch.testing.assert_close(damage_scores(tiny, None), tiny)
