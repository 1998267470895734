"""The loss itself, in a module of its own so that torch is imported only when the loss is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres

if TYPE_CHECKING:
    from facebench_example import NormFaceOptions
    from torch import Tensor

    from facebench import Batch, Features


class NormFaceLoss(nn.Module):
    """Cross-entropy of scale * cos(theta) (Wang et al., ACM Multimedia 2017).

    A loss owns its class centres: facebench trains them together with the backbone and saves them for resuming.

    Args:
        num_classes: C.
        embedding_size: D.
        options: The scale s, and what ``ClassCentres`` can be told.

    Attributes:
        centres: One per class, split over processes where there are several.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: NormFaceOptions) -> None:
        super().__init__()
        self.options = options
        self.centres = ClassCentres(num_classes, embedding_size, options)

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """One scalar to descend; the named terms appear in the log and in ``metrics.csv``."""
        cosines = self.centres(features.vectors, batch.labels)
        losses = cosines.cross_entropy(self.options.scale * cosines.cosine)
        return LossOutput(total=losses.mean(), terms=cosines.terms())
