"""What all networks promise, checked on each: size, vectors, precision, gradients, errors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from facebench import ConfigError, FacebenchError, Features
from facebench_backbones.iresnet import IResNet
from facebench_backbones.mobilefacenet import MobileFaceNet
from facebench_backbones.plugin import facebench_backbones
from facebench_backbones.tinynet import tinynet, tinynet32
from facebench_backbones.vit import SIZES, Size, VisionTransformer, vit

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebench_backbones.network import FaceNetwork

SPECS = {spec.name: spec for spec in facebench_backbones()}

# One of each family, small where the family allows it.
SMALL: dict[str, Callable[..., FaceNetwork]] = {
    "iresnet": partial(IResNet, (1, 2, 1, 1), embedding_size=32),
    "mobilefacenet": partial(MobileFaceNet, (1, 1, 1, 1), scale=1, embedding_size=32),
    "mobilefacenet_large": partial(MobileFaceNet, (2, 1, 1, 1), scale=1, embedding_size=32),
    "vit": partial(VisionTransformer, Size(width=32, depth=3), embedding_size=32),
    "tinynet": partial(tinynet, embedding_size=32),
}


def faces(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, 3, 112, 112), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def build(family: str) -> FaceNetwork:
    torch.manual_seed(0)
    return SMALL[family]()


# Millions of parameters, and billions of multiply-adds in convolutions and linear layers plus those in attention, as
# counted from the reference implementation at 112x112 with 512-dimensional embeddings.
@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [
        ("iresnet18", 24.03, 2.61),
        ("iresnet34", 34.14, 4.46),
        ("iresnet50", 43.59, 6.31),
        ("iresnet100", 65.16, 12.09),
        ("iresnet200", 118.83, 23.42),
        ("mobilefacenet", 2.06, 0.44),
        ("mobilefacenet_large", 6.31, 1.82),
        ("vit_t", 19.14, 1.38 + 0.13),
        ("vit_s", 76.02, 5.49 + 0.25),
        ("vit_b", 113.83, 10.93 + 0.51),
        ("vit_l", 255.68, 24.57 + 0.76),
    ],
)
def test_size_and_work_agree_with_the_reference(name: str, millions: float, billions: float) -> None:
    spec = SPECS[name]
    with torch.device("meta"):
        network = spec.build(spec.options()).eval()
        images = torch.empty(1, 3, 112, 112)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vectors = network(images).vectors
    assert vectors.shape == (1, 512)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.011)


@pytest.mark.parametrize(("make", "side", "millions"), [(tinynet, 112, 0.6), (tinynet32, 32, 0.8)])
def test_tinynet_stays_tiny(make, side, millions) -> None:
    with torch.device("meta"):
        network, images = make().eval(), torch.empty(1, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        assert network(images).vectors.shape == (1, 128)
    assert 0.2e6 < sum(p.numel() for p in network.parameters()) < millions * 1e6
    assert counter.get_total_flops() / 2 < 14e6


def test_tinynet32_is_for_small_pictures() -> None:
    with pytest.raises(FacebenchError, match=r"\(N, 3, 32, 32\)"):
        tinynet32()(torch.zeros(2, 3, 112, 112))


@pytest.mark.parametrize("family", SMALL)
def test_vectors_are_deterministic_in_evaluation_and_not_normalised(family: str) -> None:
    network = build(family).eval()
    with torch.no_grad():
        first, second, alone = network(faces(3)), network(faces(3)), network(faces(3)[1:2])
    assert isinstance(first, Features)
    assert first.confidence is None
    assert network.embedding_size == 32
    assert first.vectors.shape == (3, 32)
    assert first.vectors.dtype == torch.float32
    assert torch.equal(first.vectors, second.vectors)
    # A face's vector must not depend on its neighbours in the batch.
    torch.testing.assert_close(alone.vectors[0], first.vectors[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(first.vectors.norm(dim=1), torch.ones(3), atol=1e-3)
    assert not torch.allclose(first.vectors[0], first.vectors[1])


@pytest.mark.parametrize("family", SMALL)
def test_equal_seeds_build_equal_networks(family: str) -> None:
    first, second = build(family).state_dict(), build(family).state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("family", SMALL)
def test_a_backward_pass_reaches_every_trainable_parameter(family: str) -> None:
    network = build(family).train()
    # Several faces, so that some stay on every path that is dropped at random; and a target, since the mean of
    # batch-normalised vectors has no gradient.
    vectors = network(faces(4)).vectors
    (vectors - torch.randn_like(vectors)).abs().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


@pytest.mark.parametrize("family", ["iresnet", "tinynet"])
def test_the_last_scale_is_one_and_stays_one(family: str) -> None:
    network = build(family)
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["features.weight"]
    assert torch.equal(network.state_dict()["features.weight"], torch.ones(32))


@pytest.mark.parametrize("family", SMALL)
def test_half_precision_ends_before_the_vectors(family: str) -> None:
    network = build(family).eval()
    seen: list[torch.dtype] = []
    head = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)][-1]
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    body = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    halves: list[torch.dtype] = []
    body.register_forward_hook(lambda _, inputs, output: halves.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            vectors = network(faces(1)).vectors
        assert torch.is_autocast_enabled("cpu")
    assert halves == [torch.bfloat16]
    assert seen == [torch.float32, torch.float32]
    assert vectors.dtype == torch.float32
    assert torch.isfinite(vectors).all()
    with torch.no_grad():
        exact = network(faces(1)).vectors
    assert torch.nn.functional.cosine_similarity(exact, vectors).item() > 0.99


# The two that a processor without half-precision instructions trains in reasonable time.
@pytest.mark.parametrize("family", ["vit", "tinynet"])
def test_training_in_half_precision_gives_full_precision_gradients(family: str) -> None:
    network = build(family).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vectors = network(faces(4)).vectors
    vectors.abs().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert vectors.dtype == torch.float32
    assert len(gradients) == sum(p.requires_grad for p in network.parameters())
    assert all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("shape", [(2, 3, 128, 128), (2, 1, 112, 112), (3, 112, 112), (2, 112, 112, 3)])
def test_a_wrong_shape_is_told_in_one_line(family: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(FacebenchError, match=r"\(N, 3, 112, 112\)") as caught, torch.device("meta"):
        SMALL[family]()(torch.empty(shape))
    assert str(shape) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_instead_of_scaled_images_are_refused() -> None:
    with pytest.raises(FacebenchError, match=r"torch\.uint8.*floating-point"):
        tinynet()(torch.zeros((2, 3, 112, 112), dtype=torch.uint8))


@pytest.mark.parametrize("family", ["iresnet", "tinynet"])
def test_memory_layout_does_not_change_the_vectors(family: str) -> None:
    network = build(family).eval()
    with torch.no_grad():
        plain = network(faces()).vectors
        network.to(memory_format=torch.channels_last)
        last = network(faces().contiguous(memory_format=torch.channels_last)).vectors
    torch.testing.assert_close(plain, last, rtol=1e-3, atol=1e-4)


def test_double_precision_is_kept() -> None:
    network = build("vit").double().eval()
    assert network(faces().double()).vectors.dtype == torch.float64


def test_sizes_are_named() -> None:
    assert set(SIZES) == {"t", "s", "b", "l"}
    with torch.device("meta"):
        assert len(vit("b").blocks) == 24


@pytest.mark.parametrize("family", SMALL)
def test_a_network_that_predicts_confidences(family):
    """Blocks of unit length, positive confidences, and the same vectors otherwise as without."""
    network = SMALL[family](confidence=4).eval()
    plain = SMALL[family]().eval()
    missing, unexpected = plain.load_state_dict(network.state_dict(), strict=False)
    assert not missing and unexpected and all(name.startswith("confidence.") for name in unexpected)
    with torch.no_grad():
        features, vectors = network(faces(3)), plain(faces(3)).vectors
    blocks = features.vectors.view(3, 4, -1)
    torch.testing.assert_close(blocks.norm(dim=2), torch.ones(3, 4))
    torch.testing.assert_close(blocks, torch.nn.functional.normalize(vectors.view(3, 4, -1), dim=2))
    assert features.confidence.shape == (3, 4) and bool((features.confidence > 0).all())
    assert plain(faces(2)).confidence is None


def test_confidences_start_alike_and_learn():
    torch.manual_seed(0)
    network = SMALL["tinynet"](confidence=4).train()
    features = network(faces(8))
    assert features.confidence.mean().item() == pytest.approx(48, rel=0.05) and features.confidence.std() < 3
    features.confidence.sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.confidence.parameters())


def test_blocks_that_do_not_divide_the_vector_are_refused():
    with pytest.raises(ConfigError, match=r"backbone\.confidence 3 does not divide backbone\.embedding_size"):
        SMALL["tinynet"](confidence=3)
