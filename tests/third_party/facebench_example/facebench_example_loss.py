"""The loss itself, in a module of its own so that torch is imported only when the loss is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from facebench import LossOutput
from facebench.margins import cosine_logits, target_cosine

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features


class NormFaceLoss(nn.Module):
    """Cross-entropy of scale * cos(theta) (Wang et al., ACM Multimedia 2017).

    A loss owns its class centres: facebench trains them together with the backbone and saves them for resuming.

    Args:
        num_classes: C.
        embedding_size: D.
        scale: s.

    Attributes:
        centres: (C, D), raw; one row per class.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.centres = nn.Parameter(torch.empty(num_classes, embedding_size).normal_(std=0.01))

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """One scalar to descend; the named terms appear in the log and in ``metrics.csv``."""
        cosine = cosine_logits(features.vectors, self.centres)
        total = functional.cross_entropy(self.scale * cosine, batch.labels)
        return LossOutput(total=total, terms={"target_cosine": target_cosine(cosine, batch.labels).detach().mean()})
