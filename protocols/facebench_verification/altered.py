"""Demo faces with some parameters set to a value: all aged, all bearded, all in the dark."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import Face
from facebench.demo import (
    IDENTITY_PARAMETERS,
    NUISANCE_PARAMETERS,
    DemoFaces,
    draw,
    identity_parameters,
    nuisance_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench.demo import Nuisance


class AlteredFaces:
    """``DemoFaces``, but for what is said.

    Args:
        people: Who, as integers from 0 on, each once.
        images: How many pictures of each.
        first_image: Number of the first of them.
        nuisance: How strongly pictures of one person differ.
        seed: Another seed is another population.
        changes: Values of identity or nuisance parameters that hold for all pictures, by the parameter's name.
    """

    def __init__(
        self,
        people: Sequence[int],
        images: int,
        *,
        nuisance: Nuisance,
        changes: Mapping[str, float],
        first_image: int = 0,
        seed: int = 0,
    ) -> None:
        plain = DemoFaces(people, images, seed=seed, nuisance=nuisance, first_image=first_image)
        self._plain, self._changes = plain, dict(changes)
        self.name, self.keys, self.labels = plain.name, plain.keys, plain.labels
        self._people = np.repeat(np.asarray(people, dtype=np.int64), images)
        self._images = np.tile(np.arange(first_image, first_image + images), len(people))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that decides the pixels."""
        told = f"{self._plain.fingerprint} {sorted(self._changes.items())}"
        return hashlib.sha256(told.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        return Face(self.batch(np.array([index]))[0], int(self.labels[index]), self.keys[index])

    def batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Draws several pictures at once, uint8 (N, 112, 112, 3)."""
        who, which = self._people[indices], self._images[indices]
        seed, nuisance = self._plain.seed, self._plain.nuisance
        identity = identity_parameters(who, seed=seed)
        values = nuisance_parameters(who, which, seed=seed, nuisance=nuisance)
        for name, value in self._changes.items():
            if name in IDENTITY_PARAMETERS:
                identity[:, IDENTITY_PARAMETERS.index(name)] = value
            else:
                values[:, NUISANCE_PARAMETERS.index(name)] = value
        return draw(identity, values)
