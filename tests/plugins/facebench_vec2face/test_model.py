from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from facebench import ConfigError
from facebench_vec2face.masking import Mask, Masking
from facebench_vec2face.model import Vec2FaceNetwork
from facebench_vec2face.options import SHAPES, Vec2FaceOptions

BASE, TINY = SHAPES["base"], SHAPES["tiny32"]


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def millions(module):
    return round(parameters(module) / 1e6, 2)


def on_meta(shape, size):
    with torch.device("meta"):
        return Vec2FaceNetwork(shape, size)


def traced(network):
    """Shapes that modules were given and returned, by name."""
    shapes = {}

    def keep(name, inputs, output):
        if isinstance(output, torch.Tensor):
            shapes[name] = (*(tuple(value.shape) for value in inputs[:1]), tuple(output.shape))

    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, inputs, output, name=name: keep(name, inputs, output))
    return shapes


@pytest.mark.parametrize(("masking", "seen"), [(Masking(), 25), (Masking(0.1, 1.0, 0.15, 0.25), 45)])
def test_shapes_of_the_base_model(masking, seen):
    network = on_meta(BASE, 512)
    shapes = traced(network)
    drawn = network(torch.empty(2, 512, device="meta"), masking.draw(2, 49).to(torch.device("meta")))
    assert shapes["project"] == ((2, 512), (2, 768))
    assert shapes["expand"] == ((2, 768, 1), (2, 768, 49))
    assert shapes["norm"] == shapes["dropout"] == ((2, 50, 768), (2, 50, 768))
    assert shapes["encoder.blocks"] == shapes["encoder.norm"] == ((2, seen, 768), (2, seen, 768))
    assert shapes["embed"] == ((2, seen, 768), (2, seen, 768))
    assert shapes["decoder.blocks"] == shapes["decoder"] == ((2, 50, 768), (2, 50, 768))
    assert shapes["out"] == ((2, 49, 768), (2, 49, 256))
    assert shapes["image_decoder.first"] == ((2, 256, 7, 7), (2, 512, 7, 7))
    assert shapes["image_decoder"] == ((2, 256, 7, 7), (2, 3, 112, 112))
    assert drawn.images.shape == (2, 3, 112, 112)
    assert drawn.tokens.shape == drawn.aims.shape == (2, 49, 768)
    assert network.seen_places.shape == network.drawn_places.shape == (50, 768)
    assert len(network.encoder.blocks) == 12 and len(network.decoder.blocks) == 8
    assert {block.attention.heads for block in network.encoder.blocks} == {12}
    assert {block.attention.heads for block in network.decoder.blocks} == {16}


def test_levels_of_the_image_decoder():
    network = on_meta(BASE, 512)
    shapes = traced(network)
    network(torch.empty(1, 512, device="meta"), Masking().draw(1, 49).to(torch.device("meta")))
    levels = [shapes[f"image_decoder.levels.{place}"][1][1:] for place in range(len(network.image_decoder.levels))]
    assert levels[:2] == [(512, 7, 7)] * 2
    assert levels[2:] == [
        *[(512, 7, 7)] * 2,
        (512, 14, 14),
        *[(256, 14, 14)] * 2,
        (256, 28, 28),
        *[(256, 28, 28)] * 2,
        (256, 56, 56),
        *[(128, 56, 56)] * 2,
        (128, 112, 112),
        *[(128, 112, 112)] * 2,
    ]


def test_sizes_of_the_base_model():
    network = on_meta(BASE, 512)
    assert millions(network.encoder.blocks) == 85.05
    assert millions(network.decoder.blocks) == 56.70
    assert millions(network.image_decoder) == 30.48
    assert parameters(network) == 173_498_725
    # The released code has two layers more that nothing uses.
    patches, centre = nn.Conv2d(3, 768, 16), nn.Linear(768, 49)
    assert round((parameters(network) + parameters(patches) + parameters(centre)) / 1e6, 2) == 174.13


def test_size_of_the_large_model():
    dead = nn.Conv2d(3, 1024, 16), nn.Linear(1024, 49)
    assert round((parameters(on_meta(SHAPES["large"], 512)) + sum(map(parameters, dead))) / 1e6, 1) == 436.3


@pytest.mark.parametrize(
    ("name", "size", "image", "least", "most"),
    [("small", 512, 112, 25e6, 27e6), ("half56", 128, 56, 1.4e6, 1.6e6), ("tiny32", 64, 32, 0.585e6, 0.595e6)],
)
def test_sizes_of_our_own_models(name, size, image, least, most):
    network = on_meta(SHAPES[name], size)
    assert least < parameters(network) < most
    rows = SHAPES[name].rows
    drawn = network(torch.empty(1, size, device="meta"), Masking().draw(1, rows).to(torch.device("meta")))
    assert drawn.images.shape[2:] == (image, image) == (SHAPES[name].image,) * 2


def test_size_of_the_small_image_decoder():
    assert round(parameters(on_meta(SHAPES["small"], 512).image_decoder) / 1e6, 1) == 7.6


def tiny(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return Vec2FaceNetwork(TINY, 8, dropout=dropout).eval()


def spied(network, name):
    """What a module is given."""
    kept = []
    network.get_submodule(name).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].detach()))
    return kept


def test_the_condition_stands_where_rows_are_masked():
    network, vectors = tiny(), torch.randn(3, 8)
    mask = Masking().draw(3, 16, torch.Generator().manual_seed(2))
    before, encoded, completed = spied(network, "norm"), spied(network, "encoder"), spied(network, "decoder")
    embedded = []
    network.embed.register_forward_hook(lambda _, __, output: embedded.append(output.detach()))
    drawn = network(vectors, mask)

    condition = network.project(vectors)
    rows = before[0] - network.seen_places
    weights, shifts = network.expand.weight[:, 0], network.expand.bias
    for face in range(3):
        torch.testing.assert_close(rows[face, 0], condition[face])
        for place in range(16):
            row = weights[place] * condition[face] + shifts[place]
            torch.testing.assert_close(drawn.aims[face, place], row)
            wanted = condition[face] if mask.masked[face, place] else row
            torch.testing.assert_close(rows[face, 1 + place], wanted)
    normed = network.norm(before[0])
    assert encoded[0].shape == (3, 1 + 8, 96)
    restored = completed[0] - network.drawn_places
    for face in range(3):
        assert torch.equal(encoded[0][face, 0], normed[face, 0])
        kept = mask.kept[face].tolist()
        assert torch.equal(encoded[0][face, 1:], normed[face, 1:][kept])
        torch.testing.assert_close(restored[face, 0], embedded[0][face, 0])
        for place in range(16):
            own = 1 + kept.index(place) if not mask.masked[face, place] else 0
            torch.testing.assert_close(restored[face, 1 + place], embedded[0][face, own])


def test_without_masked_rows_nothing_is_filled_in():
    network, vectors = tiny(), torch.randn(2, 8)
    nothing = Mask(torch.zeros(2, 16, dtype=torch.bool), torch.arange(16).expand(2, 16))
    before, completed = spied(network, "norm"), spied(network, "decoder")
    drawn = network(vectors, nothing)
    torch.testing.assert_close(before[0][:, 1:] - network.seen_places[1:], drawn.aims)
    assert (completed[0][:, 1:].diff(dim=1).abs().amax(dim=2) > 0).all()


def test_masked_and_dropped_rows_say_nothing():
    network, vectors = tiny(), torch.randn(2, 8)
    mask = Masking(1.0, 1.0).draw(2, 16)
    wanted = network(vectors, mask).images
    with torch.no_grad():
        network.expand.weight.add_(1)
    assert torch.equal(network(vectors, mask).images, wanted)
    assert not torch.equal(network(vectors, Masking(0.0, 0.5, 0.2, 0.2).draw(2, 16)).images, wanted)


@pytest.mark.parametrize("table", ["seen_places", "drawn_places"])
def test_both_tables_of_places_are_used(table):
    network, vectors = tiny(), torch.randn(2, 8)
    mask = Masking().draw(2, 16)
    images = network(vectors, mask).images
    images.square().mean().backward()
    gradient = getattr(network, table).grad
    rows = gradient.abs().sum(dim=1) > 0
    if table == "drawn_places":
        assert rows.all()
    else:
        seen = torch.zeros(17, dtype=torch.bool)
        seen[0] = seen[1 + mask.kept.unique()] = True
        assert torch.equal(rows, seen)
    with torch.no_grad():
        getattr(network, table).normal_()
    assert not torch.equal(network(vectors, mask).images, images)


def test_a_place_of_the_grid_is_a_row_of_the_transformer():
    network = tiny()
    given = spied(network, "image_decoder")
    drawn = network(torch.randn(2, 8), Masking().draw(2, 16))
    rows = network.out(drawn.tokens)
    for place in range(16):
        torch.testing.assert_close(given[0][:, :, place // 4, place % 4], rows[:, place])


def test_aims_have_no_gradient_and_everything_else_has():
    network = tiny()
    drawn = network(torch.randn(2, 8), Masking().draw(2, 16))
    assert not drawn.aims.requires_grad
    (drawn.images.square().mean() + (drawn.tokens - drawn.aims).square().mean()).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())


def test_starting_weights():
    network = tiny(seed=3)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert module.weight.abs().max() <= bound and module.weight.abs().max() > 0.8 * bound
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-6 and bool((module.weight == 1).all()) and not module.bias.any()
    for places in (network.seen_places, network.drawn_places):
        assert places.std().item() == pytest.approx(0.02, rel=0.1)


def test_dropout_is_for_training():
    network, vectors = tiny(dropout=0.5), torch.randn(2, 8)
    mask = Masking().draw(2, 16)
    assert torch.equal(network(vectors, mask).tokens, network(vectors, mask).tokens)
    network.train()
    assert not torch.equal(network(vectors, mask).tokens, network(vectors, mask).tokens)
    torch.manual_seed(4)
    first = network(vectors, mask).images
    torch.manual_seed(4)
    assert torch.equal(network(vectors, mask).images, first)


def test_half_precision_stays_near():
    network, vectors, mask = tiny(), torch.randn(2, 8), Masking().draw(2, 16)
    exact = network(vectors, mask).images
    with torch.autocast("cpu", dtype=torch.bfloat16):
        drawn = network(vectors, mask)
    assert drawn.images.dtype == torch.bfloat16
    assert (drawn.images.float() - exact).abs().mean() < 0.03 * exact.abs().mean()


def test_options_are_checked():
    options = Vec2FaceOptions()
    assert (options.shape, options.gan, options.flip, options.optimizer) == (BASE, "off", 0.0, "adamw")
    for wrong, match in (
        ({"perceptual": "lpips"}, "lpips_weights"),
        ({"lpips_weights": "x.pth"}, "go together"),
        ({"mask_min": 0.9, "mask_max": 0.5}, "mask_min"),
        ({"gan": "fixed", "precision": "float16"}, "bfloat16"),
        ({"gan": "paper", "compile": True}, "gan_balance"),
    ):
        with pytest.raises(ConfigError, match=match):
            Vec2FaceOptions(**wrong)
    assert dataclasses.replace(options, gan="paper", compile=True, gan_balance="constant").gan == "paper"
