"""The SFace loss: every pull and every push on the sphere ends where it has done enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres
from facebench.sharding import summed
from facebench_sface.quality import NormQuality

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench.centres import ClassCosines
    from facebench_sface.options import SFaceOptions


class SFaceLoss(nn.Module):
    """- pull(theta_y) cos(theta_y) + sum over other classes of push(theta_j) cos(theta_j) (Zhong et al., TIP 2021).

    pull(theta) = s / (1 + exp(-k (theta - a))) and push(theta) = s / (1 + exp(k (theta - b))) are weights without
    gradient: the value of the loss only carries the gradient of the cosines. It is below zero by design and says
    little; read the terms.

    With ``quality`` each face has a q in [-1, 1] (see ``NormQuality``), and its pull becomes
    g s / (1 + exp(-k (theta - a + delta q))), g = 1 + gamma q clip((theta - a) / (pi / 2 - a), 0, 1): a hard face is
    pulled more, and further in, where its quality is high. With gamma = delta = 0 this is SFace itself.

    Args:
        num_classes: C.
        embedding_size: D.
        options: See there.

    Attributes:
        centres: One per class; they start as N(0, 8 / C) draws, as in the authors' code.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: SFaceOptions) -> None:
        super().__init__()
        self.options = options
        self.a, self.b = options.boundaries()
        self.centres = ClassCentres(num_classes, embedding_size, options, std=2 * math.sqrt(2 / num_classes))
        self.quality = NormQuality(options.h, options.norm_sign) if options.quality == "norm" else None

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean over the batch.

        Terms: ``intra`` and ``inter``, the two parts of the loss; ``pull`` and ``push``, the mean weights; the mean
        cosines with the own class and with others. Means over other classes divide by their number; the authors' code
        divides by C, which counts the own class as one more with cosine 0.
        """
        cosines = self.centres(features.vectors, batch.labels)
        own = cosines.own()
        push = self._push(cosines)
        pull, terms = self._pull(own.detach(), cosines.vectors)
        intra = cosines.everywhere(-pull * own)
        inter = summed((push * cosines.cosine).sum(dim=1))
        with torch.no_grad():
            nearness = cosines.everywhere(own)
            classes = summed(own.new_tensor(float(push.shape[1])))
            others = (classes - 1).clamp(min=1)
            terms |= cosines.terms() | {
                "other_cosine": (summed(cosines.cosine.sum(dim=1)) - nearness).mean() / others,
                "intra": intra.mean(),
                "inter": inter.mean(),
                "pull": cosines.everywhere(pull).mean(),
                "push": summed(push.sum(dim=1)).mean() / others,
            }
        return LossOutput(total=(intra + inter).mean(), terms=terms)

    @torch.no_grad()
    def _push(self, cosines: ClassCosines) -> Tensor:
        """(N, C'), the weights of other classes; 0 in the column of the own one."""
        slope = self.options.slope
        theta = cosines.cosine.clamp(-1, 1).acos_()
        push = theta.mul_(-slope).add_(slope * self.b).sigmoid_().mul_(self.options.scale)
        return cosines.placed(push, push.new_zeros(len(push)))

    @torch.no_grad()
    def _pull(self, own: Tensor, vectors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(N,), the weights of the own class, and terms of the quality."""
        options, a = self.options, self.a
        theta = own.clamp(-1, 1).acos()
        if self.quality is None:
            return torch.sigmoid(options.slope * (theta - a)) * options.scale, {}
        q = self.quality(vectors).to(own.dtype)
        hard = ((theta - a) / (math.pi / 2 - a)).clamp_(0, 1)
        pull = torch.sigmoid(options.slope * (theta - a + options.delta * q)) * options.scale
        return pull * (1 + options.gamma * q * hard), {"quality": q.mean()}
