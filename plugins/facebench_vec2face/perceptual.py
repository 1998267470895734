"""How different two pictures look: distances between maps inside a network, not between pixels.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018), equation 1: at each
place of each map the channels become a vector of length 1; squared differences are weighed, summed over channels,
averaged over places and summed over maps. ``Lpips`` has the published network and weights, which users must bring.
``fr_perceptual`` is the same formula with all weights 1 on maps of the extractor, for those who have none.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from facebench import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

_SHORTEST = 1e-4
"""Vectors of channels shorter than this are not stretched to 1; the root of a sum of zeros has no gradient."""
_MOST, _SMALLEST = 4, 4
_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_WIDTHS = (64, 128, 256, 512, 512)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def distance(ones: Sequence[Tensor], others: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
    """Perceptual distance from maps of two batches of pictures.

    Args:
        ones: (B, C, H, W) for each layer.
        others: Of the same shapes.
        weights: (C,) for each layer; all 1 if there are none.

    Returns:
        (B,), 0 for equal maps, in float32 or better.
    """
    found: list[Tensor] = []
    for layer, (one, other) in enumerate(zip(ones, others, strict=True)):
        square = (_unit(one) - _unit(other)).square()
        if weights is not None:
            square = square * weights[layer][:, None, None]
        found.append(square.sum(dim=1).mean(dim=(1, 2)))
    return torch.stack(found).sum(dim=0)


def _unit(maps: Tensor) -> Tensor:
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    return maps / maps.square().sum(dim=1, keepdim=True).clamp_min(_SHORTEST**2).sqrt()


def halving_layers(network: nn.Module, size: tuple[int, int]) -> tuple[str, ...]:
    """The modules of a network whose maps ``fr_perceptual`` compares.

    A module reduces if it takes a map and returns a smaller one. For each height that maps come down to, from the
    largest, the module that reduces by the least factor is taken; of several that are nested, the outermost, which ends
    last. In a residual network that is each stage as a whole. At most four are taken, none with maps below 4 places.

    Args:
        network: Takes float (N, 3, height, width); it is run once, in evaluation mode.
        size: Height and width.

    Returns:
        Names of modules, as ``network.get_submodule`` takes them.

    Raises:
        ConfigError: When the network has no such module.
    """
    found: dict[int, tuple[int, str]] = {}

    def look(name: str, inputs: tuple[object, ...], output: object) -> None:
        taken = inputs[0] if inputs else None
        if not _is_map(taken) or not _is_map(output):
            return
        before, after = taken.shape[2], output.shape[2]
        if _SMALLEST <= after < before and (after not in found or before <= found[after][0]):
            found[after] = (before, name)

    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: look(name, inputs, output))
        for name, module in network.named_modules()
        if name
    ]
    like = next(network.parameters())
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, *size, device=like.device, dtype=like.dtype))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    if not found:
        raise ConfigError(
            f"generator.perceptual=fr compares maps that an extractor makes on its way; {type(network).__name__} has "
            "no layer that reduces a map; set generator.perceptual=off, or lpips where you have its weights"
        )
    return tuple(found[height][1] for height in sorted(found, reverse=True)[:_MOST])


def _is_map(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, torch.Tensor) and value.ndim == 4


@contextmanager
def recorded(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """While it is open, what the layers return when the network is run, by name."""
    maps: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        maps[name] = output

    handles = [
        network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name in layers
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def fr_perceptual(ones: Mapping[str, Tensor], others: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """The distance from maps that ``recorded`` kept of two batches, (B,)."""
    return distance([ones[name] for name in layers], [others[name] for name in layers])


class Lpips(nn.Module):
    """LPIPS with a VGG16, version 0.1, from a user's file.

    The maps are those after relu1_2, 2_2, 3_3, 4_3 and 5_3. Nothing here is trained or stored with a training: the
    weights are buffers that no state holds.

    Args:
        path: A ``.safetensors`` file or a plain state dict (``.pt``, ``.pth``) with ``features.N.weight`` and
            ``features.N.bias`` of torchvision's VGG16 trained on ImageNet, and ``linK.model.1.weight``, K from 0 to 4,
            of the lpips package. What else it holds is left alone.

    Raises:
        DataError: When it cannot be read, or lacks one of them.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        stored = _read(path)
        inputs = 3
        for stage, width in enumerate(_WIDTHS):
            for layer in _STAGES[stage]:
                self._take(path, stored, f"features.{layer}.weight", (width, inputs, 3, 3))
                self._take(path, stored, f"features.{layer}.bias", (width,))
                inputs = width
            self._take(path, stored, f"lin{stage}.model.1.weight", (1, width, 1, 1))
        for name, values in (("shift", _SHIFT), ("scale", _SCALE)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, drawn: Tensor, pictures: Tensor) -> Tensor:
        """The distance of pictures in [-1, 1], RGB, (B, 3, H, W) with sides of at least 16; (B,).

        The gradient goes to ``drawn`` alone.
        """
        with torch.no_grad():
            real = self._maps(pictures)
        weights = [self._of(f"lin{stage}.model.1.weight").flatten() for stage in range(len(_STAGES))]
        return distance(self._maps(drawn), real, weights)

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        maps = (pictures - self.shift) / self.scale
        found: list[Tensor] = []
        for stage in _STAGES:
            if found:
                maps = functional.max_pool2d(maps, 2)
            for layer in stage:
                weight, bias = self._of(f"features.{layer}.weight"), self._of(f"features.{layer}.bias")
                maps = functional.relu(functional.conv2d(maps, weight, bias, padding=1))
            found.append(maps)
        return found

    def _take(self, path: Path, stored: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> None:
        value = stored.get(name)
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != shape:
            found = "missing" if value is None else f"of shape {list(getattr(value, 'shape', []))}"
            raise DataError(
                f"{path}: {name} is {found}, not of shape {list(shape)}; generator.lpips_weights needs the state dicts "
                "of torchvision's vgg16 and of lpips's linear layers for it, in one file"
            )
        self.register_buffer(name.replace(".", "_"), value.detach().float().clone(), persistent=False)

    def _of(self, name: str) -> Tensor:
        value: Tensor = self.get_buffer(name.replace(".", "_"))
        return value


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file, read without running any code it may hold.

    Raises:
        DataError: When it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(
            f"weights {path} not found; generator.lpips_weights names a .safetensors or .pth file"
        ) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable file of weights: {error}") from None
    except Exception:  # A damaged or hostile file can make the reader stumble anywhere; all of it means the same.
        raise DataError(
            f"{path}: not a plain PyTorch state dict: damaged, or with more in it than tensors, which is refused "
            "because reading it could run code; store one dictionary of tensors"
        ) from None
    if not isinstance(stored, dict):
        raise DataError(f"{path}: holds {type(stored).__name__}, not a state dict")
    return stored
