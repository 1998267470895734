"""What the stock trainer can be told, and the learning rate that follows from it.

Free of torch, so that a plugin can offer these options without waiting for it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from facebench.declare import option, options
from facebench.errors import ConfigError


@options
class TrainerOptions:
    """Options of ``ClassifierTrainer``; the defaults are arcface_torch's for one device."""

    epochs: int = option(default=20, help="passes over the training set; 0 leaves the network untrained", ge=0)
    batch_size: int = option(default=128, help="faces per step", ge=2)
    learning_rate: float = option(default=0.02, help="the highest learning rate of the schedule", gt=0)
    optimizer: Literal["sgd", "adamw"] = option(default="sgd", help="sgd, or adamw for transformers")
    momentum: float = option(default=0.9, help="momentum of sgd", ge=0, lt=1)
    weight_decay: float = option(default=5e-4, help="weight decay of network and class centres", ge=0)
    schedule: Literal["polynomial", "cosine", "step", "constant"] = option(
        default="polynomial", help="polynomial falls in a straight line to 0, step divides by 10 at each milestone"
    )
    milestones: tuple[float, ...] = option(
        default=(0.5, 0.75, 0.9), help="where the step schedule divides, as rising fractions of the training"
    )
    warmup_epochs: float = option(default=0.0, help="epochs over which the learning rate rises from 0", ge=0)
    flip: float = option(default=0.5, help="probability of mirroring a face", ge=0, le=1)
    clip_gradient: float = option(default=5.0, help="largest norm of the network's gradient; 0 clips nothing", ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = option(
        default="auto", help="of the network; auto is bfloat16 on GPUs that have it, else float32; the loss is float32"
    )
    channels_last: bool = option(default=True, help="memory layout of the network; faster for convolutions")
    workers: int = option(
        default=0, help="threads that decode faces; 0 takes one per core", ge=0, le=256, decides=False
    )
    save_seconds: float = option(
        default=120.0, help="seconds between saved states, besides the one after each epoch", ge=0, decides=False
    )

    def __post_init__(self) -> None:
        """Refuses milestones that do not rise inside (0, 1)."""
        marks = (0.0, *self.milestones, 1.0)
        if any(a >= b for a, b in pairwise(marks)):
            raise ConfigError(f"trainer.milestones must rise between 0 and 1, found {list(self.milestones)}")


def rate_at(step: int, *, steps: int, warmup: int, chosen: TrainerOptions) -> float:
    """The learning rate of one step.

    The rate rises in a straight line over the warm-up, reaching its top with the first step after it, then follows the
    schedule over the remaining steps; one step beyond the last, polynomial and cosine would be 0.

    Args:
        step: From 0.
        steps: Of the whole training.
        warmup: Steps of warm-up, fewer than ``steps``.
        chosen: Schedule, top and milestones.
    """
    top = chosen.learning_rate
    if step < warmup:
        return top * (step + 1) / (warmup + 1)
    done = (step - warmup) / (steps - warmup)
    match chosen.schedule:
        case "polynomial":
            return top * (1 - done)
        case "cosine":
            return top * (1 + math.cos(math.pi * done)) / 2
        case "step":
            return top * 0.1 ** sum(step >= mark * steps for mark in chosen.milestones)
    return top
