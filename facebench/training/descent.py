"""From a loss to changed weights: precision, gradients of all processes, clipping, the optimiser, the running mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from facebench.centres import ClassCentres
from facebench.errors import ConfigError
from facebench.ranks import world
from facebench.resume import module_tensors, optimizer_tensors, restore_modules, restore_optimizer
from facebench.sharding import is_split, own_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from facebench.resume import Saved
    from facebench.schedules import TrainerOptions

# As in arcface_torch: a scale that doubles after so many good steps finds its place within an epoch.
_GROWTH = 100


class Descent:
    """Everything that stands between ``backward`` and the next step's weights.

    Args:
        backbone: The network, on its device.
        loss: The loss, on its device; its ``ClassCentres`` may be split over processes. A loss may have ``rival()``, an
            optimiser over some of its parameters: what they descend is against the network, so they have steps, rates
            and momenta of their own.
        options: Optimiser, rates, precision.
        device: Where both are.

    Attributes:
        half: What autocast computes the network in; None for what its weights are stored in.
    """

    def __init__(self, backbone: nn.Module, loss: nn.Module, options: TrainerOptions, device: torch.device) -> None:
        self._backbone, self._loss, self._options = backbone, loss, options
        self.half = _half(options.precision, device)
        self._centres = [module for module in loss.modules() if isinstance(module, ClassCentres)]
        rival: Callable[[], torch.optim.Optimizer] | None = getattr(loss, "rival", None)
        self._rival = rival() if rival else None
        against = [value for group in self._rival.param_groups for value in group["params"]] if self._rival else []
        others = set(map(id, against))
        self._taught = [value for value in loss.parameters() if value.requires_grad and id(value) not in others]
        self._optimizer = _optimizer(options, backbone, self._taught)
        # Besides class centres: each process has all of it, and a gradient from its own faces.
        centred = {id(parameter) for centres in self._centres for parameter in centres.parameters()}
        self._shared = [value for value in (*self._taught, *against) if id(value) not in centred]
        for centres in self._centres:
            if centres.lends and options.accumulate > 1:
                raise ConfigError(
                    "trainer.accumulate and loss.sample_rate do not go together, since each part draws classes of its "
                    "own; set loss.update_unsampled=true, or accumulate=1"
                )
            centres.prepare(self._optimizer)
        enabled = self.half == torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=enabled, growth_interval=_GROWTH)
        self._mean = _running_mean(backbone, options.ema) if options.ema else None

    @property
    def network(self) -> nn.Module:
        """The network that is kept: the running mean of its weights, or itself."""
        return self._backbone if self._mean is None else self._mean.module

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradients."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self, rate: float) -> tuple[Tensor, Tensor]:
        """Takes one step and clears the gradients.

        Args:
            rate: The learning rate.

        Returns:
            The norm of the network's gradient before clipping, and that of what the loss learns, as far as it is here.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._scaler.unscale_(self._optimizer)
        _average(self._shared)
        limit = self._options.clip_gradient or math.inf
        norm: Tensor = torch.nn.utils.clip_grad_norm_(self._backbone.parameters(), limit)
        taught = torch.nn.utils.get_total_norm(
            [own_rows(value.grad) for value in self._taught if value.grad is not None]
        )
        taught = taught.to(norm.device)
        for centres in self._centres:
            centres.lend(self._optimizer)
        self._scaler.step(self._optimizer)
        if self._rival is not None:
            self._scaler.step(self._rival)
            self._rival.zero_grad()
        self._scaler.update()
        for centres in self._centres:
            centres.collect(self._optimizer)
        self._optimizer.zero_grad()
        if self._mean is not None:
            self._mean.update_parameters(self._backbone)
        return norm, taught

    def gives_up(self, *norms: float) -> bool:
        """Whether a gradient that is not finite is more than the scaler's feeling its way."""
        if all(map(math.isfinite, norms)):
            return False
        return not self._scaler.is_enabled() or self._scaler.get_scale() < 1

    def tensors(self) -> dict[str, Tensor]:
        """All that changes, by name, for the state on disk."""
        found = module_tensors(self._parts()) | optimizer_tensors(self._optimizer)
        if self._rival is not None:
            found |= optimizer_tensors(self._rival, "rival")
        if self._scaler.is_enabled():
            state = self._scaler.state_dict()
            found["scaler/scale"] = torch.tensor([state["scale"], state["_growth_tracker"]], dtype=torch.float64)
        if self._mean is not None:
            found["averaged/count"] = self._mean.n_averaged
        return found

    def restore(self, saved: Saved) -> None:
        """Puts back what ``tensors`` gave.

        Raises:
            DataError: When it does not fit.
        """
        restore_modules(self._parts(), saved)
        restore_optimizer(self._optimizer, saved)
        if self._rival is not None:
            restore_optimizer(self._rival, saved, "rival")
        if self._scaler.is_enabled():
            scale, grown = saved.read("scaler/scale").tolist()
            self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": scale, "_growth_tracker": int(grown)})
        if self._mean is not None:
            self._mean.n_averaged.copy_(saved.read("averaged/count"))

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"backbone": self._backbone, "loss": self._loss}
        return parts if self._mean is None else {**parts, "mean": self._mean.module}


def _average(parameters: Iterable[nn.Parameter]) -> None:
    """Makes the gradients the mean over processes, as they are for the network's."""
    size = world().size
    if size == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad.div_(size)


def _half(precision: str, device: torch.device) -> torch.dtype | None:
    """What the network computes in. CPUs take no half precision unless told: float32 is the same on all of them.

    Raises:
        ConfigError: For float16 where it would be useless: on CPUs it is hundreds of times slower than bfloat16, and
            between processes the scale of the loss would have to be agreed on.
    """
    if precision == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else None
    if precision == "float16" and (device.type == "cpu" or world().size > 1):
        raise ConfigError("trainer.precision float16 is for a single process on a GPU; use bfloat16")
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)


def _optimizer(options: TrainerOptions, backbone: nn.Module, taught: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser over groups: of the network, of what else does not decay, of the loss, and of split centres."""
    learnt = [value for value in backbone.parameters() if value.requires_grad]
    exempt = {id(value) for value in learnt if value.ndim < 2 and not options.decay_norms}
    fused = bool(learnt) and learnt[0].is_cuda
    groups: list[dict[str, Any]] = [
        {"params": [value for value in learnt if id(value) not in exempt], "fused": fused},
        {"params": [value for value in learnt if id(value) in exempt], "fused": fused, "weight_decay": 0.0},
        {"params": [value for value in taught if not is_split(value)], "fused": fused},
        {"params": [value for value in taught if is_split(value)]},
    ]
    groups = [group for group in groups if group["params"]]
    shared: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(options.momentum, options.beta2), **shared)
    return torch.optim.SGD(groups, momentum=options.momentum, **shared)


def _running_mean(backbone: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return torch.optim.swa_utils.AveragedModel(backbone, multi_avg_fn=update, use_buffers=True)
