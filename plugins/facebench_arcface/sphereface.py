"""SphereFace: a factor on the own angle, which comes into force little by little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres
from facebench.margins import sphereface_phi
from facebench.sharding import gathered

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_arcface.options import SphereFaceOptions


class SphereFaceLoss(nn.Module):
    """A-Softmax: cross-entropy of |x| psi(theta_y) against |x| cos(theta_j) (Liu et al., CVPR 2017, equation 7).

    Psi alone does not train from scratch. As published, the own logit is (lambda cos(theta) + psi(theta)) /
    (1 + lambda), where lambda falls with the number of training steps.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Margin, scale and how lambda falls.

    Attributes:
        centres: One per class; they start as N(0, 0.01^2) draws.
        steps: Training steps so far.
    """

    steps: Tensor

    def __init__(self, num_classes: int, embedding_size: int, options: SphereFaceOptions) -> None:
        super().__init__()
        self.options = options
        self.centres = ClassCentres(num_classes, embedding_size, options)
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean loss over the batch; terms: those of the class centres, and lambda."""
        options = self.options
        cosines = self.centres(features.vectors, batch.labels)
        own = cosines.own()
        keep = self._annealing().to(own.dtype)
        phi = (keep * own + sphereface_phi(own, options.margin).along(own)) / (1 + keep)
        logits = cosines.filtered(options.filter_above).replaced(phi)
        if options.scale:
            logits = logits * options.scale
        else:
            logits = logits * gathered(torch.linalg.vector_norm(features.vectors.to(own.dtype), dim=1))[:, None]
        return LossOutput(total=cosines.cross_entropy(logits).mean(), terms=cosines.terms() | {"lambda": keep})

    def _annealing(self) -> Tensor:
        """Lambda of this step; steps count from 1."""
        if self.training:
            self.steps += 1
        options = self.options
        fallen = options.anneal_start * (1 + options.anneal_rate * self.steps.double()) ** -options.anneal_power
        return fallen.clamp(min=options.anneal_least)
