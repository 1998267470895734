from __future__ import annotations

import pytest
import torch

from facebench_vec2face.discriminator import PatchDiscriminator
from facebench_vec2face.options import SHAPES


def on_meta(shape):
    with torch.device("meta"):
        return PatchDiscriminator(shape.discriminator, shape.image)


def parameters(module):
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize(
    ("name", "map_side", "millions"),
    [("base", 11, 6.14), ("large", 11, 6.14), ("small", 11, 1.54), ("half56", 4, 1.54), ("tiny32", 1, 0.39)],
)
def test_logits_and_sizes(name, map_side, millions):
    shape = SHAPES[name]
    judge = on_meta(shape)
    assert round(parameters(judge) / 1e6, 2) == millions
    assert judge(torch.empty(2, 3, shape.image, shape.image, device="meta")).shape == (2, 1, map_side, map_side)


def test_maps_of_the_paper():
    judge = on_meta(SHAPES["base"])
    pictures = torch.empty(1, 3, 112, 112, device="meta")
    assert [tuple(conv(pictures).shape[1:]) for conv in judge.stem.convs] == [
        (32, 112, 112),
        (16, 112, 112),
        (16, 112, 112),
    ]
    maps = judge.stem(pictures)
    for stage, shape in zip(judge.stages, [(128, 56, 56), (256, 28, 28), (512, 14, 14)], strict=True):
        maps = stage(maps)
        assert tuple(maps.shape[1:]) == shape


def test_the_head_of_a_small_picture_sees_all_of_it():
    judge = PatchDiscriminator((16, 16, 16, 16), 16)
    assert judge.head.kernel_size == (2, 2)
    assert judge(torch.randn(2, 3, 16, 16)).shape == (2, 1, 1, 1)


def test_faces_are_judged_one_by_one():
    torch.manual_seed(0)
    judge, pictures = PatchDiscriminator((16, 32, 32, 32), 32), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(judge(pictures)[1:2], judge(pictures[1:2]))


def test_all_of_it_learns():
    torch.manual_seed(0)
    judge = PatchDiscriminator((16, 32, 32, 32), 32)
    judge(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in judge.parameters())


def test_it_can_tell_two_sorts_apart():
    torch.manual_seed(1)
    judge = PatchDiscriminator((16, 16, 16, 16), 32)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-3)
    smooth = torch.nn.functional.interpolate(torch.randn(8, 3, 8, 8), size=32, mode="bilinear")
    rough = torch.randn(8, 3, 32, 32)
    for _ in range(20):
        loss = (judge(smooth) - 1).square().mean() + judge(rough).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert judge(smooth).mean() - judge(rough).mean() > 0.5
