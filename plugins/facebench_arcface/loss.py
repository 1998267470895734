"""Losses that are a margin, a scale and a softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres
from facebench.margins import Phi, arcface_phi, combined_phi, cosface_phi

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_arcface.options import (
        ArcFaceOptions,
        CombinedOptions,
        CosFaceOptions,
        MarginOptions,
        SubcentreOptions,
    )


class MarginLoss(nn.Module):
    """Cross-entropy of scale * phi(theta_y) against scale * cos(theta_j); losses say what phi is.

    The head computes in float32 whatever the backbone does.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Scale and filter; a loss adds its own.
        subcentres: K.

    Attributes:
        centres: One or K per class; they start as N(0, 0.01^2) draws, as in the authors' code.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: MarginOptions, *, subcentres: int = 1) -> None:
        super().__init__()
        self.scale, self.filter_above = options.scale, options.filter_above
        self.centres = ClassCentres(num_classes, embedding_size, options, subcentres=subcentres)

    def margin(self, cosine: Tensor) -> Phi:
        """Phi of the cosines with the own class, and its slope."""
        raise NotImplementedError

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean loss over the batch; terms: mean cosine with the own class, and how often that class is nearest."""
        loss, terms = self.centres.margin_softmax(
            features.vectors, batch.labels, self.margin, self.scale, filter_above=self.filter_above
        )
        return LossOutput(total=loss, terms=terms)


class ArcFaceLoss(MarginLoss):
    """phi = cos(theta + margin) (Deng et al., CVPR 2019, equation 3).

    Args:
        num_classes: C.
        embedding_size: D.
        options: Scale, margin, and what to do where implementations differ.
        subcentres: K.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: ArcFaceOptions, *, subcentres: int = 1) -> None:
        super().__init__(num_classes, embedding_size, options, subcentres=subcentres)
        self.options = options

    def margin(self, cosine: Tensor) -> Phi:
        """With the gradient and the fallback that were chosen."""
        chosen = self.options
        return arcface_phi(cosine, chosen.margin, gradient=chosen.gradient, fallback=chosen.fallback)


class SubcentreLoss(ArcFaceLoss):
    """ArcFace where a class has K centres and the nearest counts (Deng et al., ECCV 2020).

    Args:
        num_classes: C.
        embedding_size: D.
        options: As ArcFace, and K.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: SubcentreOptions) -> None:
        super().__init__(num_classes, embedding_size, options, subcentres=options.subcentres)


class CosFaceLoss(MarginLoss):
    """phi = cos(theta) - margin (Wang et al., CVPR 2018, equation 4).

    Args:
        num_classes: C.
        embedding_size: D.
        options: Scale and margin.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: CosFaceOptions) -> None:
        super().__init__(num_classes, embedding_size, options)
        self.options = options

    def margin(self, cosine: Tensor) -> Phi:
        """The cosine, less."""
        return cosface_phi(cosine, self.options.margin)


class CombinedLoss(MarginLoss):
    """phi = cos(m1 theta + m2) - m3 (Deng et al., CVPR 2019, equation 4), all three at once.

    arcface_torch takes the same three numbers but computes cos(theta) - m3 as soon as m3 is above 0, and says nothing
    of m1 and m2. Use ``cosface`` for what its configurations (1, 0, 0.4) do.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Scale and margins.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: CombinedOptions) -> None:
        super().__init__(num_classes, embedding_size, options)
        self.options = options

    def margin(self, cosine: Tensor) -> Phi:
        """With the gradient and the fallback that were chosen."""
        chosen = self.options
        return combined_phi(cosine, chosen.m1, chosen.m2, chosen.m3, gradient=chosen.gradient, fallback=chosen.fallback)
