"""Wrong labels on purpose, for trials of how much of them a method bears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.training.order import NOISE, randomness

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def with_noise(labels: npt.NDArray[np.int64], share: float, *, classes: int, seed: int) -> npt.NDArray[np.int64]:
    """Labels of which a share was exchanged for one of the other classes, each equally likely.

    Args:
        labels: (N,), in 0..classes-1.
        share: In [0, 1]; the number of wrong labels is that share of N, rounded.
        classes: C, at least 2.
        seed: Decides which faces, and for what. A smaller share of the same seed strikes a part of the same faces.

    Returns:
        (N,), a new array.
    """
    draws = randomness(NOISE, seed)
    order = draws.permutation(len(labels))
    shift = draws.integers(1, classes, len(labels))
    struck = order[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[struck] = (labels[struck] + shift[struck]) % classes
    return noisy
