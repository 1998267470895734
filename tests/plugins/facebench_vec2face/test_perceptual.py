from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facebench import ConfigError, DataError, Features
from facebench.testing import TinyBackbone
from facebench_vec2face.perceptual import Lpips, distance, fr_perceptual, halving_layers, recorded

CONVOLUTIONS = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
CONVOLUTIONS |= {17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512)}
ENDS = {2: 64, 7: 128, 14: 256, 21: 512, 28: 512}


@pytest.fixture(scope="module")
def stored():
    """Random weights by the names of both packages."""
    generator = torch.Generator().manual_seed(0)
    found = {"classifier.0.weight": torch.zeros(2, 2)}
    for place, (outputs, inputs) in CONVOLUTIONS.items():
        spread = (2 / (9 * inputs)) ** 0.5
        found[f"features.{place}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * spread
        found[f"features.{place}.bias"] = torch.randn(outputs, generator=generator) * 0.1
    for number, width in enumerate(ENDS.values()):
        found[f"lin{number}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=generator)
    return found


@pytest.fixture(scope="module")
def weights(stored, tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "vgg.safetensors"
    save_file(stored, path)
    return path


def unit(maps):
    lengths = np.sqrt((maps**2).sum(axis=1, keepdims=True))
    return maps / np.maximum(lengths, 1e-4)


def plain_lpips(stored, one, other):
    """The definition, layer by layer of a VGG16 built the usual way."""
    layers = []
    for place in range(30):
        if place in CONVOLUTIONS:
            outputs, inputs = CONVOLUTIONS[place]
            conv = nn.Conv2d(inputs, outputs, 3, padding=1)
            conv.load_state_dict(
                {"weight": stored[f"features.{place}.weight"], "bias": stored[f"features.{place}.bias"]}
            )
            layers.append(conv)
        elif place - 1 in CONVOLUTIONS:
            layers.append(nn.ReLU())
        else:
            layers.append(nn.MaxPool2d(2))
    total, number = 0.0, 0
    shift, scale = (torch.tensor(v).view(3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    maps = [(picture - shift) / scale for picture in (one, other)]
    with torch.no_grad():
        for place, layer in enumerate(layers):
            maps = [layer(part) for part in maps]
            if place - 1 in ENDS:
                square = (unit(maps[0].numpy()) - unit(maps[1].numpy())) ** 2
                heads = stored[f"lin{number}.model.1.weight"].numpy()
                total, number = total + (square * heads).sum(axis=1).mean(axis=(1, 2)), number + 1
    assert number == 5
    return total


def test_lpips_against_the_definition(stored, weights):
    torch.manual_seed(1)
    one, other = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    lpips = Lpips(weights)
    found = lpips(one, other)
    np.testing.assert_allclose(found.numpy(), plain_lpips(stored, one, other), rtol=1e-4)
    assert not lpips(one, one).any()


def test_lpips_is_no_part_of_any_state(stored, weights, tmp_path):
    torch.save(stored, tmp_path / "vgg.pth")
    lpips = Lpips(tmp_path / "vgg.pth")
    assert not lpips.state_dict() and not list(lpips.parameters())
    one = torch.rand(1, 3, 16, 16, requires_grad=True)
    other = torch.rand(1, 3, 16, 16, requires_grad=True)
    lpips(one, other).sum().backward()
    assert one.grad.abs().sum() > 0 and other.grad is None
    assert torch.equal(lpips(one, other), Lpips(weights)(one, other))


def test_wrong_files_are_refused(stored, tmp_path):
    with pytest.raises(DataError, match="not found"):
        Lpips(tmp_path / "nothing.pth")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(DataError, match="not a readable file"):
        Lpips(tmp_path / "broken.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"x" * 99)
    with pytest.raises(DataError, match="not a plain PyTorch state dict"):
        Lpips(tmp_path / "broken.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DataError, match="holds list"):
        Lpips(tmp_path / "list.pth")
    save_file({name: value for name, value in stored.items() if "lin3" not in name}, tmp_path / "heads.safetensors")
    with pytest.raises(DataError, match=r"lin3\.model\.1\.weight is missing"):
        Lpips(tmp_path / "heads.safetensors")
    other = stored | {"features.5.bias": torch.zeros(3)}
    save_file(other, tmp_path / "shape.safetensors")
    with pytest.raises(DataError, match=r"features\.5\.bias is of shape \[3\], not of shape \[128\]"):
        Lpips(tmp_path / "shape.safetensors")


def test_a_file_with_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match="could run code"):
        Lpips(tmp_path / "evil.pth")


def test_distance_by_hand():
    one = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]])
    other = torch.tensor([[[[1.0, 0.0]], [[0.0, 5.0]]]])
    # Unit vectors (0.6, 0.8) and (1, 0) at the first place, (0, 1) twice at the second.
    assert distance([one], [other]).item() == pytest.approx((0.16 + 0.64) / 2)
    assert distance([one, one], [other, other]).item() == pytest.approx(0.8)
    assert distance([one], [other], [torch.tensor([1.0, 0.5])]).item() == pytest.approx((0.16 + 0.32) / 2)


def test_places_without_any_feature_have_a_finite_gradient():
    empty = torch.zeros(1, 4, 2, 2, requires_grad=True)
    found = distance([empty], [torch.ones(1, 4, 2, 2)])
    found.sum().backward()
    assert found.item() == pytest.approx(1.0) and empty.grad.isfinite().all()


class Residual(nn.Module):
    """A stage's block: several modules inside it reduce as much as the block itself."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs))

    def forward(self, maps):
        return self.conv2(self.conv1(maps).relu()) + self.downsample(maps)


class Staged(nn.Module):
    embedding_size = 5

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stages = nn.Sequential(
            nn.Sequential(Residual(4, 4, 2), Residual(4, 4, 1)),
            Residual(4, 6, 2),
            Residual(6, 6, 2),
            Residual(6, 6, 2),
            Residual(6, 6, 2),
        )
        self.fc = nn.Linear(6, 5)

    def forward(self, images):
        return Features(self.fc(self.stages(self.stem(images)).mean(dim=(2, 3))))


def test_layers_are_the_outermost_that_halve():
    network = Staged().train()
    statistics = network.stages[0][0].downsample[1].running_mean.clone()
    assert halving_layers(network, (64, 64)) == ("stages.0", "stages.1", "stages.2", "stages.3")
    assert halving_layers(network, (32, 32)) == ("stages.0", "stages.1", "stages.2")
    assert network.training and torch.equal(network.stages[0][0].downsample[1].running_mean, statistics)
    assert halving_layers(TinyBackbone(), (112, 112)) == ("layers.0", "layers.3")
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_without_maps_is_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    with pytest.raises(ConfigError, match="no layer that reduces a map"):
        halving_layers(flat, (16, 16))


def test_maps_are_recorded_while_asked_for():
    network = Staged().eval()
    layers = halving_layers(network, (32, 32))
    one, other = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    with recorded(network, layers) as first:
        network(one)
    with recorded(network, layers) as second:
        network(other)
    network(torch.randn(2, 3, 32, 32))
    maps = network.stages[0](network.stem(one))
    torch.testing.assert_close(first["stages.0"], maps)
    assert [tuple(first[name].shape[1:]) for name in layers] == [(4, 16, 16), (6, 8, 8), (6, 4, 4)]
    wanted = sum(
        ((unit(first[name].detach().numpy()) - unit(second[name].detach().numpy())) ** 2).sum(1).mean((1, 2))
        for name in layers
    )
    np.testing.assert_allclose(fr_perceptual(first, second, layers).detach().numpy(), wanted, rtol=1e-5)
