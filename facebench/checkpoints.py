"""Trained weights on disk.

A checkpoint is a folder: ``weights.safetensors`` holds the network alone, ``checkpoint.json`` says what it is, what its
input must look like, and the SHA-256 of the weights. Neither can carry code. Weights of other origin are read as well,
never by running what is in them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from facebench.contracts import Checkpoint, Preprocess, Recipe
from facebench.errors import ConfigError, DataError
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

SCHEMA_NUMBER = 1
WEIGHTS = "weights.safetensors"
DOCUMENT = "checkpoint.json"

# What wrappers and whole-model checkpoints put before the names of a network's own weights.
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.", "net.")
_NESTED = ("state_dict", "backbone", "model", "network")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Recipe(_Part):
    backbone: str
    backbone_options: dict[str, Any]
    loss: str
    loss_options: dict[str, Any]
    data: str
    data_fingerprint: str
    fingerprint: str
    start: str = ""
    generator: str = ""
    generator_options: dict[str, Any] = Field(default_factory=dict)


class _Preprocess(_Part):
    size: tuple[int, int]
    color: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class _Document(_Part):
    schema_number: Literal[1] = 1
    recipe: _Recipe
    preprocess: _Preprocess
    embedding_size: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def save_checkpoint(folder: Path, backbone: nn.Module, *, recipe: Recipe, preprocess: Preprocess) -> Checkpoint:
    """Writes a network; the document comes last, so a folder that has one is complete.

    Args:
        folder: Made if need be.
        backbone: Has ``embedding_size``.
        recipe: What was trained.
        preprocess: What the network expects.

    Raises:
        FacebenchError: When the folder cannot be written.
    """
    weights = folder / WEIGHTS
    tensors = storable(backbone.state_dict())
    write_atomic(weights, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    sha256 = sha256_of(weights)
    size = int(backbone.embedding_size)  # type: ignore[arg-type]
    document = _Document(
        recipe=_Recipe(
            backbone=recipe.backbone,
            backbone_options=dict(recipe.backbone_options),
            loss=recipe.loss,
            loss_options=dict(recipe.loss_options),
            data=recipe.data,
            data_fingerprint=recipe.data_fingerprint,
            fingerprint=recipe.fingerprint,
            start=recipe.start,
            generator=recipe.generator,
            generator_options=dict(recipe.generator_options),
        ),
        preprocess=_Preprocess(size=preprocess.size, color=preprocess.color, mean=preprocess.mean, std=preprocess.std),
        embedding_size=size,
        sha256=sha256,
    )
    write_text(folder / DOCUMENT, document.model_dump_json(indent=2) + "\n")
    return Checkpoint(folder, recipe, preprocess, size, sha256)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads what a folder holds and verifies the weights against their hash.

    Raises:
        DataError: When there is no checkpoint, its document is damaged or newer than this facebench, or the weights
            are not those it describes.
    """
    path = folder / DOCUMENT
    document = _read_document(path)
    try:
        preprocess = Preprocess(**document.preprocess.model_dump())
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise DataError(f"{weights} is missing, though {path.name} is there; the checkpoint cannot be used")
    found = sha256_of(weights)
    if found != document.sha256:
        raise DataError(
            f"{weights}: SHA-256 is {found[:16]}..., {path.name} says {document.sha256[:16]}...; "
            "the weights were damaged or exchanged"
        )
    recipe = Recipe(**document.recipe.model_dump())
    return Checkpoint(folder, recipe, preprocess, document.embedding_size, found)


def _read_document(path: Path) -> _Document:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no checkpoint in {path.parent}: {path.name} is missing") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable checkpoint document: {error}") from None
    number = plain.get("schema_number") if isinstance(plain, dict) else None
    if isinstance(number, int) and number > SCHEMA_NUMBER:
        raise DataError(
            f"{path}: checkpoint schema {number} is newer than this facebench reads ({SCHEMA_NUMBER}); upgrade"
        )
    try:
        return _Document.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise DataError(f"{path}: not a checkpoint document: {where}: {first['msg']}") from None


def load_weights(path: Path, backbone: nn.Module) -> str:
    """Puts weights into a network.

    Args:
        path: A checkpoint folder, a ``.safetensors`` file, or a plain PyTorch state dict (``.pt``, ``.pth``, ``.bin``,
            ``.ckpt``). Prefixes such as ``module.`` or ``backbone.`` are taken off the names, and what a file with a
            ``backbone.`` holds besides it is left out.
        backbone: Receives the weights, whatever their stored precision.

    Returns:
        SHA-256 of the file with the weights.

    Raises:
        DataError: When the file is damaged, holds anything but tensors, or does not fit: with the first name that is
            missing, unexpected or of another shape, and how many are.
    """
    if path.name == WEIGHTS and (path.parent / DOCUMENT).is_file():
        path = path.parent
    if path.is_dir():
        sha256 = read_checkpoint(path).sha256
        path = path / WEIGHTS
    elif path.is_file():
        sha256 = sha256_of(path)
    else:
        raise DataError(f"weights {path} not found; give a checkpoint folder, a .safetensors or a .pth file")
    stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    wanted = backbone.state_dict()
    tensors = _named_like(wanted, stored)
    _check_fit(path, wanted, tensors)
    # Files of other code bases may lack the counters of batch normalisation, which no result depends on.
    backbone.load_state_dict({**wanted, **tensors})
    return sha256


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    """A state dict written by ``torch.save``, read without running any code it may hold."""
    if path.suffix not in (".pt", ".pth", ".bin", ".ckpt"):
        raise DataError(f"{path}: unknown kind of weights {path.suffix!r}; expected .safetensors, .pt or .pth")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # A damaged or hostile file can make the reader stumble anywhere; all of it means the same.
        raise DataError(
            f"{path}: not a plain PyTorch state dict: damaged, or with more in it than tensors, which is refused "
            "because reading it could run code; store model.state_dict()"
        ) from None
    for name in _NESTED:
        if isinstance(stored, dict) and isinstance(stored.get(name), dict):
            stored = stored[name]
            break
    if not isinstance(stored, dict) or not stored:
        raise DataError(f"{path}: holds {type(stored).__name__}, not a state dict; store model.state_dict()")
    for name, value in stored.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise DataError(f"{path}: entry {name!r} is {type(value).__name__}, not a tensor; not a plain state dict")
    return stored


def _named_like(wanted: Mapping[str, Tensor], stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The stored tensors with prefixes taken off until some names are known."""
    while stored.keys().isdisjoint(wanted):
        for prefix in _PREFIXES:
            inner = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
            if inner and (prefix == "backbone." or len(inner) == len(stored)):
                stored = inner
                break
        else:
            break
    return stored


def _check_fit(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [name for name in found if name in wanted and found[name].shape != wanted[name].shape]
    if missing or unexpected or misshapen:
        what = []
        if missing:
            what.append(f"{len(missing)} missing (first {missing[0]!r})")
        if unexpected:
            what.append(f"{len(unexpected)} unexpected (first {unexpected[0]!r})")
        if misshapen:
            name = misshapen[0]
            shapes = f"{list(found[name].shape)}, the network has {list(wanted[name].shape)}"
            what.append(f"{len(misshapen)} of another shape (first {name!r}: {shapes})")
        raise DataError(f"{path}: weights do not fit the network: {', '.join(what)}; is it the right backbone?")
    for name, value in found.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {name!r} holds NaN or infinity; the weights cannot be used")


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors takes them: on the CPU, contiguous, none sharing memory with another.

    Raises:
        DataError: When an entry is not a tensor, as a module's extra state may be.
    """
    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise DataError(f"{name!r} is {type(value).__name__}, not a tensor; keep state in parameters and buffers")
        tensor = value.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        if memory in seen:
            tensor = tensor.clone()
        seen.add(memory)
        ready[name] = tensor
    return ready


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
