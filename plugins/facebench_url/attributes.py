"""The attribute model's loss: what varies between faces, told without who they are.

URL mines further variations with a network theta_A that is trained on labelled attributes and on forgetting identities
(Shi et al., CVPR 2020, section 3.4); its soft labels for a recognition set are then variations as any other. What of
that text was at hand says no more. The losses here are as they are recalled, **not verified** against equation 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from facebench import FacebenchError, LossOutput

if TYPE_CHECKING:
    from torch import Tensor

    from facebench import Batch, Features
    from facebench_url.attributeoptions import AttributeOptions


class AttributeLoss(nn.Module):
    """L_A + lambda L_conf, and apart from them the L_D of a rival that reads identities from the same vectors.

    With the vectors x of N faces, the logits a_t of the head of attributes and soft labels u_t in 0..1, and the rival's
    p(y = c | x) over C identities, means over the N faces of

    - L_A: the sum over a face's known attributes of -u_t log sigmoid(a_t) - (1 - u_t) log(1 - sigmoid(a_t));
    - L_conf: -(1 / C) sum_c log p(y = c | x), least, log C, where the rival cannot tell anybody from anybody;
    - L_D: -log p(y = own | x).

    The gradient of L_D reaches the rival alone, that of L_conf the network alone, that of L_A network and head. All is
    linear in faces, so that several processes, each with its own, descend as one does. Recalled, not verified; the
    weight lambda is ours.

    Args:
        num_classes: C.
        embedding_size: D.
        options: How many attributes, the weight, the rival's rate.

    Attributes:
        attributes: The head of attributes, linear, D to T.
        identities: The rival, linear, D to C.
    """

    def __init__(self, num_classes: int, embedding_size: int, options: AttributeOptions) -> None:
        super().__init__()
        self.options = options
        self.attributes = nn.Linear(embedding_size, options.attributes)
        self.identities = nn.Linear(embedding_size, num_classes)

    def rival(self) -> torch.optim.Optimizer:
        """What the classifier of identities learns by, apart from the network it works against."""
        return torch.optim.Adam(self.identities.parameters(), lr=self.options.rival_rate)

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The loss of a step.

        Terms: ``attributes`` (L_A), ``attribute_accuracy`` (share of the known attributes on whose side of one half the
        model is; 0 where a step knows none), ``confusion`` (L_conf), ``identity_accuracy`` (how often the rival is
        right).

        Raises:
            FacebenchError: When the batch has no labels of attributes, or another number of them.
        """
        marks = self._marks(batch)
        vectors = features.vectors.to(torch.promote_types(features.vectors.dtype, self.attributes.weight.dtype))
        told = self.attributes(vectors)
        known = ~marks.isnan()
        wanted = torch.where(known, marks, 0.0).to(told.dtype)
        losses = functional.binary_cross_entropy_with_logits(told, wanted, reduction="none")
        attributes = torch.where(known, losses, 0.0).sum() / len(vectors)
        # The rival learns from vectors as they are; the network, from the rival as it is.
        weight, bias = self.identities.weight, self.identities.bias
        read = functional.linear(vectors.detach(), weight, bias)
        seen = functional.linear(vectors, weight.detach(), bias.detach())
        confusion = -functional.log_softmax(seen, dim=1).mean()
        learning = functional.cross_entropy(read, batch.labels)
        # The value of L_D is no part of the network's loss, only its gradient is, and that stops in between.
        total = attributes + self.options.adversarial * confusion + learning - learning.detach()
        right = ((told > 0) == (wanted > 0.5)) & known
        terms = {
            "attributes": attributes.detach(),
            "attribute_accuracy": right.sum().to(told.dtype) / known.sum().clamp(min=1),
            "confusion": confusion.detach(),
            "identity_accuracy": (read.detach().argmax(dim=1) == batch.labels).mean(dtype=told.dtype),
        }
        return LossOutput(total=total, terms=terms)

    def _marks(self, batch: Batch) -> Tensor:
        """(N, T)."""
        wanted, marks = self.options.attributes, batch.marks
        if marks is None or marks.shape[1] != wanted:
            has = "none" if marks is None else str(marks.shape[1])
            raise FacebenchError(
                f"loss url-attributes needs {wanted} attributes of each face; the trainer gives {has}: train with "
                "--plugin url-attributes and trainer.table"
            )
        return marks
