"""The discriminator's part: it learns to tell drawn faces from real ones, and the generator to make that hard.

In the released code the discriminator also descends the generator's loss, which drives it to a constant. Here that loss
runs through a discriminator whose weights are constants, and the discriminator learns from pictures that are constants,
so that one gradient of one sum gives each of the two its own.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from facebench import LossOutput
from facebench_vec2face.discriminator import PatchDiscriminator

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from facebench_vec2face.options import Vec2FaceOptions
    from facebench_vec2face.painted import Painted

_SHORTEST, _HIGHEST = 1e-4, 1e4


def discriminator_loss(real: Tensor, drawn: Tensor) -> Tensor:
    """Least squares of logits: real pictures should give 1, drawn ones 0; a scalar.

    Mao et al., "Least Squares Generative Adversarial Networks" (ICCV 2017), equation 9.
    """
    return ((real - 1).square().mean() + drawn.square().mean()) / 2


def generator_loss(drawn: Tensor, *, linear: bool) -> Tensor:
    """What the generator makes of the logits of drawn pictures; a scalar.

    Args:
        drawn: Logits, any shape.
        linear: The released code's - mean D, which has no end: it goes on rewarding logits above 1, which the
            discriminator never gives to real pictures. Otherwise the least squares that belong to
            ``discriminator_loss``: drawn pictures should give 1.
    """
    return -drawn.mean() if linear else (drawn - 1).square().mean() / 2


def adaptive_weight(rest: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """By what a generator's adversarial loss moves its last layer as much as all other losses do; without gradient.

    |d rest / d last| / (|d adversarial / d last| + 1e-4), at most 1e4: Esser et al., "Taming Transformers for
    High-Resolution Image Synthesis" (CVPR 2021), equation 7. Among several processes each has its own.

    Args:
        rest: Scalar, all other losses.
        adversarial: Scalar.
        last: Weight of the last layer; both losses come from it.
    """
    lengths = [
        torch.autograd.grad(loss, last, retain_graph=True)[0].float().norm().detach() for loss in (rest, adversarial)
    ]
    weight: Tensor = lengths[0] / (lengths[1] + _SHORTEST)
    return weight.clamp(0.0, _HIGHEST)


class Adversary(nn.Module):
    """A discriminator of patches that joins a training at a given step.

    ``paper`` has the published losses, the generator's linear, and a constant rate of the discriminator. In ``fixed``
    both losses are least squares, and the rate falls to 0 along half a cosine from the discriminator's first step to
    the last of the training, as the generator's does: at the published rates, the discriminator would run ever farther
    ahead of a generator that hardly moves any more.

    Args:
        options: Kind, size, weight and rate.

    Attributes:
        discriminator: Its parameters are to be stepped by ``optimizer()``.
        steps: Scalar, int64: steps of the training so far.
        start_after: Steps of the training without a discriminator.
        last_step: Steps of the whole training; 0 where nobody said.
    """

    steps: Tensor

    def __init__(self, options: Vec2FaceOptions) -> None:
        super().__init__()
        self.options = options
        shape = options.shape
        self.discriminator = PatchDiscriminator(shape.discriminator, shape.image)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.start_after = self.last_step = 0

    def plan(self, steps: int) -> None:
        """Says how long the whole training is; from it and ``gan_start`` follows when this begins."""
        self.start_after, self.last_step = round(steps * self.options.gan_start), steps

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW over the discriminator; each of its steps is one of the training, also before there is a gradient."""
        options = self.options
        rate = options.gan_rate or options.learning_rate
        parameters = list(self.discriminator.parameters())
        betas = (options.momentum, options.beta2)
        optimizer = torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=options.weight_decay)

        def prepare(*_: Any) -> None:
            done = int(self.steps) - self.start_after
            if options.gan == "fixed" and self.last_step > self.start_after and done >= 0:
                part = min(done / (self.last_step - self.start_after), 1.0)
                optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * part)) / 2
            if options.clip_gradient:
                nn.utils.clip_grad_norm_(parameters, options.clip_gradient)
            self.steps.add_(1)

        optimizer.register_step_pre_hook(prepare)
        return optimizer

    def forward(self, rest: Tensor, painted: Painted) -> LossOutput:
        """Both losses of a step; the value of the discriminator's is no part of the total, only its gradient is.

        Args:
            rest: Scalar, the generator's other losses.
            painted: Drawn and real pictures.
        """
        options, none = self.options, rest.new_zeros(())
        if int(self.steps) < self.start_after:
            return LossOutput(none, {"gan": none, "discriminator": none, "gan_weight": none})
        judge = self.discriminator
        fixed = {name: value.detach() for name, value in judge.named_parameters()}
        with _same_precision(painted.images):
            seen = torch.func.functional_call(judge, fixed, (painted.images,))
            known = judge(torch.cat([painted.pictures, painted.images.detach().to(painted.pictures.dtype)]))
        real, drawn = known.float().chunk(2)
        adversarial = generator_loss(seen.float(), linear=options.gan == "paper")
        learning = discriminator_loss(real, drawn)
        weight = none + options.gan_weight
        if options.gan_balance == "adaptive":
            weight = weight * adaptive_weight(rest, adversarial, painted.last)
        terms = {"gan": adversarial.detach(), "discriminator": learning.detach(), "gan_weight": weight}
        return LossOutput(weight * adversarial + (learning - learning.detach()), terms)


def _same_precision(images: Tensor) -> AbstractContextManager[Any]:
    """The discriminator computes in what the generator computed its images in."""
    if images.dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(images.device.type, dtype=images.dtype)
    return nullcontext()
