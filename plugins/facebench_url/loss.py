"""The URL loss: each block of each face decides how sharp its softmax is, and no block repeats another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench import ConfigError, FacebenchError, LossOutput
from facebench.blocks import unit_blocks
from facebench.centres import ClassCentres
from facebench.margins import cosface_phi
from facebench_url.decorrelation import Decorrelation

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_url.options import UrlOptions


class UrlLoss(nn.Module):
    """L_idt + lambda_reg L_reg + lambda_cls L_cls + lambda_adv L_adv (Shi et al., CVPR 2020, equations 7 to 14).

    With blocks f^k of a face and w_j^k of class j, all of unit length, and the face's confidences s^k, the logit of
    class j is a_j = (1 / K) sum_k s^k <w_j^k, f^k>; from the own one the margin m is subtracted, not multiplied by s.
    L_idt is their cross-entropy, L_reg the mean of (s^k)^2. All logits are one product: s is folded into the face's
    vector.

    Without ``confident`` s is ``scale`` for all: with margin 25.6 and scale 64, and one block, that is CosFace.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Margin and weights.

    Attributes:
        centres: One per class; they start as N(0, 0.01^2) draws.
        decorrelation: Masks and discriminator, or None.

    Raises:
        ConfigError: When the blocks do not divide the embedding, or there are too few for decorrelation.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: UrlOptions) -> None:
        super().__init__()
        if embedding_size % options.blocks:
            raise ConfigError(f"loss.blocks {options.blocks} does not divide the embedding of {embedding_size} numbers")
        self.options = options
        self.centres = ClassCentres(num_classes, embedding_size, options)
        self.decorrelation: Decorrelation | None = None
        if options.decorrelate:
            self.decorrelation = Decorrelation(options.variations, options.blocks, embedding_size)

    def rival(self) -> torch.optim.Optimizer | None:
        """What the discriminator learns by, apart from the network it works against."""
        if self.decorrelation is None:
            return None
        return torch.optim.Adam(self.decorrelation.discriminator.parameters(), lr=self.options.discriminator_rate)

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The loss of a step.

        Terms: ``identification``, ``confidence`` (the mean) and ``confidence_spread`` (its standard deviation over
        faces and blocks), how often the own class has the largest logit, and the losses of decorrelation.

        Raises:
            FacebenchError: When the network predicts no confidences, or other blocks than the loss has.
        """
        options = self.options
        vectors = features.vectors.to(torch.promote_types(features.vectors.dtype, torch.float32))
        blocks = unit_blocks(vectors, options.blocks)
        confidence = self._confidence(features).to(vectors.dtype)
        weighed = (blocks * confidence[:, :, None]).flatten(1) / options.blocks
        logits = self.centres.products(weighed, batch.labels, options.blocks)
        identification, told = logits.margined(lambda own: cosface_phi(own, options.margin), 1.0)
        terms = {"identification": identification.detach(), "accuracy": told["accuracy"]}
        total = identification
        if options.confident:
            total = total + options.regularisation * confidence.square().mean()
            sure = confidence.detach()
            terms |= {"confidence": sure.mean(), "confidence_spread": sure.std(correction=0)}
        if self.decorrelation is not None and batch.marks is not None:
            parts = self.decorrelation(blocks, batch.marks)
            total = total + options.classifying * parts.classifying + options.adversarial * parts.adversarial
            # The value of L_C is no part of the network's loss, only its gradient is, and that stops in between.
            total = total + parts.discriminator - parts.discriminator.detach()
            terms |= {name: value.detach() for name, value in parts._asdict().items()}
        return LossOutput(total=total, terms=terms)

    def _confidence(self, features: Features[Tensor]) -> Tensor:
        """(n, K)."""
        options, found = self.options, features.confidence
        if not options.confident:
            return features.vectors.new_full((len(features.vectors), options.blocks), options.scale)
        if found is None or found.shape[1] != options.blocks:
            has = "none" if found is None else str(found.shape[1])
            raise FacebenchError(
                f"loss url needs a network with confidences for {options.blocks} blocks; this one has {has}: set "
                f"backbone.confidence={options.blocks}, or loss.blocks to what it has"
            )
        return found
