"""An example of a facebench plugin: it adds the loss ``normface`` and the method ``example``.

This is everything a plugin needs: options, a function that builds the heavy thing, and hooks that offer it. The module
is imported whenever facebench starts, so it imports nothing heavy; torch comes in with ``facebench_example_loss``, when
a loss is built.

After ``pip install .`` these work:

    facebench list losses
    facebench info normface
    facebench run --plugin arcface --loss normface --protocol lfw
    facebench run --plugin example --set loss.scale=20 --protocol lfw
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ClassOptions, LossSpec, TrainerOptions, TrainerSpec, hookimpl, option, options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from facebench import Trainer

PAPER = "Wang, Xiang, Cheng, Yuille: NormFace: L2 Hypersphere Embedding for Face Verification, ACM Multimedia 2017"


@options
class NormFaceOptions(ClassOptions):
    """What users can set with ``--set loss.NAME=VALUE``; each option carries its default, its limits and its help."""

    scale: float = option(default=30.0, help="s: the length given to embeddings, logits are s * cosine", gt=0, le=1000)


def build_loss(num_classes: int, embedding_size: int, chosen: NormFaceOptions) -> nn.Module:
    """Called when a training needs the loss; the first moment at which torch may be imported."""
    from facebench_example_loss import NormFaceLoss

    return NormFaceLoss(num_classes, embedding_size, chosen)


def build_trainer(chosen: TrainerOptions) -> Trainer:
    """The stock trainer will do: the method differs by its loss alone."""
    from facebench.training import ClassifierTrainer

    return ClassifierTrainer(chosen)


@hookimpl
def facebench_losses() -> Iterable[LossSpec]:
    """Offers the loss, for ``--loss normface`` under any trainer."""
    return [
        LossSpec(
            name="normface",
            summary="softmax over scaled cosines, without a margin",
            cites=(PAPER,),
            options=NormFaceOptions,
            build=build_loss,
        )
    ]


@hookimpl
def facebench_trainers() -> Iterable[TrainerSpec]:
    """Offers the method, for ``--plugin example``: a trainer with a backbone and a loss of its choice."""
    return [
        TrainerSpec(
            name="example",
            summary="IResNet-50 trained with the NormFace loss",
            cites=(PAPER,),
            backbone="iresnet50",  # another package's: offers are asked for by name, never imported
            loss="normface",
            options=TrainerOptions,
            build=build_trainer,
            # What replaces the defaults while it trains on the small built-in faces.
            demo={"backbone": {"name": "tinynet"}, "trainer": {"epochs": 6}},
        )
    ]
