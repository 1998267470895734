"""The losses of Vec2Face.

The paper names four equal terms: reconstruction, identity, LPIPS, GAN. The released code has two more, for rows and for
structure, and other weights from month to month; its latest are the defaults of ``Vec2FaceOptions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from facebench import LossOutput
from facebench_vec2face.adversary import Adversary
from facebench_vec2face.ssim import ssim

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_vec2face.options import Vec2FaceOptions
    from facebench_vec2face.painted import Painted


def pixel_loss(images: Tensor, pictures: Tensor) -> Tensor:
    """Mean squared difference of pixels in [-1, 1]; a scalar."""
    return functional.mse_loss(images, pictures)


def identity_loss(seen: Tensor, vectors: Tensor) -> Tensor:
    """1 - the mean cosine of drawn and real face, (B, D) each; a scalar."""
    return 1 - functional.cosine_similarity(seen, vectors).mean()


def token_loss(tokens: Tensor, aims: Tensor) -> Tensor:
    """Mean squared difference between completed rows and the feature map, (B, n, W) each, masked or not; a scalar."""
    return functional.mse_loss(tokens, aims)


class Vec2FaceLoss(nn.Module):
    """The weighted sum of all terms, with a discriminator of its own where one is asked for.

    Args:
        options: Weights, and everything about the discriminator.

    Attributes:
        adversary: The discriminator and what it knows of the training, or None.
    """

    def __init__(self, options: Vec2FaceOptions) -> None:
        super().__init__()
        self.options = options
        self.adversary = None if options.gan == "off" else Adversary(options)

    def plan(self, steps: int) -> None:
        """Says how long the training is, in steps; a trainer calls it before the first."""
        if self.adversary is not None:
            self.adversary.plan(steps)

    def rival(self) -> torch.optim.Optimizer | None:
        """What the discriminator learns by, apart from the generator it works against."""
        return None if self.adversary is None else self.adversary.optimizer()

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The loss of a step.

        Terms: ``mse``, ``identity``, ``token``, ``perceptual`` before their weights; ``ssim``, the similarity itself;
        ``similarity``, the mean cosine of each drawn face with its target, and ``shuffled_similarity``, with the next
        face's target, which says what the first is worth. With a discriminator, ``gan`` and ``discriminator``, both
        losses, and ``gan_weight``; they are 0 until it starts.

        Args:
            batch: Unused: a face is its own target.
            features: ``Painted``.
        """
        painted: Painted = features  # type: ignore[assignment]
        options = self.options
        images, pictures, tokens, aims, seen, vectors = (
            value.to(torch.promote_types(value.dtype, torch.float32))
            for value in (
                painted.images,
                painted.pictures,
                painted.tokens,
                painted.aims,
                painted.seen,
                painted.vectors,
            )
        )
        weighed = {
            "mse": (options.mse, pixel_loss(images, pictures)),
            "identity": (options.identity, identity_loss(seen, vectors)),
            "token": (options.token, token_loss(tokens, aims)),
        }
        if painted.perceptual is not None:
            weighed["perceptual"] = (options.perceptual_weight, painted.perceptual.mean())
        alike = ssim(images, pictures).mean()
        total = options.ssim * (1 - alike)
        for weight, value in weighed.values():
            total = total + weight * value
        terms = {name: value.detach() for name, (_, value) in weighed.items()} | {"ssim": alike.detach()}
        terms["similarity"] = 1 - terms["identity"]
        terms["shuffled_similarity"] = 1 - identity_loss(seen.detach(), vectors.roll(-1, dims=0))
        if self.adversary is not None:
            adversarial = self.adversary(total, painted)
            total = total + adversarial.total
            terms |= adversarial.terms
        return LossOutput(total=total, terms=terms)
