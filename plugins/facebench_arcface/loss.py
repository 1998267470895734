"""The ArcFace loss: softmax over scaled cosines, with an angle added between a face and its own class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from facebench import LossOutput
from facebench.margins import arcface_target, cosine_logits, replace_target, target_cosine

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
        centres: (C, D), raw; one row per class.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: ArcFaceOptions) -> None:
        super().__init__()
        self.options = options
        self.centres = nn.Parameter(torch.empty(num_classes, embedding_size).normal_(std=0.01))

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean loss over the batch; terms: mean cosine with the own class, and how often that class is nearest."""
        options = self.options
        cosine = cosine_logits(features.vectors, self.centres)
        own = target_cosine(cosine, batch.labels)
        phi = arcface_target(own, options.margin, gradient=options.gradient, fallback=options.fallback)
        logits = replace_target(cosine, batch.labels, phi) * options.scale
        nearest = cosine.detach().argmax(dim=1) == batch.labels
        terms = {"target_cosine": own.detach().mean(), "accuracy": nearest.float().mean()}
        return LossOutput(total=functional.cross_entropy(logits, batch.labels), terms=terms)
