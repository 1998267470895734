"""Which faces each step shows, and which of them each process reads.

Everything follows from the seed, the epoch and the step, so a training can be taken up anywhere; and the faces of a
step, and what is done to them by chance, do not depend on how many processes share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from facebench.ranks import World

# Separate streams of random numbers from one seed: the order of the faces, their mirroring, what perturbs them, what
# networks and losses draw, and wrong labels.
ORDER, MIRROR, PERTURB, TORCH, NOISE = 1, 2, 3, 4, 5


def randomness(stream: int, seed: int, *place: int) -> np.random.Generator:
    """The generator of a stream at a place of the training."""
    return np.random.default_rng((stream, seed, *place))


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Faces of one person that follow one another, so that a batch has some to compare.

    Attributes:
        labels: Class of each face, int64 (count,).
        size: How many follow one another.
    """

    labels: npt.NDArray[np.int64]
    size: int

    def arrange(self, order: npt.NDArray[np.integer], random: np.random.Generator) -> npt.NDArray[np.integer]:
        """Cuts each person's faces, in the order given, into groups, and shuffles these.

        What is left of a person, fewer faces than a group, comes at the end in the order given: no face is shown twice.
        """
        by_person = order[self.labels[order].argsort(kind="stable")]
        people = self.labels[by_person]
        starts = np.flatnonzero(np.append(True, people[1:] != people[:-1]))
        counts = np.diff(np.append(starts, len(people)))
        place = np.arange(len(people)) - np.repeat(starts, counts)
        whole = place < np.repeat(counts // self.size * self.size, counts)
        groups = by_person[whole].reshape(-1, self.size)
        left = np.zeros(len(order), dtype=np.bool_)
        left[by_person[~whole]] = True
        return np.concatenate([random.permutation(groups).ravel(), order[left[order]]])


@dataclass(frozen=True, slots=True)
class Order:
    """The faces of a training in their order.

    Attributes:
        count: Faces in the training set.
        batch_size: Faces per step in all processes.
        accumulate: Parts in which a process computes its faces of a step.
        seed: Of the training.
        world: The processes.
    """

    count: int
    batch_size: int
    accumulate: int
    seed: int
    world: World

    def __post_init__(self) -> None:
        """Refuses batches that cannot be shared.

        Raises:
            ConfigError: When processes and parts do not divide the batch, or would get single faces.
        """
        shares = self.world.size * self.accumulate
        if self.batch_size % shares or self.batch_size < 2 * shares:
            raise ConfigError(
                f"trainer.batch_size {self.batch_size} cannot be split into equal parts of two faces or more over "
                f"{self.world.size} processes x {self.accumulate} (trainer.accumulate)"
            )

    @property
    def part_size(self) -> int:
        """Faces that go through a network at once."""
        return self.batch_size // (self.world.size * self.accumulate)

    @property
    def steps(self) -> int:
        """Steps per epoch; the last one may be smaller than the others."""
        return self.count // self.batch_size + (self._rest > 0)

    @property
    def seen(self) -> int:
        """Faces that an epoch shows. Those left out, other ones each time, would leave a process without its share."""
        return self.count // self.batch_size * self.batch_size + self._rest

    @property
    def _rest(self) -> int:
        """Faces of the last, smaller step: as many for each process, and none of them alone in its part.

        Batch normalisation cannot train on a single face.
        """
        share = self.count % self.batch_size // self.world.size
        share -= share % self.part_size == 1
        return share * self.world.size

    def epoch(self, number: int, together: Together | None = None) -> npt.NDArray[np.integer]:
        """The order of all faces in an epoch, (count,); 4 bytes a face below 2^31 of them.

        Args:
            number: Of the epoch, from 0.
            together: Which faces follow one another; None leaves that to chance.
        """
        kind = np.int32 if self.count < 2**31 else np.int64
        random = randomness(ORDER, self.seed, number)
        order = random.permutation(np.arange(self.count, dtype=kind))
        return order if together is None else together.arrange(order, random)

    def step(self, faces: npt.NDArray[np.integer], number: int) -> npt.NDArray[np.int64]:
        """The faces of a step in all processes, given the order of its epoch."""
        first = number * self.batch_size
        return faces[first : min(first + self.batch_size, self.seen)].astype(np.int64)

    def parts(self, size: int) -> list[slice]:
        """Where this process's parts lie in a step of ``size`` faces."""
        share = size // self.world.size
        first, stop = self.world.rank * share, (self.world.rank + 1) * share
        return [slice(start, min(start + self.part_size, stop)) for start in range(first, stop, self.part_size)]

    def read(self, faces: npt.NDArray[np.integer], start: int) -> Iterator[npt.NDArray[np.int64]]:
        """The faces of every part that this process reads from step ``start`` to the epoch's end."""
        for number in range(start, self.steps):
            step = self.step(faces, number)
            for part in self.parts(len(step)):
                yield step[part]
