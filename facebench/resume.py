"""The state of an unfinished training on disk, so that a killed one ends as if nothing had happened.

Each process writes what it alone holds, its rows of tensors that are split over processes, into a file of its own; the
first one adds everything else. Then it writes the document that names these files and holds the plain values, in one
step, and deletes the files of the state before. A process killed between any two of these leaves the previous state
whole. A reader takes the rows it needs out of whichever files hold them, so that a training may be continued by another
number of processes. Nothing here can carry code.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from facebench.centres import ClassCentres
from facebench.checkpoints import storable
from facebench.errors import DataError
from facebench.ranks import wait, world
from facebench.sharding import is_split, own_rows, rows_here, rows_of, split_rows
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

SCHEMA_NUMBER = 2
_STATE, _CLASSES = "state.json", "classes.json"


@dataclass(frozen=True, slots=True)
class Saved:
    """Tensors and values that were saved, by whatever number of processes.

    Attributes:
        folder: Where the files lie.
        files: Name of each file, and the rows it holds of each tensor that is split: (first, stop).
        values: JSON.
    """

    folder: Path
    files: Mapping[str, Mapping[str, tuple[int, int]]]
    values: Mapping[str, Any]

    def names(self, part: str) -> list[str]:
        """The tensors below a part, without its name."""
        start = f"{part}/"
        found: dict[str, None] = {}
        for file in self.files:
            with self._open(file) as stored:
                names = [name.removeprefix(start) for name in stored.keys() if name.startswith(start)]
                found |= dict.fromkeys(names)
        return list(found)

    def read(self, name: str, *, split: bool = False) -> Tensor:
        """A whole tensor, or this process's rows of it where it is split here.

        Raises:
            DataError: When it is not there or damaged.
        """
        blocks = [(file, rows[name]) for file, rows in self.files.items() if name in rows]
        if not blocks:
            with self._open(next(iter(self.files))) as stored:
                whole: Tensor = stored.get_tensor(name)
            wanted = rows_here(len(whole)) if split else None
            return whole if wanted is None else whole[wanted.start : wanted.stop]
        total = max(stop for _, (_, stop) in blocks)
        wanted = rows_here(total) if split else range(total)
        pieces: list[Tensor] = []
        for file, (first, stop) in sorted(blocks, key=lambda block: block[1]):
            low, high = max(first, wanted.start), min(stop, wanted.stop)
            if low < high or not pieces:
                with self._open(file) as stored:
                    pieces.append(stored.get_slice(name)[max(low - first, 0) : max(high - first, 0)])
        return torch.cat(pieces)

    @contextmanager
    def _open(self, file: str) -> Iterator[Any]:
        with readable(self.folder), safe_open(self.folder / file, framework="pt") as stored:
            yield stored


def save_state(folder: Path, number: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replaces the saved state; all processes call it.

    Args:
        folder: Belongs to one training.
        number: Of the state; the same number, from as many processes, means the same tensors.
        tensors: By name; those made by ``facebench.sharding.split_rows`` are saved by all processes.
        values: JSON.
    """
    # Steps are counted otherwise where other numbers of processes share an epoch.
    stem = f"state-{number}x{world().size}"
    _save(folder, _STATE, stem, tensors, values)
    if world().first:
        _sweep(folder, keep=f"{stem}-")
    wait()


def load_state(folder: Path) -> Saved | None:
    """The saved state; None when there is none.

    Raises:
        DataError: When the state is damaged.
    """
    return _load(folder, _STATE)


def forget_state(folder: Path) -> None:
    """Deletes the saved state."""
    (folder / _STATE).unlink(missing_ok=True)
    _sweep(folder, keep="-")


def save_classes(folder: Path, loss: nn.Module) -> None:
    """Keeps class centres and all else a loss has learnt beside a checkpoint; all processes call it."""
    passing = _transient(loss)
    learnt = {name: value for name, value in module_tensors({"loss": loss}).items() if name not in passing}
    _save(folder, _CLASSES, "classes", learnt, {})
    wait()


def load_classes(folder: Path) -> Saved:
    """What ``save_classes`` kept.

    Raises:
        DataError: When there is nothing, or it is damaged.
    """
    saved = _load(folder, _CLASSES)
    if saved is None:
        raise DataError(f"{folder} holds no class centres ({_CLASSES}); fine-tune with new classes instead")
    return saved


def restore_classes(folder: Path, loss: nn.Module) -> None:
    """Puts back what ``save_classes`` kept.

    Raises:
        DataError: When the folder has no classes, or others than this loss: another number of them, another loss.
    """
    what = f"{folder}: the class centres do not fit"
    restore_modules({"loss": loss}, load_classes(folder), what=what, cure="use new classes", without=_transient(loss))


def module_tensors(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers of several modules, as ``part/name``."""
    return {f"{part}/{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


def restore_modules(
    parts: Mapping[str, nn.Module],
    saved: Saved,
    *,
    what: str = "the saved state does not fit",
    cure: str = "start again with --fresh",
    without: Collection[str] = (),
) -> None:
    """Puts back what ``module_tensors`` took, but for the names ``without``, which stay as they are.

    Raises:
        DataError: When names or shapes differ.
    """
    for part, module in parts.items():
        wanted = {name: value for name, value in module.state_dict().items() if f"{part}/{name}" not in without}
        found = saved.names(part)
        other = sorted(set(wanted).symmetric_difference(found))
        if other:
            raise DataError(f"{what}: {part} and file differ in {', '.join(other[:3])}; {cure}")
        for name, current in wanted.items():
            value = saved.read(f"{part}/{name}", split=is_split(current))
            here = own_rows(current)
            if here.shape != value.shape:
                shapes = f"{list(value.shape)} in the file and {list(here.shape)} here"
                raise DataError(f"{what}: {part}/{name} has shape {shapes}; {cure}")
            with torch.no_grad():
                here.copy_(value)


def optimizer_tensors(optimizer: torch.optim.Optimizer, part: str = "optimizer") -> dict[str, Tensor]:
    """Momenta and counters, as ``part/<parameter's place>/name``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{part}/{place}/{name}": value
        for place, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Saved, part: str = "optimizer") -> None:
    """Puts back what ``optimizer_tensors`` took, in the memory layout of each parameter.

    Another layout would let the machine take another path through the same sums, with other last bits.

    Raises:
        DataError: When the state is damaged.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name in saved.names(part):
        place, entry = name.split("/", 1)
        like = parameters[int(place)]
        split = is_split(like) and entry != "step"
        value = saved.read(f"{part}/{name}", split=split)
        if split:
            value = split_rows(value.to(like.device), len(like))
        elif value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, device="cpu").copy_(value)
        state.setdefault(int(place), {})[entry] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _save(folder: Path, document: str, stem: str, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    here = world()
    split = {name for name, value in tensors.items() if is_split(value)}
    ready = {name: own_rows(value) for name, value in tensors.items() if name in split or here.first}
    contiguous = storable(ready)
    write_atomic(folder / f"{stem}-{here.rank}.safetensors", lambda path: save_file(contiguous, path))
    wait()
    if here.first:
        files = {f"{stem}-{rank}.safetensors": _bounds(tensors, split, rank) for rank in range(here.size)}
        stored = {"schema_number": SCHEMA_NUMBER, "files": files, "values": values}
        write_text(folder / document, json.dumps(stored, allow_nan=False))


def _bounds(tensors: Mapping[str, Tensor], split: Collection[str], rank: int) -> dict[str, tuple[int, int]]:
    """Which rows of each split tensor a process holds: (first, stop)."""
    held = {name: rows_of(len(tensors[name]), rank) for name in split}
    return {name: (rows.start, rows.stop) for name, rows in held.items()}


def _transient(loss: nn.Module) -> set[str]:
    """What of a loss belongs to a training under way."""
    centres = ((path, module) for path, module in loss.named_modules() if isinstance(module, ClassCentres))
    return {f"loss/{path}.{name}".replace("/.", "/") for path, module in centres for name in module.transient}


def _load(folder: Path, name: str) -> Saved | None:
    path = folder / name
    if not path.is_file():
        return None
    with readable(path):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_number"] != SCHEMA_NUMBER:
            raise ValueError(f"schema {document['schema_number']} instead of {SCHEMA_NUMBER}")
        files = {
            str(file): {name: (int(first), int(stop)) for name, (first, stop) in rows.items()}
            for file, rows in document["files"].items()
        }
        for file in files:
            if "/" in file or "\\" in file:
                raise ValueError(f"{file!r} is no name of a file beside it")
            with safe_open(folder / file, framework="pt"):
                pass
        return Saved(folder, files, dict(document["values"]))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file raises into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{path}: the state of the training cannot be read: {error}; start again with --fresh"
        ) from None


def _sweep(folder: Path, *, keep: str) -> None:
    """Deletes tensors of other states, and the temporary files killed processes left."""
    written = ("state", "weights", "checkpoint", "metrics", "classes", "steps")
    for pattern in ("state-*.safetensors", *(f".{name}-*" for name in written)):
        for path in folder.glob(pattern):
            if not path.name.startswith(keep):
                path.unlink(missing_ok=True)
