"""How sure a network is of each part of its vectors: a second small head on the last feature map.

URL (Shi et al., CVPR 2020) cuts a vector into K equal blocks, each of unit length, and gives every block of every face
a confidence, the inverse of its variance. The paper leaves the head open. This one follows the layout of PFE (Shi and
Jain, ICCV 2019), from which URL's authors come: two fully connected layers with batch normalisation, a shared gain that
starts small and a shared start. All confidences are thus nearly equal at first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

START = 48.0
"""Confidence of every block of a new network: the softmax is then about as sharp as CosFace's."""
LEAST, MOST = -3.0, 8.0
"""Limits of the logarithm: 0.05 to 2981."""
_GAIN = 1e-2


class ConfidenceHead(nn.Module):
    """Maps of the last layer, side by side, to K positive numbers: (N, width) to (N, K).

    Args:
        width: Numbers that a map has.
        hidden: Width of the layer between.
        blocks: K.
    """

    def __init__(self, width: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, blocks, bias=False),
            nn.BatchNorm1d(blocks, affine=False),
        )
        self.gain = nn.Parameter(torch.tensor(_GAIN))
        self.start = nn.Parameter(torch.tensor(math.log(START)))

    def forward(self, encoded: Tensor) -> Tensor:
        """Confidences, from exp(-3) to exp(8)."""
        logarithm: Tensor = self.layers(encoded) * self.gain + self.start
        return logarithm.clamp(LEAST, MOST).exp()
