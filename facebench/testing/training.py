"""Checks of what takes part in a training: backbones, losses, trainers."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save
from torch import nn

from facebench.centres import ClassCentres
from facebench.checkpoints import read_checkpoint, storable
from facebench.contracts import Batch, Checkpoint, Features, LossOutput
from facebench.progress import Bars
from facebench.testing.broken import require
from facebench.testing.toys import TinyBackbone, TinyLoss, toy_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from facebench.contracts import Progress
    from facebench.specs import BackboneSpec, LossSpec, TrainerSpec


def check_backbone(spec: BackboneSpec, *, meta: bool = False) -> None:
    """A backbone gives finite raw vectors of its stated size, face by face, and can be trained and stored.

    Args:
        spec: Built with its default options.
        meta: Only shapes, without memory or arithmetic, for networks too large for a quick test.
    """
    device = torch.device("meta" if meta else "cpu")
    with torch.random.fork_rng(devices=[]), device:
        backbones = []
        for _ in range(2):
            torch.manual_seed(0)
            backbones.append(spec.build(spec.options()))
        backbone, twin = backbones
        images = torch.randn(3, 3, *spec.preprocess.size).clamp(-1, 1)
        require(isinstance(backbone, nn.Module), f"backbone {spec.name!r}: build returned {type(backbone).__name__}")
        size = getattr(backbone, "embedding_size", None)
        require(isinstance(size, int) and size > 0, f"backbone {spec.name!r}: embedding_size is {size!r}, not a count")
        features = backbone.eval()(images)
        require(isinstance(features, Features), f"backbone {spec.name!r}: forward returned {type(features).__name__}")
        shape = tuple(features.vectors.shape)
        require(shape == (3, size), f"backbone {spec.name!r}: vectors have shape {shape}, expected {(3, size)}")
        if meta:
            return
        vectors = features.vectors.detach()
        require(bool(vectors.isfinite().all()), f"backbone {spec.name!r}: vectors are not finite")
        alone = backbone(images[1:2]).vectors.detach()[0]
        same = torch.allclose(alone, vectors[1], rtol=1e-2, atol=1e-3 * float(vectors.abs().max()))
        require(same, f"backbone {spec.name!r}: a face's vector depends on the other faces of its batch in eval mode")
        require(_equal_states(backbone, twin), f"backbone {spec.name!r}: the same seed gave other weights")
        _check_stored(backbone, f"backbone {spec.name!r}")
        backbone.train()(images).vectors.square().sum().backward()
        idle = [name for name, value in backbone.named_parameters() if value.requires_grad and value.grad is None]
        require(not idle, f"backbone {spec.name!r}: no gradient reaches {', '.join(idle[:3])}")


def check_loss(spec: LossSpec, *, confidence: int = 0, marks: int = 0) -> None:
    """A loss is one finite scalar, also for bfloat16 vectors, that teaches vectors and centres and can be stored.

    Where its options have ``sample_rate``, all of this is so when a step uses half of the classes, too.

    Args:
        spec: Built with its default options.
        confidence: K, for losses of networks that predict confidences.
        marks: M, for losses that learn from ``Batch.marks``.
    """
    trial = _LossTrial(spec, confidence, marks)
    with torch.random.fork_rng(devices=[]):
        _check_teaching(trial)
        if any(field.name == "sample_rate" for field in fields(spec.options)):
            _check_sampling(trial)


class _LossTrial:
    """A loss, and what is put to it."""

    def __init__(self, spec: LossSpec, confidence: int, marks: int) -> None:
        self.spec, self.who = spec, f"loss {spec.name!r}"
        random = torch.Generator().manual_seed(1)
        self.size = max(16, 4 * confidence)
        self.vectors = torch.randn(8, self.size, generator=random)
        self._extra = torch.rand(8, confidence, generator=random) if confidence else None
        nothing, told = torch.zeros(8, 3, 8, 8), None
        if marks:
            told = torch.randint(2, (8, marks), generator=random).float()
        self._batch = Batch(images=nothing, labels=torch.arange(8) % 5, source=nothing, marks=told)

    def build(self, seed: int, classes: int, **chosen: Any) -> nn.Module:
        """The loss from a seed."""
        torch.manual_seed(seed)
        return self.spec.build(classes, self.size, self.spec.options(**chosen))  # type: ignore[no-any-return]

    def output(self, loss: nn.Module, given: Tensor) -> LossOutput:
        """What the loss says of vectors, if it is what it should be."""
        torch.manual_seed(2)
        output = loss(self._batch, Features(given, self._extra))
        require(isinstance(output, LossOutput), f"{self.who}: forward returned {type(output).__name__}, not LossOutput")
        total = output.total
        require(total.ndim == 0, f"{self.who}: total has shape {tuple(total.shape)}; it must be one number")
        require(bool(total.isfinite()), f"{self.who}: total is {float(total.detach())} for {given.dtype} vectors")
        for name, term in output.terms.items():
            plain = isinstance(term, torch.Tensor) and term.ndim == 0 and not term.requires_grad
            require(plain, f"{self.who}: term {name!r} must be a detached scalar tensor")
            require(bool(term.isfinite()), f"{self.who}: term {name!r} is {float(term.detach())}")
        return output  # type: ignore[no-any-return]

    def value(self, loss: nn.Module) -> float:
        """The loss as a number."""
        return float(self.output(loss, self.vectors).total.detach())

    def taught(self, loss: nn.Module) -> float:
        """The loss as a number, when its gradient reaches everything that learns."""
        leaf = self.vectors.clone().requires_grad_()
        total = self.output(loss, leaf).total
        total.backward()  # type: ignore[no-untyped-call]
        learning = [(name, tensor) for name, tensor in loss.named_parameters() if tensor.requires_grad]
        for name, tensor in [("the vectors", leaf), *learning]:
            reached = tensor.grad is not None and bool(tensor.grad.isfinite().all()) and bool(tensor.grad.any())
            require(reached, f"{self.who}: no finite gradient reaches {name}")
        return float(total.detach())

    def check_reloaded(self, loss: nn.Module, other: nn.Module, *, when: str = "") -> None:
        """Another loss goes on from this one's state as this one does."""
        other.load_state_dict(copy.deepcopy(loss.state_dict()))
        kept, back = self.value(loss), self.value(other)
        require(kept == back, f"{self.who}: its state, loaded again{when}, gives {back} instead of {kept}")


def _check_teaching(trial: _LossTrial) -> None:
    loss, twin, other = (trial.build(seed, 5) for seed in (0, 0, 3))
    values = trial.taught(loss), trial.value(twin)
    require(values[0] == values[1], f"{trial.who}: the same seed gave {values[0]} and {values[1]}")
    _check_stored(loss, trial.who)
    trial.check_reloaded(loss, other)
    trial.output(loss, trial.vectors.bfloat16())


def _check_sampling(trial: _LossTrial) -> None:
    """One step as trainers do it, on half of 20 classes; then again from what is kept of it."""
    losses = [trial.build(seed, 20, sample_rate=0.5) for seed in (0, 0, 3)]
    values = []
    for loss in losses:
        centres = [module for module in loss.modules() if isinstance(module, ClassCentres)]
        learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.1, momentum=0.9)
        for each in centres:
            each.prepare(optimizer)
        values.append(trial.taught(loss))
        for each in centres:
            each.lend(optimizer)
        optimizer.step()
        for each in centres:
            each.collect(optimizer)
    require(values[0] == values[1], f"{trial.who}: with sample_rate=0.5 the same seed gave {values[0]} and {values[1]}")
    _check_stored(losses[0], trial.who)
    trial.check_reloaded(losses[0], losses[2], when=" with sample_rate=0.5")


class _Interrupted(Exception):
    """Stands for whatever ends a process."""


class _Fuse(Bars):
    """Progress that interrupts after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(quiet=True)
        self._left = steps

    def bar(self, total: int, what: str, *, unit: str = "it", start: int = 0) -> Any:
        """A bar that burns."""
        return self

    def __enter__(self) -> _Fuse:
        return self

    def __exit__(self, *error: object) -> None: ...

    def advance(self, steps: int = 1, **values: float | str) -> None:
        """Burns down."""
        self._left -= 1
        if self._left < 0:
            raise _Interrupted


def check_trainer(
    spec: TrainerSpec,
    folder: Path,
    *,
    loss: Callable[[int, int], nn.Module] = TinyLoss,
    backbone: Callable[[], nn.Module] = TinyBackbone,
    **settings: Any,
) -> None:
    """A trainer changes the weights, stores them, and reaches the same ones when it is interrupted and called again.

    Args:
        spec: Built with ``settings``, and with a few quick ones where its options have these names.
        folder: An empty folder to work in.
        loss: Makes a loss from C and D, for trainers that need a particular one.
        backbone: Makes a network.
        **settings: Options of the trainer.
    """
    who, known = f"trainer {spec.name!r}", {field.name for field in fields(spec.options)}
    quick = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "workers": 1, "save_seconds": 0.0}
    options = spec.options(**{name: value for name, value in quick.items() if name in known} | settings)
    told: list[int] = []

    def fit(name: str, progress: Progress | None = None) -> Checkpoint:
        job = toy_job(
            folder / name,
            options=options,
            loss=loss,
            backbone=backbone,
            progress=progress,
            epoch_ended=lambda epoch, _values: told.append(epoch),
        )
        checkpoint = spec.build(options).fit(job)
        require(isinstance(checkpoint, Checkpoint), f"{who}: fit returned {type(checkpoint).__name__}")
        require(read_checkpoint(job.folder) == checkpoint, f"{who}: the folder holds another checkpoint than returned")
        return checkpoint  # type: ignore[no-any-return]

    whole = fit("whole")
    require(told == sorted(set(told)) and bool(told), f"{who}: epoch_ended was told of epochs {told}")
    count = len(told)
    again = fit("whole")
    require(again == whole and len(told) == count, f"{who}: a finished folder was trained again")
    try:
        fit("parts", _Fuse(3))
    except _Interrupted:
        pass
    parts = fit("parts")
    require(parts.sha256 == whole.sha256, f"{who}: interrupted and continued, it ends with other weights")


def _check_stored(module: nn.Module, who: str) -> None:
    """Weights go through a file and come back the same."""
    state = module.state_dict()
    for name, value in state.items():
        require(
            isinstance(value, torch.Tensor), f"{who}: {name!r} in its state is {type(value).__name__}, not a tensor"
        )
    loaded = load(save(storable(state)))
    same = loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name].cpu()) for name in state)
    require(same, f"{who}: its state does not survive being stored")


def _equal_states(one: nn.Module, two: nn.Module) -> bool:
    other = two.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())
