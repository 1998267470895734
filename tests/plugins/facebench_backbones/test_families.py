"""What belongs to one family: layer names of published weights, dropout, token masking, stochastic depth."""

from __future__ import annotations

import pytest
import torch

from facebench_backbones.iresnet import IResNet, iresnet
from facebench_backbones.mobilefacenet import mobilefacenet, mobilefacenet_large
from facebench_backbones.tinynet import tinynet
from facebench_backbones.vit import TOKENS, Block, Size, VisionTransformer, vit


def faces(count: int = 2) -> torch.Tensor:
    return torch.rand((count, 3, 112, 112), generator=torch.Generator().manual_seed(0)) * 2 - 1


# Keys and shapes as the published weight files have them.
@pytest.mark.parametrize(
    ("name", "count", "shapes"),
    [
        (
            # The stem, 24 blocks, four changes of shape, the last three layers.
            "iresnet50",
            7 + 24 * 18 + 4 * 6 + 12,
            {
                "conv1.weight": (64, 3, 3, 3),
                "bn1.running_mean": (64,),
                "prelu.weight": (64,),
                "layer1.0.bn1.weight": (64,),
                "layer1.0.downsample.0.weight": (64, 64, 1, 1),
                "layer1.0.downsample.1.running_var": (64,),
                "layer2.0.conv1.weight": (128, 64, 3, 3),
                "layer3.13.prelu.weight": (256,),
                "layer4.2.bn3.bias": (512,),
                "bn2.weight": (512,),
                "fc.weight": (512, 25088),
                "fc.bias": (512,),
                "features.weight": (512,),
                "features.num_batches_tracked": (),
            },
        ),
        (
            # Two units, three shrinking bottlenecks and twelve residual ones, the last unit and the head.
            "mobilefacenet",
            2 * 7 + 15 * 20 + 7 + 12,
            {
                "layers.0.layers.0.weight": (128, 3, 3, 3),
                "layers.1.layers.0.weight": (128, 2, 3, 3),
                "layers.1.layers.2.weight": (128,),
                "layers.2.layers.1.layers.0.weight": (128, 1, 3, 3),
                "layers.3.layers.3.layers.2.layers.1.running_mean": (128,),
                "layers.6.layers.0.layers.0.weight": (512, 256, 1, 1),
                "layers.7.layers.1.layers.0.layers.0.weight": (256, 256, 1, 1),
                "conv_sep.layers.0.weight": (512, 256, 1, 1),
                "features.layers.0.layers.0.weight": (512, 1, 7, 7),
                "features.layers.2.weight": (512, 512),
                "features.layers.3.running_var": (512,),
            },
        ),
        (
            "mobilefacenet_large",
            7 + 29 * 20 + 7 + 12,
            {
                "layers.1.layers.1.layers.0.layers.0.weight": (128, 256, 1, 1),
                "conv_sep.layers.0.weight": (512, 512, 1, 1),
            },
        ),
        (
            # Positions and mask token, patches, twelve blocks, the last norm, two linear layers with batch norms.
            "vit_t",
            2 + 2 + 12 * 11 + 2 + 2 * (1 + 5),
            {
                "pos_embed": (1, 144, 256),
                "mask_token": (1, 1, 256),
                "patch_embed.proj.weight": (256, 3, 9, 9),
                "patch_embed.proj.bias": (256,),
                "blocks.11.norm1.weight": (256,),
                "blocks.0.attn.qkv.weight": (768, 256),
                "blocks.0.attn.proj.bias": (256,),
                "blocks.0.mlp.fc1.weight": (1024, 256),
                "blocks.0.mlp.fc2.bias": (256,),
                "norm.bias": (256,),
                "feature.0.weight": (256, 36864),
                "feature.1.running_mean": (256,),
                "feature.2.weight": (512, 256),
                "feature.3.bias": (512,),
            },
        ),
    ],
)
def test_layer_names_are_those_of_published_weights(name: str, count: int, shapes: dict[str, tuple[int, ...]]) -> None:
    makers = {
        "iresnet50": lambda: iresnet(50),
        "mobilefacenet": mobilefacenet,
        "mobilefacenet_large": mobilefacenet_large,
        "vit_t": lambda: vit("t"),
    }
    with torch.device("meta"):
        state = makers[name]().state_dict()
    assert {key: tuple(state[key].shape) for key in shapes if key in state} == shapes
    assert len(state) == count


def test_iresnet_shrinks_by_the_second_convolution() -> None:
    with torch.device("meta"):
        block = iresnet(18).layer1[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    with torch.device("meta"):
        assert iresnet(18).layer1[1].downsample is None


def test_iresnet_convolutions_start_at_a_tenth() -> None:
    torch.manual_seed(0)
    network = iresnet(18, embedding_size=16)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000:
            assert module.weight.std().item() == pytest.approx(0.1, rel=0.03)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network = IResNet((1, 1, 1, 1), embedding_size=16, dropout=0.5)
    seen: list[float] = []
    network.fc.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0] == 0).float().mean().item()))
    network.train()(faces())
    network.eval()(faces())
    assert seen[0] == pytest.approx(0.5, abs=0.02)
    assert seen[1] < 0.01


@pytest.mark.parametrize(("share", "kept"), [(0.1, 129), (0.05, 136), (0.0, 144)])
def test_masking_leaves_out_the_asked_share_in_training_only(share: float, kept: int) -> None:
    network = VisionTransformer(Size(width=32, depth=1), embedding_size=16, token_masking=share)
    lengths: list[int] = []
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    network.train()(faces())
    network.eval()(faces())
    assert lengths == [kept, TOKENS]
    # A token that is never used must not wait for a gradient.
    assert network.mask_token.requires_grad is (share > 0)


def test_kept_tokens_return_to_their_places() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(Size(width=32, depth=1), embedding_size=16, token_masking=0.25, drop_path=0.0)
    # Without blocks that mix tokens, what is not masked must come out as in evaluation.
    network.blocks = torch.nn.ModuleList()
    with torch.no_grad():
        masked = network.train()._body(faces())
        whole = network.eval()._body(faces())
    same = (masked - whole).abs().amax(dim=2) < 1e-6
    assert same.sum(dim=1).tolist() == [108, 108]
    hidden = masked[~same]
    torch.testing.assert_close(hidden, network.mask_token[0].expand_as(hidden))
    # Each face has a mask of its own.
    assert not torch.equal(same[0], same[1])


def test_stochastic_depth_keeps_the_mean() -> None:
    torch.manual_seed(0)
    block = Block(32, drop_path=0.25).train()
    tokens = torch.randn(1, 4, 32).expand(4000, -1, -1)
    with torch.no_grad():
        update = block._sometimes(tokens)
        # One decision per face: an update is there whole, or not at all.
        ratio = (update / tokens).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert set(ratio[:, 0].mul(3).round().tolist()) == {0.0, 4.0}
    assert ratio.mean().item() == pytest.approx(1.0, abs=0.04)
    assert block.eval()._sometimes(tokens) is tokens


def test_drop_path_grows_with_depth() -> None:
    with torch.device("meta"):
        network = VisionTransformer(Size(width=32, depth=5), drop_path=0.1)
    assert [block.drop_path for block in network.blocks] == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1])


def test_recomputing_changes_no_gradient() -> None:
    def gradients(recompute: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = VisionTransformer(Size(width=32, depth=3), embedding_size=16, drop_path=0.3, recompute=recompute)
        network.train()(faces(4)).vectors.abs().sum().backward()
        return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}

    plain, recomputed = gradients(False), gradients(True)
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


def test_attention_is_the_textbook_formula() -> None:
    torch.manual_seed(0)
    attention = Block(32, drop_path=0.0).attn.double()
    tokens = torch.randn(2, 5, 32, dtype=torch.float64)
    rows = tokens @ attention.qkv.weight.T
    parts = []
    for head in range(8):
        q, k, v = (rows[..., 32 * part + 4 * head : 32 * part + 4 * head + 4] for part in range(3))
        parts.append(torch.softmax(q @ k.transpose(1, 2) / 4**0.5, dim=-1) @ v)
    expected = torch.cat(parts, dim=-1) @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(tokens), expected)


def test_tinynet_learns_to_tell_pictures_apart() -> None:
    torch.manual_seed(0)
    network = tinynet(embedding_size=16)
    templates = faces(4)
    images = templates.repeat(4, 1, 1, 1) + 0.3 * torch.randn(16, 3, 112, 112)
    labels = torch.arange(4).repeat(4)
    centres = torch.nn.Linear(16, 4, bias=False)
    optimiser = torch.optim.SGD([*network.parameters(), *centres.parameters()], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(centres(network(images).vectors), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
