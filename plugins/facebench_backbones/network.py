"""What every network of this package promises, written once.

The families differ only in their layers. Checking the input, leaving half precision before the embedding is made, and
handing the result over as ``Features`` is the same for all; a family writes ``_body`` and ``_head`` and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench import ConfigError, FacebenchError, Features
from facebench.blocks import unit_blocks
from facebench_backbones.confidence import ConfidenceHead

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

SIDE = 112
"""Height and width of an aligned face, pixels; the layers that flatten a map are built for one size only."""


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast is off on ``device``; does nothing where autocast does not exist."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


class FaceNetwork(nn.Module, ABC):
    """A backbone: faces in, vectors out.

    Under autocast the body runs in half precision and the head in the parameters' own precision (float32), as in the
    reference implementation: the vectors decide angles near zero, where half precision is too coarse.

    Args:
        embedding_size: D, the length of a vector.
        parts: K, the blocks of a vector that get a confidence each; 0 predicts none.

    Attributes:
        embedding_size: D.
        parts: K.
        side: Height and width that the family is built for.

    Raises:
        ConfigError: When K does not divide D.
    """

    side = SIDE

    def __init__(self, embedding_size: int, parts: int = 0) -> None:
        super().__init__()
        if parts and embedding_size % parts:
            raise ConfigError(f"backbone.confidence {parts} does not divide backbone.embedding_size {embedding_size}")
        self.embedding_size, self.parts = embedding_size, parts
        self.confidence: ConfidenceHead | None = None

    def _predict_confidence(self, width: int) -> None:
        """Adds the second head, if there are blocks; a family calls it last, with the numbers in its last map."""
        if self.parts:
            self.confidence = ConfidenceHead(width, self.embedding_size, self.parts)

    def forward(self, images: Tensor) -> Features[Tensor]:
        """Embeds faces.

        Args:
            images: float (N, 3, side, side), RGB, scaled to about [-1, 1], on the network's device. In training mode N
                must be at least 2, since batch normalisation has no variance of one value.

        Returns:
            ``vectors`` (N, D) in the parameters' precision, not normalised; with blocks, each of unit length, and
            ``confidence`` (N, K), so that their cosine is the mean of the cosines of the blocks.

        Raises:
            FacebenchError: When the shape or type of ``images`` is another.
        """
        wanted = (3, self.side, self.side)
        if images.ndim != 4 or tuple(images.shape[1:]) != wanted or not images.is_floating_point():
            raise FacebenchError(
                f"a network of faces was given {images.dtype} {tuple(images.shape)}; it needs floating-point images of "
                f"shape (N, 3, {self.side}, {self.side}): align and scale the faces with the network's own "
                "preprocessing"
            )
        encoded = self._body(images)
        with full_precision(images.device):
            encoded = encoded.to(next(self.parameters()).dtype)
            vectors = self._head(encoded)
            if self.confidence is None:
                return Features(vectors)
            blocks = unit_blocks(vectors, self.parts).flatten(1)
            return Features(blocks, self.confidence(encoded.flatten(1)))

    @abstractmethod
    def _body(self, images: Tensor) -> Tensor:
        """The layers that may run in half precision, (N, 3, side, side) to whatever ``_head`` takes."""

    @abstractmethod
    def _head(self, encoded: Tensor) -> Tensor:
        """The layers that make the vectors (N, D); autocast is off."""


def frozen_scale_norm(size: int) -> nn.BatchNorm1d:
    """Batch normalisation of vectors whose scale stays 1 and whose shift is learned.

    A learned scale would let the network stretch single coordinates to please the training classes; the losses look at
    angles only. Source: the embedding block of the reference ArcFace implementations (``fix_gamma``).
    """
    norm = nn.BatchNorm1d(size)
    norm.weight.requires_grad_(False)
    return norm
