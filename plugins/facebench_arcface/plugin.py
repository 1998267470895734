"""Offers the ArcFace loss, and the trainer that goes by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from facebench import ClassOptions, LossSpec, TrainerOptions, TrainerSpec, hookimpl, option, options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from facebench import Trainer

PAPER = "Deng, Guo, Xue, Zafeiriou: ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019"

# Settings for the built-in faces: a small network and a training that two CPU cores finish in about a minute.
DEMO: dict[str, dict[str, Any]] = {
    "backbone": {"name": "tinynet"},
    "trainer": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 0.5},
}


@options
class ArcFaceOptions(ClassOptions):
    """Options of the loss."""

    scale: float = option(default=64.0, help="s: the length given to embeddings, logits are s * cosine", gt=0, le=1000)
    margin: float = option(default=0.5, help="m2: the angle added to a face's own class, radians", ge=0, le=3.1416)
    gradient: Literal["exact", "straight-through"] = option(
        default="exact", help="exact (the paper), or straight-through (arcface_torch since December 2022)"
    )
    fallback: Literal["auto", "hard", "easy", "clip", "none"] = option(
        default="auto",
        help="where theta + margin exceeds pi: hard, easy, clip or none; auto is hard with exact, none otherwise",
    )


def build_loss(num_classes: int, embedding_size: int, chosen: ArcFaceOptions) -> nn.Module:
    """The loss with fresh centres."""
    from facebench_arcface.loss import ArcFaceLoss

    return ArcFaceLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: TrainerOptions) -> Trainer:
    """The stock trainer: ArcFace needs nothing of its own."""
    from facebench.training import ClassifierTrainer

    return ClassifierTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers ``arcface``."""
    return [
        LossSpec(
            name="arcface",
            summary="additive angular margin softmax: cos(theta + m)",
            cites=(PAPER,),
            options=ArcFaceOptions,
            build=build_loss,
        )
    ]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers ``arcface``: an IResNet-50 under the ArcFace loss."""
    return [
        TrainerSpec(
            name="arcface",
            summary="IResNet-50 trained with the ArcFace loss",
            cites=(PAPER,),
            backbone="iresnet50",
            loss="arcface",
            options=TrainerOptions,
            build=build_trainer,
            demo=DEMO,
        )
    ]
