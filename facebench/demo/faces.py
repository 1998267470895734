"""Demo faces as pictures and as a data set: what the rest of facebench asks this room for."""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np

from facebench.contracts import Face
from facebench.demo.drawing import draw
from facebench.demo.nuisance import NUISANCE_TABLE, Nuisance, nuisance_parameters
from facebench.demo.parameters import IDENTITY_TABLE, counters, identity_keys, identity_parameters
from facebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

DEMO_VERSION = "1"
"""Changes whenever a picture changes, so that results of different drawings are never compared."""


def render(
    identities: npt.ArrayLike, images: npt.ArrayLike, *, seed: int = 0, nuisance: Nuisance | None = None
) -> npt.NDArray[np.uint8]:
    """Draw pictures of people.

    Args:
        identities: (N,) integers from 0 on: who.
        images: (N,) integers from 0 on: which picture of them.
        seed: Another seed is another population.
        nuisance: How strongly pictures of one person differ; ordinary if not given.

    Returns:
        (N, 112, 112, 3) RGB, aligned as face recognition expects. A picture depends on its identity, its image number,
        seed and nuisance alone, and is the same to the bit on every machine.

    Raises:
        ConfigError: The lists differ in length, or hold something else than integers from 0 on.
    """
    chosen = nuisance or Nuisance()
    values = nuisance_parameters(identities, images, seed=seed, nuisance=chosen)
    return draw(identity_parameters(identities, seed=seed), values)


class DemoFaces:
    """Some pictures of each of some people, drawn when they are asked for.

    Faces are ordered by identity, then by image. Labels count the identities in the order given; the key of image 3 of
    identity 7 is ``0007/003``.

    Args:
        identities: Who, as integers from 0 on, each once: ``range(1000, 1200)`` shares nobody with ``range(1000)``.
        images_per_identity: How many pictures of each.
        seed: Another seed is another population.
        nuisance: How strongly pictures of one person differ; ordinary if not given.
        first_image: Number of the first picture; a second data set of the same people can start where one ended.

    Raises:
        ConfigError: An identity is given twice or is negative, or there is nothing to draw.
    """

    name = "demo"

    def __init__(
        self,
        identities: Sequence[int],
        images_per_identity: int,
        *,
        seed: int = 0,
        nuisance: Nuisance | None = None,
        first_image: int = 0,
    ) -> None:
        people = np.asarray(identities, dtype=np.int64)
        counters("identities", people)
        identity_keys([], seed=seed)
        if not len(people) or len(np.unique(people)) != len(people):
            raise ConfigError(f"demo faces need every identity once and at least one, not {len(people)} with repeats")
        if images_per_identity < 1 or first_image < 0:
            raise ConfigError(
                f"demo faces need at least 1 image per identity, from image 0 on; "
                f"asked for {images_per_identity} from {first_image} on"
            )
        self.seed, self.nuisance = seed, nuisance or Nuisance()
        self._identities = np.repeat(people, images_per_identity)
        self._images = np.tile(np.arange(first_image, first_image + images_per_identity), len(people))
        self.num_classes = len(people)
        self.labels: npt.NDArray[np.int64] = np.repeat(np.arange(len(people), dtype=np.int64), images_per_identity)
        self.keys: list[str] = [
            f"{who:04d}/{which:03d}" for who, which in zip(self._identities, self._images, strict=True)
        ]

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the pixels; no picture is drawn for it."""
        told = (DEMO_VERSION, self.seed, astuple(self.nuisance), IDENTITY_TABLE, NUISANCE_TABLE)
        digest = hashlib.sha256(repr(told).encode())
        digest.update(self._identities.astype("<i8").tobytes())
        digest.update(self._images.astype("<i8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        """Draw one face; negative indices count from the end."""
        return Face(self.batch([index])[0], int(self.labels[index]), self.keys[index])

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Draw several faces at once, which is much faster: (N, 112, 112, 3) RGB."""
        chosen = np.asarray(indices, dtype=np.int64)
        return render(self._identities[chosen], self._images[chosen], seed=self.seed, nuisance=self.nuisance)
