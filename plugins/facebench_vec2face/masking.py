"""Which rows of a feature map the transformer does not get to see.

Some rows are *masked*: the condition stands in their place. Of these some are also *dropped*: the encoder goes without
them. Both come from the ranks of one set of random numbers, so that dropped rows are always masked ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from facebench import ConfigError

if TYPE_CHECKING:
    from torch import Generator, Tensor

# What rounding makes of a whole number of rows must not be taken for the next one.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A choice of rows for each of B faces.

    Attributes:
        masked: Bool (B, n): where the condition stands instead of the row.
        kept: int64 (B, n - dropped), rising: the rows that the encoder sees.
    """

    masked: Tensor
    kept: Tensor

    @property
    def dropped(self) -> Tensor:
        """Bool (B, n): rows that the encoder does not see; each is masked."""
        return torch.ones_like(self.masked).scatter_(1, self.kept, False)

    def to(self, device: torch.device) -> Mask:
        """The same on another device."""
        return Mask(self.masked.to(device, non_blocking=True), self.kept.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class Masking:
    """How many rows are masked: a share drawn from a normal distribution cut off at both ends.

    Attributes:
        least: Smallest share; as many rows are dropped.
        most: Largest share.
        mean: Of the distribution before it is cut off.
        std: Likewise.

    Raises:
        ConfigError: When the ends are the wrong way round, or so far from the mean that nothing lies between them.
    """

    least: float = 0.5
    most: float = 1.0
    mean: float = 0.75
    std: float = 0.25

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn from."""
        low, high = self._ends()
        if not 0 <= self.least <= self.most <= 1 or (self.least < self.most and high - low < _SLACK):
            raise ConfigError(
                f"shares of masked rows between {self.least} and {self.most} cannot be drawn around {self.mean} with "
                f"deviation {self.std}; bring the ends into order and the mean nearer to them"
            )

    def dropped(self, rows: int) -> int:
        """How many of n rows are dropped."""
        return math.ceil(rows * self.least - _SLACK)

    def shares(self, uniform: Tensor) -> Tensor:
        """Shares from numbers that are uniform in [0, 1), of any shape: the inverse of the distribution; float64."""
        low, high = self._ends()
        shares: Tensor = self.mean + self.std * torch.special.ndtri(low + uniform.double() * (high - low))
        return shares.clamp(self.least, self.most)

    def mask(self, numbers: Tensor, shares: Tensor) -> Mask:
        """The mask that random numbers lead to: the smallest are dropped, these and the next ones masked.

        Args:
            numbers: float (B, n), uniform; where two are equal, the first counts as smaller.
            shares: (B,) or a scalar, in [least, most]: which part of each face's rows is masked.
        """
        rows = numbers.shape[1]
        order = numbers.argsort(dim=1, stable=True)
        ranks = order.argsort(dim=1)
        masked = (shares * rows - _SLACK).ceil().expand(len(numbers))
        return Mask(ranks < masked[:, None], order[:, self.dropped(rows) :].sort(dim=1).values)

    def draw(self, faces: int, rows: int, generator: Generator | None = None) -> Mask:
        """Masks of one training step, on the CPU: one share for all faces, rows for each.

        Args:
            faces: B.
            rows: n.
            generator: Of the CPU; torch's own if none is given.
        """
        share = self.shares(torch.rand((), dtype=torch.float64, generator=generator))
        return self.mask(torch.rand(faces, rows, generator=generator), share)

    def _ends(self) -> tuple[float, float]:
        """The normal distribution's values at both ends."""
        low, high = ((end - self.mean) / (self.std * math.sqrt(2)) for end in (self.least, self.most))
        return math.erfc(-low) / 2, math.erfc(-high) / 2
