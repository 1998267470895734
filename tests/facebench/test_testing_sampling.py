"""What ``check_loss`` asks of losses that can use a part of the classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facebench.centres import ClassCentres
from facebench.classoptions import ClassOptions
from facebench.contracts import LossOutput
from facebench.specs import LossSpec
from facebench.testing import ContractBroken, check_loss


class Sampling(nn.Module):
    """Softmax over the classes of a step."""

    def __init__(self, classes, size, options):
        super().__init__()
        self.centres = ClassCentres(classes, size, options)

    def forward(self, batch, features):
        cosines = self.centres(features.vectors, batch.labels)
        return LossOutput(cosines.cross_entropy(8 * cosines.cosine).mean(), cosines.terms())


class Amnesiac(Sampling):
    """Keeps its centres but not which classes come next."""

    def __init__(self, classes, size, options):
        super().__init__(classes, size, options)
        seed, steps = self.centres.seed, self.centres.steps
        del self.centres.seed, self.centres.steps
        self.centres.register_buffer("seed", seed, persistent=False)
        self.centres.register_buffer("steps", steps, persistent=False)


class Undecided(Sampling):
    """Draws by another generator in every loss."""

    made = 0

    def __init__(self, classes, size, options):
        super().__init__(classes, size, options)
        Undecided.made += 1
        self.centres.seed.fill_(Undecided.made)


class Frozen(Sampling):
    """Has something that does not learn."""

    def __init__(self, classes, size, options):
        super().__init__(classes, size, options)
        self.offset = nn.Parameter(torch.zeros(classes), requires_grad=False)


def spec(kind):
    return LossSpec(name="made", summary="", options=ClassOptions, build=kind)


def test_sampling_through_class_centres_passes():
    check_loss(spec(Sampling))


def test_parameters_that_do_not_learn_need_no_gradient():
    check_loss(spec(Frozen))


@pytest.mark.parametrize(
    ("kind", "message"), [(Amnesiac, "loaded again with sample_rate=0.5"), (Undecided, "with sample_rate=0.5 the same")]
)
def test_a_loss_that_samples_wrongly_is_told(kind, message):
    with pytest.raises(ContractBroken, match=message):
        check_loss(spec(kind))
