"""Whether a network of faces can be what a generator learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from facebench import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

LOW, HIGH = 0.8, 1.2
"""Between these the standard deviation of every coordinate should lie, and mean norm / sqrt(D)."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """What was found of an extractor.

    Attributes:
        scale: By what raw features are to be divided; 1 where they are as they should be.
        warnings: One line for each thing that is not.
    """

    scale: float
    warnings: tuple[str, ...]


def check_extractor(extractor: nn.Module, features: npt.NDArray[np.float32]) -> Fitness:
    """Looks whether raw features have about unit variance in each coordinate, and a norm of about sqrt(D).

    All sigmas of the method are stated in these units. They come of a last batch normalisation without a learned scale.

    Args:
        extractor: As it was trained: a learner, which freezes all of it, takes away what is looked for.
        features: (N, D), raw, of many faces.

    Returns:
        Where the features do not fit, a scale after which the mean standard deviation of the coordinates is 1.

    Raises:
        DataError: When the features do not differ, or are not finite.
    """
    count, size = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    square = np.einsum("nd,nd->d", features, features, dtype=np.float64) / max(count, 1)
    deviations = np.sqrt(np.maximum(square - mean**2, 0))
    norm = float(np.sqrt(square.sum()))
    typical = float(deviations.mean())
    if count < 2 or not math.isfinite(norm) or typical <= 1e-6 * norm:
        raise DataError(
            f"the extractor's vectors of {count} faces do not differ or are not finite; a generator needs an extractor "
            "that tells faces apart"
        )
    warnings = _of_norm(extractor, size)
    least, most = float(deviations.min()), float(deviations.max())
    if LOW <= least and most <= HIGH and LOW <= norm / math.sqrt(size) <= HIGH:
        return Fitness(1.0, warnings)
    found = (
        f"the extractor's vectors have deviations of {least:.3g} to {most:.3g} in their coordinates and a norm of "
        f"{norm:.4g}, where {LOW} to {HIGH} and about {math.sqrt(size):.4g} are expected; they are divided by "
        f"{typical:.4g}"
    )
    return Fitness(typical, (*warnings, found))


def _of_norm(extractor: nn.Module, size: int) -> tuple[str, ...]:
    """A line where the last batch normalisation of vectors is missing or has a scale of its own."""
    norms = [module for module in extractor.modules() if isinstance(module, nn.BatchNorm1d)]
    norms = [module for module in norms if module.num_features == size]
    if not norms:
        return (
            "the extractor has no batch normalisation of its vectors; their coordinates may weigh very differently",
        )
    weight = norms[-1].weight
    if weight is not None and weight.requires_grad and not bool((weight == 1).all()):
        return ("the extractor's last batch normalisation has a learned scale; one that stays 1 is expected",)
    return ()
