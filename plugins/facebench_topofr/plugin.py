"""Offers the TopoFR losses, and a trainer for each variant of the paper and of its released code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facebench import LossSpec, TrainerSpec, hookimpl
from facebench_topofr.options import (
    AlignedOptions,
    FocalOptions,
    HardnessOptions,
    PaperOptions,
    ReleaseOptions,
    ReleaseTrainerOptions,
    TopoFROptions,
    TopoFRTrainerOptions,
    UnperturbedTrainerOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from facebench import Trainer

PAPER = (
    "Dan, Liu, Deng, Xie, Li, Sun, Luo: TopoFR: A Closer Look at Topology Alignment on Face Recognition, NeurIPS 2024"
)

# Settings for the built-in faces: a small network and a training that two CPU cores finish in about a minute.
DEMO: dict[str, dict[str, Any]] = {
    "backbone": {"name": "tinynet"},
    "trainer": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 0.5},
}
# With the paper's alpha, a training of some hundred steps ends while it is still shrinking the embeddings.
ALIGNED_DEMO = DEMO | {"loss": {"alpha": 0.01}}


@dataclass(frozen=True, slots=True)
class _Variant:
    """A name, and what it stands for."""

    name: str
    what: str
    loss: str
    trainer: type[TopoFRTrainerOptions] = TopoFRTrainerOptions


_LOSSES: dict[str, tuple[str, type[TopoFROptions]]] = {
    "topofr": ("margin loss weighed by structure damage, and structure alignment", TopoFROptions),
    "topofr-paper": ("topofr with the symmetric alignment of equation 2", PaperOptions),
    "topofr-release": ("topofr as released, its slips included", ReleaseOptions),
    "topofr-p": ("ArcFace and structure alignment", AlignedOptions),
    "topofr-f": ("topofr without hardness: the focal factor alone", FocalOptions),
    "topofr-g": ("topofr without the focal factor: hardness alone", HardnessOptions),
}
_VARIANTS = (
    _Variant("topofr", "TopoFR", "topofr"),
    _Variant("topofr-paper", "TopoFR with the alignment of equation 2", "topofr-paper"),
    _Variant("topofr-release", "TopoFR as its code was released", "topofr-release", ReleaseTrainerOptions),
    _Variant("topofr-r", "ablation R: ArcFace on perturbed faces", "arcface"),
    _Variant("topofr-a", "ablation A: alignment without perturbed faces", "topofr-p", UnperturbedTrainerOptions),
    _Variant("topofr-p", "ablation P: perturbed faces and alignment", "topofr-p"),
    _Variant("topofr-f", "ablation F: P and the focal factor", "topofr-f"),
    _Variant("topofr-g", "ablation G: P and hardness", "topofr-g"),
)


def build_loss(num_classes: int, embedding_size: int, chosen: TopoFROptions) -> nn.Module:
    """The loss with fresh centres."""
    from facebench_topofr.loss import TopoFRLoss

    return TopoFRLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: TopoFRTrainerOptions) -> Trainer:
    """The stock trainer and what TopoFR adds."""
    from facebench_topofr.trainer import TopoFRTrainer

    return TopoFRTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers ``topofr``, and the same with other defaults."""
    return [
        LossSpec(name=name, summary=summary, cites=(PAPER,), options=kind, build=build_loss)
        for name, (summary, kind) in _LOSSES.items()
    ]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers ``topofr``, its presets and the ablation, each an IResNet-50."""
    return [
        TrainerSpec(
            name=variant.name,
            summary=f"IResNet-50 trained by {variant.what}" if variant.name == "topofr" else variant.what,
            cites=(PAPER,),
            backbone="iresnet50",
            loss=variant.loss,
            options=variant.trainer,
            build=build_trainer,
            demo=ALIGNED_DEMO if variant.loss in _LOSSES else DEMO,
        )
        for variant in _VARIANTS
    ]
