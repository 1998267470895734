"""The TopoFR loss: a margin loss whose faces weigh differently, and the alignment of their structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from facebench import LossOutput
from facebench.centres import ClassCentres
from facebench.margins import arcface_phi, cosface_phi
from facebench.sharding import entropy
from facebench_topofr.alignment import align
from facebench_topofr.damage import damage_scores
from facebench_topofr.mixture import fit

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_topofr.mixture import Mixture
    from facebench_topofr.options import TopoFROptions


@dataclass(frozen=True, slots=True)
class Fitted:
    """The mixture of one batch, and what it was fitted to.

    Attributes:
        entropies: float64 (N,), nats, of the faces of all processes.
        right: Bool (N,), whether a face's own class was the nearest; a tensor, still on the device.
        mixture: What was fitted.
    """

    entropies: npt.NDArray[np.float64]
    right: Tensor
    mixture: Mixture


class TopoFRLoss(nn.Module):
    """L = mean(omega_i L_i) + alpha L_sa (Dan et al., NeurIPS 2024, equation 10).

    L_i is the cross-entropy with an ArcFace or CosFace margin, omega the structure damage score, L_sa the discrepancy
    between the shapes of the batch in pixels and in embeddings. Whatever is not asked for is not computed.

    Under several processes, omega is computed from the faces of all of them, by each, and classes may be split or
    sampled (entropies are then those of the sampled classes). The released code fits its mixture to each process's
    faces. Structure is that of groups of faces within a process: as long as a process's part of a step is a multiple of
    ``group_size``, the number of processes does not decide what is trained; with smaller parts, groups are smaller.

    Args:
        num_classes: C.
        embedding_size: D.
        options: See there.

    Attributes:
        centres: One per class; they start as N(0, 0.01^2) draws, as released.
        fitted: The mixture of the last batch, for figures; no part of the state.
        alpha: Weight of the alignment; a trainer, which knows the network, may set another.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: TopoFROptions) -> None:
        super().__init__()
        self.options = options
        self.centres = ClassCentres(num_classes, embedding_size, options)
        self.fitted: Fitted | None = None
        self.alpha = options.alpha_for("")

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The loss of a step.

        Where the trainer perturbs nothing, the images that the network saw are the clean ones.

        Terms: ``discrepancy``, L_sa; ``scale_free_discrepancy`` and ``shared_edges``, which shrinking embeddings do not
        change (see ``Alignment``); ``easy_share`` pi and ``easy_variance`` Sigma, nats squared, of the mixture;
        ``damage``, the mean omega; the mean cosine with the own class, and how often that class is nearest.
        """
        options = self.options
        cosines = self.centres(features.vectors, batch.labels)
        logits = cosines.replaced(self._target(cosines.own())).mul_(options.scale)
        losses = cosines.cross_entropy(logits)
        nearness, right = cosines.nearness()
        terms = {"target_cosine": nearness.mean(), "accuracy": right.to(nearness.dtype).mean()}
        hard = None
        if options.hardness:
            hard, found = self._hardness(logits, right)
            terms |= found
        if hard is not None or options.focal != "off":
            weights = damage_scores(losses, hard, temperature=options.temperature, focal=options.focal)
            terms["damage"] = weights.detach().mean()
            losses = weights * losses
        total = losses.mean()
        if self.alpha:
            structure = align(
                batch.images if batch.source is None else batch.source,
                features.vectors,
                matching=options.matching,
                latent_norm=options.latent_norm,
                group_size=options.group_size,
            )
            total = total + self.alpha * structure.discrepancy
            terms |= {
                "discrepancy": structure.discrepancy.detach(),
                "scale_free_discrepancy": structure.scale_free,
                "shared_edges": structure.shared,
            }
        return LossOutput(total=total, terms=terms)

    def _target(self, own: Tensor) -> Tensor:
        """Phi of the cosines with the own class, (N,)."""
        if self.options.base == "cosface":
            return cosface_phi(own, self.options.own_margin).along(own)
        return arcface_phi(own, self.options.own_margin, fallback="hard").along(own)

    @torch.no_grad()
    def _hardness(self, logits: Tensor, right: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(N,), h of each face, and terms of the mixture it comes from."""
        options = self.options
        entropies = entropy(logits, eps=options.entropy_eps).double().cpu().numpy()
        mixture = fit(entropies, variant=options.mixture)
        self.fitted = Fitted(entropies, right, mixture)
        numbers = torch.from_numpy(np.append(mixture.hard, [mixture.share, mixture.nats])).to(logits)
        return numbers[:-2], {"easy_share": numbers[-2], "easy_variance": numbers[-1]}
