"""The agreement between facebench and generators: networks that make faces which belong to nobody.

A generator learns from the pictures of a training set and from what a trained network of faces, its extractor, says of
them. Then it draws identities, as vectors of the extractor's space, and pictures of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from facebench.contracts import Checkpoint, FaceDataset, Preprocess, Progress, Recipe


@dataclass(frozen=True, slots=True)
class GeneratorJob:
    """All that the training of a generator needs.

    Attributes:
        extractor: A trained network of faces; the generator may read it and must not change it.
        preprocess: How pixels become the extractor's input.
        dataset: Labelled faces.
        num_classes: C; labels lie in 0..C-1.
        options: The generator's own options.
        recipe: Names and options to store with the checkpoint.
        device: Where to compute, as torch spells it.
        seed: Decides every random choice of the training.
        folder: Where checkpoints are written; what is already there is resumed.
        progress: For bars.
        epoch_ended: Called with (epoch from 1, values by name) when an epoch is complete.
    """

    extractor: nn.Module
    preprocess: Preprocess
    dataset: FaceDataset
    num_classes: int
    options: Any
    recipe: Recipe
    device: str
    seed: int
    folder: Path
    progress: Progress
    epoch_ended: Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """People who do not exist, as vectors.

    Attributes:
        vectors: float32 (N, D), raw vectors of the extractor's space.
        notes: What is worth knowing of how they were drawn, such as how many candidates were rejected.
    """

    vectors: npt.NDArray[np.float32]
    notes: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """Pictures of some identities.

    Attributes:
        images: uint8 (N * M, H, W, 3) RGB: M of the first identity, then M of the second, and so on.
        vectors: float32 (N, D): the identities as they were drawn in the end, where the generator adjusts them.
        columns: What is known of each picture, arrays of length N * M by name, such as ``sigma`` or ``success``.
    """

    images: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.float32]
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class Generator(Protocol):
    """Makes faces that belong to nobody."""

    def fit(self, job: GeneratorJob, /) -> Checkpoint:
        """Trains, or continues what an interrupted call left in ``job.folder``; the result must be the same."""

    def load(self, folder: Path, /, *, extractor: nn.Module, preprocess: Preprocess, device: str) -> None:
        """Takes up a checkpoint that ``fit`` left; what follows needs it.

        Args:
            folder: Of the checkpoint.
            extractor: The network that the generator was trained with, built anew; its weights come with the
                checkpoint.
            preprocess: How pixels become its input.
            device: Where to compute, as torch spells it.

        Raises:
            DataError: When the checkpoint is damaged or does not fit.
        """

    def identities(self, count: int, /, *, seed: int, folder: Path, progress: Progress) -> Identities:
        """Draws identities; the first n of more are those of n.

        Args:
            count: N.
            seed: Decides which.
            folder: For what an interrupted call leaves to the next one.
            progress: For bars.
        """

    def render(self, vectors: npt.NDArray[np.float32], /, *, first: int, images: int, seed: int) -> Rendered:
        """Draws pictures of some identities.

        Args:
            vectors: (N, D), the identities from number ``first`` on.
            first: Number of the first of them; with ``seed`` it decides what chance does to each picture.
            images: M, pictures of each.
            seed: As for ``identities``.
        """
