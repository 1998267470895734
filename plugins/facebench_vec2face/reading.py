"""The extractor as the generator uses it, in the shape of any other network that embeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from facebench import Features
from facebench_vec2face.pictures import seen_at

if TYPE_CHECKING:
    from torch import Tensor


class Reader(nn.Module):
    """Embeds real faces as far as they could be drawn: in pictures of the generator's size. Vectors are not scaled.

    Args:
        extractor: A trained network of faces.
        side: Of the generator's pictures, pixels.

    Attributes:
        embedding_size: D.
        side: See above.
    """

    def __init__(self, extractor: nn.Module, side: int) -> None:
        super().__init__()
        self.extractor, self.side = extractor, side
        self.embedding_size = int(extractor.embedding_size)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Features[Tensor]:
        """Raw vectors (N, D) of float (N, 3, H, W), preprocessed for the extractor."""
        return Features(self.extractor(seen_at(images, self.side)).vectors)
