"""What passes from the learner to its loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from facebench import Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted(Features[Tensor]):
    """B real faces, what was drawn from their vectors, and how alike both are.

    ``vectors`` are those of the real faces, (B, D), scaled to a variance of about 1 in each coordinate, without
    gradient.

    Attributes:
        images: (B, 3, S, S), drawn, RGB, nominally in [-1, 1].
        pictures: (B, 3, S, S), the real faces at that size, RGB, in [-1, 1].
        tokens: (B, n, W), the rows that the transformer completed.
        aims: (B, n, W), the rows before masking, without gradient.
        seen: (B, D), vectors of the drawn faces, as the extractor sees them and scaled like ``vectors``.
        perceptual: (B,), perceptual distance between drawn and real; None where nobody asked.
        last: Weight of the layer that made the images.
    """

    images: Tensor
    pictures: Tensor
    tokens: Tensor
    aims: Tensor
    seen: Tensor
    perceptual: Tensor | None
    last: Tensor
