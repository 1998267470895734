"""Confidences for comparing pairs: the second part of a training, in which nothing but the confidences learns.

What L_idt makes of confidences is over-confident, so URL trains the confidence branch once more, as PFE trains its own
(Shi et al., CVPR 2020, section 3.5; Shi and Jain, ICCV 2019, equation 5): the likelihood that two pictures of a person
show one vector, given a variance for each block of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench import ConfigError, FacebenchError, LossOutput
from facebench.blocks import unit_blocks

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features


class PairLikelihood(nn.Module):
    """Minus twice the score ``pa`` of all pairs of pictures of one person, as a mean; D is taken out.

    Per pair: the mean over blocks of |f_1 - f_2|^2 / (v_1 + v_2) / d + log(v_1 + v_2), where v = 1 / s and d = D / K.
    PFE's sum over D numbers is D times that, which only changes the learning rate.
    """

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The loss of a step; terms: mean confidence, its spread over faces and blocks, how many pairs there were.

        Raises:
            FacebenchError: When the network predicts no confidences.
        """
        if features.confidence is None:
            raise FacebenchError("confidences cannot be trained: the network predicts none")
        variance = features.confidence.reciprocal()
        blocks = unit_blocks(features.vectors, variance.shape[1])
        first, second = torch.nonzero(torch.triu(batch.labels[:, None] == batch.labels, 1), as_tuple=True)
        both = variance[first] + variance[second]
        apart = (blocks[first] - blocks[second]).square().mean(dim=2)
        total = (apart / both + both.log()).mean(dim=1).sum() / max(len(first), 1)
        told = features.confidence.detach()
        terms = {
            "confidence": told.mean(),
            "confidence_spread": told.std(correction=0),
            "pairs": told.new_tensor(float(len(first))),
        }
        return LossOutput(total=total, terms=terms)


class ConfidenceAlone(nn.Module):
    """A network of which the head of confidences learns and nothing else, batch normalisation included.

    Args:
        inner: Has ``confidence``, the module that predicts them, as the bundled networks do.

    Raises:
        ConfigError: When it has not.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        head = getattr(inner, "confidence", None)
        if not isinstance(head, nn.Module):
            raise ConfigError(
                "trainer.aggregate_epochs trains the network's head of confidences, an attribute named 'confidence'; "
                f"{type(inner).__name__} has none: set backbone.confidence, or trainer.aggregate_epochs=0"
            )
        self.inner, self._head = inner, [head]
        self.embedding_size: int = inner.embedding_size  # type: ignore[assignment]
        inner.requires_grad_(False)
        head.requires_grad_(True)

    def train(self, mode: bool = True) -> ConfidenceAlone:
        """Puts the head alone into training mode."""
        super().train(False)
        self._head[0].train(mode)
        return self

    def forward(self, images: Tensor) -> Features[Tensor]:
        """What the network says."""
        features: Features[Tensor] = self.inner(images)
        return features
