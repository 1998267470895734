"""What the stock trainer can be told, and the learning rate that follows from it.

Free of torch, so that a plugin can offer these options without waiting for it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from facebench.augmentations import AugmentOptions
from facebench.declare import option, options
from facebench.errors import ConfigError


@options
class TrainerOptions(AugmentOptions):
    """Options of ``ClassifierTrainer``; the defaults are arcface_torch's for one device."""

    epochs: int = option(default=20, help="passes over the training set; 0 leaves the network untrained", ge=0)
    batch_size: int = option(default=128, help="faces per step, over all processes together", ge=2)
    per_identity: int = option(
        default=0,
        help="faces of one person that follow one another, for losses that compare them; 0: as chance has it",
        ge=0,
        le=64,
    )
    accumulate: int = option(
        default=1, help="parts in which each process computes its faces of a step, to save memory", ge=1
    )
    learning_rate: float = option(default=0.02, help="the highest learning rate of the schedule", gt=0)
    optimizer: Literal["sgd", "adamw"] = option(default="sgd", help="sgd, or adamw for transformers")
    momentum: float = option(default=0.9, help="momentum of sgd; of adamw, decay of the mean gradient", ge=0, lt=1)
    beta2: float = option(default=0.999, help="of adamw: decay of the mean squared gradient", ge=0, lt=1)
    weight_decay: float = option(default=5e-4, help="weight decay of network and class centres", ge=0)
    decay_norms: bool = option(
        default=True, help="whether biases and the weights of normalisations decay too (arcface_torch: yes, SFace: no)"
    )
    schedule: Literal["polynomial", "cosine", "step", "constant"] = option(
        default="polynomial", help="polynomial falls to 0, step divides by 10 at each milestone"
    )
    power: float = option(
        default=1.0, help="of the polynomial schedule: 1 falls in a straight line, 2 (TopoFR) faster at first", gt=0
    )
    milestones: tuple[float, ...] = option(
        default=(0.5, 0.75, 0.9), help="where the step schedule divides, as rising fractions of the training"
    )
    warmup_epochs: float = option(default=0.0, help="epochs over which the learning rate rises from 0", ge=0)
    clip_gradient: float = option(default=5.0, help="largest norm of the network's gradient; 0 clips nothing", ge=0)
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = option(
        default="auto",
        help="of the network; auto is bfloat16 on GPUs that have it, else float32; the loss is float32 or better",
    )
    channels_last: bool = option(default=True, help="memory layout of the network; faster for convolutions")
    compile: bool = option(default=False, help="whether torch.compile prepares the network; the first steps take long")
    sync_norms: bool = option(
        default=False, help="whether batch normalisation sees the faces of all processes; GPUs only"
    )
    ema: float = option(
        default=0.0,
        help="decay of the running mean of weights that is kept instead of the last; 0 is off",
        ge=0,
        lt=1,
    )
    corrupt: Literal["stop", "skip"] = option(
        default="stop", help="what an unreadable picture does: stop the training, or show another face in its place"
    )
    label_noise: float = option(
        default=0.0, help="share of the faces that get the label of another class, for trials of robustness", ge=0, le=1
    )
    validate_every: int = option(default=1, help="epochs between evaluations on the validation protocols", ge=1)
    keep: Literal["last", "best"] = option(
        default="last", help="which network is kept: the last, or the best on the first validation protocol"
    )
    keep_classes: bool = option(
        default=True, help="whether class centres are kept beside the network, for fine-tuning", decides=False
    )
    workers: int = option(
        default=0, help="threads that decode, in each process; 0 shares out the cores", ge=0, le=256, decides=False
    )
    save_seconds: float = option(
        default=120.0, help="seconds between saved states, besides the one after each epoch", ge=0, decides=False
    )
    log_every: int = option(default=50, help="steps between lines of steps.csv", ge=1, decides=False)
    tensorboard: bool = option(
        default=False, help="whether to write curves for TensorBoard (extra: tracking)", decides=False
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
            return top * float((1 - done) ** chosen.power)
        case "cosine":
            return top * (1 + math.cos(math.pi * done)) / 2
        case "step":
            return top * 0.1 ** sum(step >= mark * steps for mark in chosen.milestones)
    return top
