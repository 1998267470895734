"""The ArcFace loss: softmax over scaled cosines, with an angle added between a face and its own class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres
from facebench.margins import arcface_target

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_arcface.plugin import ArcFaceOptions


class ArcFaceLoss(nn.Module):
    """Cross-entropy of scale * cos(theta_y + margin) against scale * cos(theta_j) (Deng et al., CVPR 2019, equation 3).

    The centres start as N(0, 0.01) draws, as in the authors' code. The head computes in float32 whatever the backbone
    does.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Scale, margin, and what to do where implementations differ.

    Attributes:
        centres: One per class.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: ArcFaceOptions) -> None:
        super().__init__()
        self.options = options
        self.centres = ClassCentres(num_classes, embedding_size, options)

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean loss over the batch; terms: mean cosine with the own class, and how often that class is nearest."""
        options = self.options
        cosines = self.centres(features.vectors, batch.labels)
        phi = arcface_target(cosines.own(), options.margin, gradient=options.gradient, fallback=options.fallback)
        losses = cosines.scaled_cross_entropy(phi, options.scale)
        return LossOutput(total=losses.mean(), terms=cosines.terms())
