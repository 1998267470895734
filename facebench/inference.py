"""A trained network as something that embeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from facebench.contracts import Features
from facebench.errors import DataError
from facebench.pixels import to_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from torch import nn

    from facebench.contracts import Preprocess


class TorchEmbedder:
    """Embeds with a torch network, in float32 and in evaluation mode.

    Args:
        backbone: Has ``embedding_size``; its ``forward`` returns ``Features``. It is moved to the device.
        preprocess: What the network expects.
        device: Where to compute, as torch spells it.
        fingerprint: SHA-256 of the weights.
        notes: What a reader of the result should know.
    """

    def __init__(
        self,
        backbone: nn.Module,
        preprocess: Preprocess,
        *,
        device: str,
        fingerprint: str,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._backbone = backbone.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._size = int(backbone.embedding_size)  # type: ignore[arg-type]
        self._preprocess = preprocess
        self._fingerprint = fingerprint
        self._notes = dict(notes or {})

    @property
    def embedding_size(self) -> int:
        """D."""
        return self._size

    @property
    def preprocess(self) -> Preprocess:
        """What happens to the pixels."""
        return self._preprocess

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        return self._fingerprint

    @property
    def notes(self) -> Mapping[str, str]:
        """What a reader of the result should know."""
        return self._notes

    def embed(self, images: npt.NDArray[np.uint8], /) -> Features[npt.NDArray[np.float32]]:
        """Features of pictures, all in one pass through the network.

        Args:
            images: uint8 (N, H, W, 3), RGB, of the size that ``preprocess`` says.

        Raises:
            DataError: On anything else.
        """
        wanted = (len(images), *self._preprocess.size, 3)
        if images.dtype != "uint8" or images.shape != wanted:
            raise DataError(
                f"the embedder was given {images.dtype} pictures of shape {images.shape}; it takes uint8 {wanted}"
            )
        if not len(images):
            raise DataError("the embedder was given no picture")
        with torch.inference_mode():
            pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self._device)
            features = self._backbone(to_input(pixels, self._preprocess))
        confidence = features.confidence
        return Features(
            vectors=features.vectors.float().cpu().numpy(),
            confidence=None if confidence is None else confidence.float().cpu().numpy(),
        )
