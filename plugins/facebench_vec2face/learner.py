"""What is trained: the generator between a frozen extractor and itself.

A real face becomes a vector, the vector a drawn face, the drawn face a vector again. The stock trainer sees a network
that takes faces and gives features, which is all it asks for; ``Vec2FaceLoss`` finds the rest in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench_vec2face.masking import Masking
from facebench_vec2face.model import Vec2FaceNetwork
from facebench_vec2face.painted import Painted
from facebench_vec2face.perceptual import Lpips, fr_perceptual, halving_layers, recorded
from facebench_vec2face.pictures import Colours, resized, seen_at

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from facebench import Preprocess
    from facebench_vec2face.options import Vec2FaceOptions


class Learner(nn.Module):
    """Extractor, generator, and what is known of the people the extractor was shown.

    Vectors are the extractor's divided by ``scale``, here and everywhere in this package.

    Args:
        extractor: A trained network of faces with ``embedding_size``. It is frozen: from now on in evaluation mode and
            without gradients of its own. Its weights are part of the state.
        preprocess: How pixels become its input.
        options: Size of the generator, masking, dropout, and what the perceptual term compares; to draw with a trained
            generator, ``perceptual="off"`` spares the file of weights.

    Attributes:
        extractor: See above.
        network: The generator.
        masking: How rows are masked in training.
        embedding_size: D.
        scale: Scalar: what raw vectors are divided by, so that coordinates have a standard deviation of about 1.
        centre: (D,), the mean of the people's mean vectors.
        spread: (D, D), their covariance.
        count: Scalar: how many people these come from; 0 until somebody says so. A float, as running means of weights
            take it.

    Raises:
        ConfigError: When the perceptual term has no layer to look at.
        DataError: When its weights cannot be read.
    """

    scale: Tensor
    centre: Tensor
    spread: Tensor
    count: Tensor

    def __init__(self, extractor: nn.Module, preprocess: Preprocess, options: Vec2FaceOptions) -> None:
        super().__init__()
        self.extractor = extractor.requires_grad_(False).eval()
        self.embedding_size = size = int(extractor.embedding_size)  # type: ignore[arg-type]
        self.network = Vec2FaceNetwork(options.shape, size, dropout=options.dropout)
        self.masking = Masking(options.mask_min, options.mask_max, options.mask_mean, options.mask_std)
        self.colours = Colours(preprocess)
        self._size = preprocess.size
        self._layers = halving_layers(extractor, preprocess.size) if options.perceptual == "fr" else ()
        self._lpips = Lpips(Path(options.lpips_weights).expanduser()) if options.perceptual == "lpips" else None
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.zeros(size, size))
        self.register_buffer("count", torch.zeros(()))

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the extractor, whose running statistics are not to move."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(self, images: Tensor) -> Painted:
        """Draws real faces from their vectors, under a mask from torch's own generator of random numbers.

        Args:
            images: float (B, 3, H, W), preprocessed for the extractor and of its size.
        """
        side = self.network.shape.image
        with torch.no_grad(), recorded(self.extractor, self._layers) as real:
            vectors = self.extract(images)
        pictures = self.colours.to_pictures(resized(images, (side, side)))
        mask = self.masking.draw(len(images), self.network.shape.rows).to(images.device)
        drawn = self.network(vectors, mask)
        with recorded(self.extractor, self._layers) as found:
            seen = self.read(drawn.images)
        perceptual = None
        if self._lpips is not None:
            perceptual = self._lpips(drawn.images, pictures)
        elif self._layers:
            perceptual = fr_perceptual(found, real, self._layers)
        return Painted(
            vectors,
            images=drawn.images,
            pictures=pictures,
            tokens=drawn.tokens,
            aims=drawn.aims,
            seen=seen,
            perceptual=perceptual,
            last=self.network.image_decoder.last.weight,
        )

    def extract(self, images: Tensor) -> Tensor:
        """Vectors (B, D) of real faces as the generator could draw them.

        Args:
            images: float (B, 3, H, W), preprocessed for the extractor and of its size; where the generator's pictures
                are smaller, what they would not show is taken away first (``seen_at``).
        """
        vectors: Tensor = self.extractor(seen_at(images, self.network.shape.image)).vectors
        return vectors / self.scale

    def read(self, pictures: Tensor) -> Tensor:
        """Vectors (B, D) of drawn faces (B, 3, S, S), RGB in [-1, 1], with gradient to them."""
        vectors: Tensor = self.extractor(self.colours.to_inputs(resized(pictures, self._size))).vectors
        return vectors / self.scale
