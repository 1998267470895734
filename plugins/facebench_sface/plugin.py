"""Offers the SFace loss, and the trainer that goes by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facebench import LossSpec, TrainerOptions, TrainerSpec, hookimpl
from facebench_sface.options import SFaceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from facebench import Trainer

PAPER = (
    "Zhong, Deng, Hu, Zhao, Li, Wen: SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition, "
    "IEEE Transactions on Image Processing 30, 2021"
)

# Settings for the built-in faces: a small network and a training that two CPU cores finish in about a minute.
DEMO: dict[str, dict[str, Any]] = {
    "backbone": {"name": "tinynet"},
    "trainer": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 0.5},
}


def build_loss(num_classes: int, embedding_size: int, chosen: SFaceOptions) -> nn.Module:
    """The loss with fresh centres."""
    from facebench_sface.loss import SFaceLoss

    return SFaceLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: TrainerOptions) -> Trainer:
    """The stock trainer: SFace needs nothing of its own."""
    from facebench.training import ClassifierTrainer

    return ClassifierTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers ``sface``."""
    return [
        LossSpec(
            name="sface",
            summary="sigmoid-constrained pull and push on the sphere; no softmax, robust to label noise",
            cites=(PAPER,),
            options=SFaceOptions,
            build=build_loss,
        )
    ]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers ``sface``: an IResNet-50 under the SFace loss."""
    return [
        TrainerSpec(
            name="sface",
            summary="IResNet-50 trained with the SFace loss",
            cites=(PAPER,),
            backbone="iresnet50",
            loss="sface",
            options=TrainerOptions,
            build=build_trainer,
            demo=DEMO,
        )
    ]
