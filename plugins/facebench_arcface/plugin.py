"""Offers the losses of the ArcFace family, and the trainers that go by the names of two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facebench import LossSpec, TrainerOptions, TrainerSpec, hookimpl
from facebench_arcface.options import (
    ArcFaceOptions,
    CombinedOptions,
    CosFaceOptions,
    SphereFaceOptions,
    SubcentreOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from facebench import Trainer

ARCFACE = "Deng, Guo, Xue, Zafeiriou: ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019"
COSFACE = "Wang, Wang, Zhou, Ji, Gong, Zhou, Li, Liu: CosFace: Large Margin Cosine Loss, CVPR 2018"
SPHEREFACE = "Liu, Wen, Yu, Li, Raj, Song: SphereFace: Deep Hypersphere Embedding for Face Recognition, CVPR 2017"
SUBCENTRE = "Deng, Guo, Liu, Gong, Zafeiriou: Sub-center ArcFace, ECCV 2020"
PARTIAL_FC = "An, Deng, Guo, Feng, Zhu, Yang, Liu: Killing Two Birds with One Stone: Partial FC, CVPR 2022"

# Settings for the built-in faces: a small network and a training that two CPU cores finish in about a minute.
DEMO: dict[str, dict[str, Any]] = {
    "backbone": {"name": "tinynet"},
    "trainer": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 0.5},
}


def build_arcface(num_classes: int, embedding_size: int, chosen: ArcFaceOptions) -> nn.Module:
    """ArcFace with fresh centres."""
    from facebench_arcface.loss import ArcFaceLoss

    return ArcFaceLoss(num_classes, embedding_size, chosen)


def build_cosface(num_classes: int, embedding_size: int, chosen: CosFaceOptions) -> nn.Module:
    """CosFace with fresh centres."""
    from facebench_arcface.loss import CosFaceLoss

    return CosFaceLoss(num_classes, embedding_size, chosen)


def build_combined(num_classes: int, embedding_size: int, chosen: CombinedOptions) -> nn.Module:
    """The combined margin with fresh centres."""
    from facebench_arcface.loss import CombinedLoss

    return CombinedLoss(num_classes, embedding_size, chosen)


def build_sphereface(num_classes: int, embedding_size: int, chosen: SphereFaceOptions) -> nn.Module:
    """SphereFace with fresh centres."""
    from facebench_arcface.sphereface import SphereFaceLoss

    return SphereFaceLoss(num_classes, embedding_size, chosen)


def build_subcentre(num_classes: int, embedding_size: int, chosen: SubcentreOptions) -> nn.Module:
    """Sub-centre ArcFace with fresh centres."""
    from facebench_arcface.loss import SubcentreLoss

    return SubcentreLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: TrainerOptions) -> Trainer:
    """The stock trainer: these losses need nothing of their own."""
    from facebench.training import ClassifierTrainer

    return ClassifierTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers the five losses."""
    return [
        LossSpec(
            name="arcface",
            summary="additive angular margin softmax: cos(theta + m)",
            cites=(ARCFACE, PARTIAL_FC),
            options=ArcFaceOptions,
            build=build_arcface,
        ),
        LossSpec(
            name="cosface",
            summary="additive cosine margin softmax: cos(theta) - m",
            cites=(COSFACE, PARTIAL_FC),
            options=CosFaceOptions,
            build=build_cosface,
        ),
        LossSpec(
            name="combined-margin",
            summary="all three margins at once: cos(m1 theta + m2) - m3",
            cites=(ARCFACE, PARTIAL_FC),
            options=CombinedOptions,
            build=build_combined,
        ),
        LossSpec(
            name="sphereface",
            summary="A-Softmax: multiplicative angular margin cos(m theta), annealed",
            cites=(SPHEREFACE, PARTIAL_FC),
            options=SphereFaceOptions,
            build=build_sphereface,
        ),
        LossSpec(
            name="subcentre-arcface",
            summary="ArcFace with several centres per class, for noisy labels",
            cites=(SUBCENTRE, ARCFACE, PARTIAL_FC),
            options=SubcentreOptions,
            build=build_subcentre,
        ),
    ]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers ``arcface`` and ``cosface``: an IResNet-50 under that loss."""
    return [
        TrainerSpec(
            name=name,
            summary=f"IResNet-50 trained with the {title} loss",
            cites=(paper,),
            backbone="iresnet50",
            loss=name,
            options=TrainerOptions,
            build=build_trainer,
            demo=DEMO,
        )
        for name, title, paper in (("arcface", "ArcFace", ARCFACE), ("cosface", "CosFace", COSFACE))
    ]
