"""Which faces are hard: a Gaussian-uniform mixture of the entropies of a batch's predictions.

Easy faces have entropies near 0, half-normally distributed; hard ones lie anywhere. The mixture is fitted anew to
every batch by expectation and maximisation (TopoFR, section 4.2, equations 3 to 7). These are a few hundred numbers,
for which numpy is quicker than any device, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Variant = Literal["symmetric", "reference"]

# Where EM starts, what keeps it sane, and when it stops: the released code's numbers. The paper gives none.
_SHARE, _MOST_EASY = 0.1, 0.5
_DENSITY, _LEAST_DENSITY = 0.2, 0.001
_FLOOR = 1e-3
_SETTLED, _STEPS = 1e-10, 1000
# Below this there is nothing to divide by.
_TINY = 1e-10


@dataclass(frozen=True, slots=True)
class Mixture:
    """A fitted mixture.

    Attributes:
        hard: float64 (N,), h: the posterior probability that a face belongs to the uniform part.
        share: pi, the weight of the Gaussian (easy) part, in [0, 0.5].
        variance: Sigma, of entropies divided by ``scale``.
        density: Of the uniform part, for signed entropies divided by ``scale``.
        scale: Nats: what entropies were divided by.
        steps: Iterations of EM.
    """

    hard: npt.NDArray[np.float64]
    share: float
    variance: float
    density: float
    scale: float
    steps: int

    @property
    def nats(self) -> float:
        """The variance of the Gaussian part in the entropies' own unit, nats squared."""
        return self.variance * self.scale**2

    def densities(self, entropies: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The two parts of the density of an entropy of 0 or more, each with its weight: easy, then hard.

        Args:
            entropies: Nats, any shape.
        """
        x = entropies / (self.scale or 1.0)
        # Both signs of x are one entropy.
        folded = 2.0 / (self.scale or 1.0)
        easy = folded * self.share * _gaussian(x * x, self.variance + _FLOOR)
        return easy, np.full_like(easy, folded * (1 - self.share) * self.density)


def fit(entropies: npt.NDArray[np.float64], *, variant: Variant = "symmetric") -> Mixture:
    """Fits the mixture.

    The paper gives every entropy a random sign. ``symmetric`` takes both signs of each, so that neither chance nor the
    place in the batch decides anything, and h rises with the entropy. ``reference`` does what the released code does:
    the entropies at even places become negative, and all are centred, so that h depends on the order of the batch. Both
    start, stop and limit pi as the release does, and treat the uniform part as a constant that ends nowhere. Where the
    release would divide by 0 or take the root of a negative number, the uniform part has its least density.

    Args:
        entropies: (N,), nats, N at least 1. Where one is not finite, nothing of the result is.
        variant: See above.
    """
    if not np.isfinite(entropies).all():
        return Mixture(np.full(len(entropies), np.nan), np.nan, np.nan, np.nan, np.nan, 0)
    signed = entropies.copy()
    if variant == "reference":
        signed[: len(signed) // 2 * 2 : 2] *= -1
        signed -= signed.mean()
    scale = float(np.sqrt(np.mean(signed * signed)))
    x = signed / (scale if scale > _TINY else 1.0)
    square = x * x
    share, variance, density = _SHARE, float(square.mean()), _DENSITY
    before = np.inf
    steps = 0
    while steps < _STEPS:
        steps += 1
        gaussian = _gaussian(square, variance + _FLOOR)
        easy = share * gaussian
        easy /= easy + (1 - share) * density
        count = max(float(easy.sum()), _TINY)
        variance = float(easy @ square) / count
        share = min(count / len(x), _MOST_EASY)
        density = _uniform(x, square, 1 - easy, count * (1 - share + _TINY), variant)
        likelihood = float((share * gaussian + (1 - share) * density).sum())
        if abs(likelihood - before) < _SETTLED:
            break
        before = likelihood
    return Mixture(1 - easy, share, variance, density, scale, steps)


def _gaussian(square: npt.NDArray[np.float64], variance: float) -> npt.NDArray[np.float64]:
    """The normal density of mean 0 at points whose squares are given."""
    found: npt.NDArray[np.float64] = np.exp(square * (-0.5 / variance)) / np.sqrt(2 * np.pi * variance)
    return found


def _uniform(
    x: npt.NDArray[np.float64],
    square: npt.NDArray[np.float64],
    hard: npt.NDArray[np.float64],
    total: float,
    variant: Variant,
) -> float:
    """The density of a uniform part with the moments of the hard points, as equation 7 weighs them.

    The paper's variance, eta_2 - eta_1^2, times 3 is the square of half the width; the release has 3 eta_2 - eta_1^2.
    With both signs eta_1 is 0 and they agree.
    """
    second = float(hard @ square) / total
    first = float(hard @ x) / total if variant == "reference" else 0.0
    width = 3 * second - first * first
    return _LEAST_DENSITY if width < _LEAST_DENSITY else 0.5 / float(np.sqrt(width))
