"""How good a face is, judged by the length of its embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# What AdaFace does: lengths are limited, and their statistics follow the batches slowly.
_SHORTEST, _LONGEST = 1e-3, 100.0
_NEW = 0.01
_LEAST = 1e-3


class NormQuality(nn.Module):
    """Lengths of embeddings on a scale from -1 to 1, as AdaFace does it (Kim et al., CVPR 2022, equation 14).

    q = sign * clip(h (n - mean) / deviation, -1, 1), with running statistics of n over the faces of all processes; the
    first batch sets them. Only training changes them.

    Args:
        h: How wide the scale is: 1 / h standard deviations reach its ends.
        sign: 1 where longer means better, -1 where it means worse.

    Attributes:
        mean: Running mean of the lengths.
        deviation: Running standard deviation, unbiased.
        batches: How many batches these have seen.
    """

    mean: Tensor
    deviation: Tensor
    batches: Tensor

    def __init__(self, h: float, sign: int) -> None:
        super().__init__()
        self.h, self.sign = h, sign
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("deviation", torch.tensor(0.0))
        self.register_buffer("batches", torch.tensor(0))

    @torch.no_grad()
    def forward(self, vectors: Tensor) -> Tensor:
        """(N,) in [-1, 1], without gradient.

        Args:
            vectors: (N, D), raw embeddings of all processes.
        """
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        length = torch.linalg.vector_norm(vectors.to(dtype), dim=1).clamp_(_SHORTEST, _LONGEST)
        if self.training:
            self._follow(length)
        standing: Tensor = self.h * (length - self.mean) / (self.deviation + _LEAST)
        return standing.clamp_(-1, 1).mul_(self.sign)

    def _follow(self, length: Tensor) -> None:
        share = torch.where(self.batches == 0, 1.0, _NEW)
        spread = length.std() if len(length) > 1 else torch.zeros_like(self.deviation)
        self.mean.lerp_(length.mean().to(self.mean.dtype), share.to(self.mean.dtype))
        self.deviation.lerp_(spread.to(self.deviation.dtype), share.to(self.deviation.dtype))
        self.batches += 1
