"""Offers URL: its loss, its trainer, the ablation, each step of which adds one thing, and its attribute model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facebench import LossSpec, TrainerSpec, hookimpl
from facebench_url.attributeoptions import AttributeOptions, AttributeTrainerOptions
from facebench_url.options import (
    BlocksOptions,
    ConfidentOptions,
    PlainOptions,
    UnaggregatedOptions,
    UrlOptions,
    UrlTrainerOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from facebench import Trainer

PAPER = (
    "Shi, Yu, Sohn, Chandraker, Jain: Towards Universal Representation Learning for Deep Face Recognition, CVPR 2020"
)
PFE = "Shi, Jain: Probabilistic Face Embeddings, ICCV 2019"

# Settings for the built-in faces: a small network and a training that two CPU cores finish in two minutes.
DEMO: dict[str, dict[str, Any]] = {
    "backbone": {"name": "tinynet"},
    "trainer": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1, "warmup_epochs": 0.5},
}


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the ablation.

    Attributes:
        name: Of loss and trainer.
        what: It is.
        loss: Options of the loss.
        trainer: Options of the trainer.
        backbone: What it wants of any network.
    """

    name: str
    what: str
    loss: type[UrlOptions]
    trainer: type[UrlTrainerOptions] = UnaggregatedOptions
    backbone: Mapping[str, Any] = field(default_factory=dict)


_SIXTEEN = {"confidence": 16}
_STEPS = (
    _Step(
        "url",
        "URL: confidences for blocks, decorrelated, trained once more for pairs",
        UrlOptions,
        UrlTrainerOptions,
        _SIXTEEN,
    ),
    _Step("url-va", "ablation VA: CosFace on varied faces", PlainOptions),
    _Step("url-ci", "ablation VA + CI: a confidence for each face", ConfidentOptions, backbone={"confidence": 1}),
    _Step("url-me", "ablation VA + CI + ME: a confidence for each of 16 blocks", BlocksOptions, backbone=_SIXTEEN),
    _Step("url-de", "ablation VA + CI + ME + DE: blocks decorrelated; url adds PA", UrlOptions, backbone=_SIXTEEN),
)


def build_loss(num_classes: int, embedding_size: int, chosen: UrlOptions) -> nn.Module:
    """The loss with fresh centres."""
    from facebench_url.loss import UrlLoss

    return UrlLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: UrlTrainerOptions) -> Trainer:
    """The stock trainer and what URL adds."""
    from facebench_url.trainer import UrlTrainer

    return UrlTrainer(chosen)


def build_attribute_loss(num_classes: int, embedding_size: int, chosen: AttributeOptions) -> nn.Module:
    """The attribute model's loss with fresh heads."""
    from facebench_url.attributes import AttributeLoss

    return AttributeLoss(num_classes, embedding_size, chosen)


def build_attribute_trainer(chosen: AttributeTrainerOptions) -> Trainer:
    """The stock trainer on a table of attributes."""
    from facebench_url.attributetrainer import AttributeTrainer

    return AttributeTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers ``url``, the same with other defaults, and the attribute model's."""
    steps = [
        LossSpec(
            name=step.name,
            summary="softmax whose sharpness each block of each face decides" if step.name == "url" else step.what,
            cites=(PAPER,),
            options=step.loss,
            build=build_loss,
        )
        for step in _STEPS
        if step.name != "url-de"
    ]
    attributes = LossSpec(
        name="url-attributes",
        summary="attributes of faces, read from vectors that forget identities; for URL's mined variations",
        cites=(PAPER,),
        options=AttributeOptions,
        build=build_attribute_loss,
    )
    return [*steps, attributes]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers ``url``, its ablation, and its attribute model, each an IResNet-50."""
    steps = [
        TrainerSpec(
            name=step.name,
            summary=f"IResNet-50 trained by {step.what}" if step.name == "url" else step.what,
            cites=(PAPER, PFE) if step.name == "url" else (PAPER,),
            backbone="iresnet50",
            loss="url" if step.name == "url-de" else step.name,
            options=step.trainer,
            build=build_trainer,
            backbone_options=step.backbone,
            demo=_demo(step),
        )
        for step in _STEPS
    ]
    attributes = TrainerSpec(
        name="url-attributes",
        summary="URL's attribute model; writes the soft labels of trainer.mined. Needs trainer.table",
        cites=(PAPER,),
        backbone="iresnet50",
        loss="url-attributes",
        options=AttributeTrainerOptions,
        build=build_attribute_trainer,
        demo=DEMO,
    )
    return [*steps, attributes]


def _demo(step: _Step) -> dict[str, dict[str, Any]]:
    """For drawn faces, some of which are coarse; in so few steps the usual rate would teach a discriminator nothing."""
    trainer = {**DEMO["trainer"], "resample": 0.5}
    if step.trainer is UrlTrainerOptions:
        trainer["aggregate_epochs"] = 2
    return {**DEMO, "loss": {"discriminator_rate": 1e-3}, "trainer": trainer}
