"""The state of an unfinished training on disk, so that a killed one ends as if nothing had happened.

Tensors go into ``state-<number>.safetensors``; then ``state.json``, which names that file and holds the plain values,
replaces its predecessor in one step; then older tensors are deleted. A process killed between any two of these leaves
the previous state whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from facebench.checkpoints import storable
from facebench.errors import DataError
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

SCHEMA_NUMBER = 1
_DOCUMENT = "state.json"


def save_state(folder: Path, number: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replaces the saved state.

    Args:
        folder: Belongs to one training.
        number: Of the state; the same number means the same tensors.
        tensors: By name.
        values: JSON.
    """
    file = f"state-{number}.safetensors"
    ready = storable(tensors)
    write_atomic(folder / file, lambda path: save_file(ready, path))
    document = {"schema_number": SCHEMA_NUMBER, "file": file, "values": values}
    write_text(folder / _DOCUMENT, json.dumps(document, allow_nan=False))
    _sweep(folder, keep=file)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The saved tensors and values; None when there are none.

    Raises:
        DataError: When the state is damaged.
    """
    path = folder / _DOCUMENT
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_number"] != SCHEMA_NUMBER:
            raise ValueError(f"schema {document['schema_number']} instead of {SCHEMA_NUMBER}")
        tensors = load_file(folder / document["file"])
        return tensors, dict(document["values"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"{path}: the state of the training cannot be read: {error}; start again with --fresh"
        ) from None


def forget_state(folder: Path) -> None:
    """Deletes the saved state."""
    (folder / _DOCUMENT).unlink(missing_ok=True)
    _sweep(folder, keep="")


def _sweep(folder: Path, *, keep: str) -> None:
    """Deletes tensors of other states, and the temporary files a killed process left."""
    for pattern in ("state-*.safetensors", ".state-*", ".weights-*", ".checkpoint-*", ".metrics-*"):
        for path in folder.glob(pattern):
            if path.name != keep:
                path.unlink(missing_ok=True)


def module_tensors(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers of several modules, as ``part/name``."""
    return {f"{part}/{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


def restore_modules(parts: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Puts back what ``module_tensors`` took.

    Raises:
        DataError: When names or shapes differ.
    """
    for part, module in parts.items():
        try:
            module.load_state_dict(_below(tensors, part))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"the saved state does not fit this {part}: {reason}; start again with --fresh") from None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Momenta and counters, as ``optimizer/<parameter's place>/name``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{place}/{name}": value
        for place, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what ``optimizer_tensors`` took, in the memory layout of each parameter.

    Another layout would let the machine take another path through the same sums, with other last bits.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer").items():
        place, entry = name.split("/", 1)
        like = parameters[int(place)]
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, device="cpu").copy_(value)
        state.setdefault(int(place), {})[entry] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_tensors() -> dict[str, Tensor]:
    """The states of torch's own generators, which dropout draws from."""
    states = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states |= {f"random/cuda:{place}": state for place, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def restore_random(tensors: Mapping[str, Tensor]) -> None:
    """Puts back what ``random_tensors`` took, as far as the devices are here."""
    for name, state in _below(tensors, "random").items():
        if name == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and torch.device(name).index < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, name)


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
