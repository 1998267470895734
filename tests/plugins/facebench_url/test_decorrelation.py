from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_losses import golden_case
from torch.nn import functional

from facebench import ConfigError
from facebench_url.decorrelation import Decorrelation, draw_masks


def golden():
    """The case as a module, its blocks and its marks."""
    case = golden_case("url_decorrelation")
    inputs = case["inputs"]
    module = Decorrelation(3, 4, 8).double()
    with torch.no_grad():
        module.masks.copy_(torch.tensor(inputs["V"]).bool())
        module.discriminator.weight.copy_(torch.tensor(inputs["A"], dtype=torch.float64))
        module.discriminator.bias.copy_(torch.tensor(inputs["c"], dtype=torch.float64))
    vectors = torch.tensor(inputs["F"], dtype=torch.float64, requires_grad=True)
    return module, vectors, torch.tensor(inputs["u"], dtype=torch.float64), case["expected"]


def blocks_of(vectors, count=4):
    return functional.normalize(vectors.view(len(vectors), count, -1), dim=2)


def test_golden():
    module, vectors, marks, expected = golden()
    parts = module(blocks_of(vectors), marks)
    for name, value in zip(("L_C", "L_cls", "L_adv"), parts, strict=True):
        assert value.item() == pytest.approx(expected[name], rel=1e-12)
    for name, value in (("dF_cls", parts.classifying), ("dF_adv", parts.adversarial)):
        (found,) = torch.autograd.grad(value, vectors, retain_graph=True)
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-9, atol=1e-12)
    assert torch.autograd.grad(parts.discriminator, vectors, allow_unused=True)[0] is None


def test_values_where_the_discriminator_knows_nothing():
    module, vectors, marks, expected = golden()
    with torch.no_grad():
        module.discriminator.weight.zero_()
        module.discriminator.bias.zero_()
    found = module(blocks_of(vectors), marks)
    names = ("L_C_at_chance", "L_cls_at_chance", "L_adv_minimum")
    assert [value.item() for value in found] == pytest.approx([expected[name] for name in names])
    assert found.discriminator.item() == pytest.approx(9 * math.log(2))


def test_an_unknown_variation_has_no_part_in_what_asks_for_labels():
    module, vectors, marks, _ = golden()
    marks[:, 1] = math.nan
    found = module(blocks_of(vectors), marks)
    for value in (0.0, 1.0):
        other = marks.clone()
        other[:, 1] = value
        again = module(blocks_of(vectors), other)
        assert again.adversarial.item() == found.adversarial.item()
        assert again.discriminator > found.discriminator and again.classifying > found.classifying
    assert all(bool(value.isfinite()) for value in found)


@pytest.mark.parametrize(("variations", "blocks"), [(3, 3), (6, 4), (6, 16), (70, 8), (20, 64)])
def test_masks_are_different_halves(variations, blocks):
    torch.manual_seed(1)
    masks = draw_masks(variations, blocks) if variations <= math.comb(blocks, blocks // 2) else None
    assert masks is not None
    assert masks.shape == (variations, blocks) and len(torch.unique(masks, dim=0)) == variations
    assert bool((masks.sum(dim=1) == blocks // 2).all())
    torch.manual_seed(1)
    assert torch.equal(draw_masks(variations, blocks), masks)


@pytest.mark.parametrize("blocks", [1, 2])
def test_too_few_blocks_are_refused(blocks):
    with pytest.raises(ConfigError, match="3 variations"):
        draw_masks(3, blocks)
