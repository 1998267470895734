"""The stock trainer, with perturbed faces, a free last scale and figures of the fitted mixture."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from torch import nn

from facebench.ranks import world
from facebench.training import ClassifierTrainer
from facebench_topofr.figure import draw_mixture
from facebench_topofr.loss import TopoFRLoss
from facebench_topofr.perturbation import Perturbation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from facebench import Checkpoint, TrainJob
    from facebench_topofr.options import TopoFRTrainerOptions


class TopoFRTrainer:
    """Trains as ``ClassifierTrainer`` does, under any loss.

    Args:
        options: Of the stock trainer, and what TopoFR adds.
    """

    def __init__(self, options: TopoFRTrainerOptions) -> None:
        self.options = options

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, or continues; see ``ClassifierTrainer.fit`` for what is left and what is raised.

        A figure of an epoch shows its last batch. An epoch that was interrupted behind that has none.
        """
        options = self.options
        if options.free_scale:
            free_last_scale(job.backbone)
        if isinstance(job.loss, TopoFRLoss):
            job.loss.alpha = job.loss.options.alpha_for(job.recipe.backbone)

        def epoch_ended(epoch: int, values: Mapping[str, float]) -> None:
            if options.figure_every and epoch % options.figure_every == 0 and world().first:
                _draw(job, epoch)
            job.epoch_ended(epoch, values)

        disturb = Perturbation(options.perturbed, job.preprocess, leak=options.leak)

        def perturb(images: Tensor, random: np.random.Generator, _rows: object) -> tuple[Tensor, None]:
            return disturb(images, random), None

        told = dataclasses.replace(job, epoch_ended=epoch_ended)
        return ClassifierTrainer(options, perturb=perturb if options.perturbed else None).fit(told)


def free_last_scale(backbone: nn.Module) -> None:
    """Lets the weight of the last batch normalisation of vectors learn, if the network has one that is frozen.

    Networks for faces freeze it at 1. TopoFR's released code does not: only so can embeddings become short enough for
    their distances to match those between images, which the alignment asks for.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm1d) and module.affine]
    if norms:
        norms[-1].weight.requires_grad_(True)


def _draw(job: TrainJob, epoch: int) -> None:
    fitted = job.loss.fitted if isinstance(job.loss, TopoFRLoss) else None
    if fitted is not None:
        draw_mixture(fitted, job.folder / "figures" / f"mixture-{epoch}", title=f"Entropies after epoch {epoch}")
