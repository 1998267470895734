"""Small sets of people, embeddings of them, and the definitions written out once more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebench import Embeddings, Face
from facebench_separability.options import SeparabilityOptions
from facebench_separability.protocol import Separability

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Toys:
    """Labelled faces in memory, all of one grey picture each: a ``FaceDataset`` in any order."""

    def __init__(self, keys: Sequence[str], labels: Sequence[int], *, name: str = "toys") -> None:
        self.name, self.keys = name, list(keys)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.fingerprint = f"{name} {self.keys} {self.labels.tolist()}"

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        return Face(np.full((8, 8, 3), index % 256, np.uint8), int(self.labels[index]), self.keys[index])

    def moved(self, order: npt.NDArray[np.int64]) -> Toys:
        return Toys([self.keys[place] for place in order], self.labels[order], name=self.name)


def people(count: int, images: int = 3, *, first: int = 0, name: str = "toys") -> Toys:
    """So many people; labels fall while names rise, so that the one is not taken for the other."""
    keys = [f"who{first + who:04d}/{image}" for who in range(count) for image in range(images)]
    return Toys(keys, np.repeat(np.arange(count)[::-1], images), name=name)


def vectors(faces: Any, *, size: int = 12, noise: float = 0.5, seed: int = 0) -> npt.NDArray[np.float32]:
    """One direction for each label, blurred, in lengths of any size."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(int(faces.labels.max()) + 1, size))
    found = centres[faces.labels] + noise * random.normal(size=(len(faces), size))
    return (found * random.uniform(0.5, 3, (len(faces), 1))).astype(np.float32)


def embeddings(faces: Any, values: npt.NDArray[np.floating[Any]], **more: Any) -> Embeddings:
    return Embeddings(keys=np.asarray(faces.keys, dtype=np.str_), vectors=values.astype(np.float32), **more)


def protocol(**options: Any) -> Separability:
    """Without intervals unless told otherwise."""
    return Separability(SeparabilityOptions(**{"samples": 0, "fmr": 0.1, "prefixes": 5, **options}))


def means(values: npt.NDArray[np.floating[Any]], people_of: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Unit mean of each person, by name, in order of names."""
    names = np.asarray(people_of)
    found = {}
    for name in sorted(set(people_of)):
        mean = values[names == name].astype(np.float64).mean(axis=0)
        found[name] = mean / np.linalg.norm(mean)
    return found


def counts(centres: npt.NDArray[np.float64], tau: float) -> dict[str, int]:
    """The three counts, by their definitions."""
    similarity = centres @ centres.T
    n = len(centres)
    accepted: list[int] = []
    for j in range(n):
        if all(similarity[i, j] <= tau for i in accepted):
            accepted.append(j)
    return {
        "strict": sum(all(similarity[i, j] <= tau for i in range(n) if i != j) for j in range(n)),
        "first-occurrence": sum(all(similarity[i, j] <= tau for i in range(j)) for j in range(n)),
        "greedy": len(accepted),
    }


def value(evaluation: Any, name: str, rule: str | None = None) -> Any:
    return next(one for one in evaluation.metrics if one.name == name and rule in (None, one.rule))


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(
        Toys=Toys,
        people=people,
        vectors=vectors,
        embeddings=embeddings,
        protocol=protocol,
        means=means,
        counts=counts,
        value=value,
    )


@pytest.fixture(scope="session")
def two_of_each(kit: SimpleNamespace) -> SimpleNamespace:
    """Faces judged, beside and of a reference, with the embeddings of all of them."""
    data, real = kit.people(12, 3), kit.people(20, 5, first=100, name="real")
    learned = kit.people(9, 4, first=500, name="learned")
    faces = kit.protocol().faces_of(data, beside=real, reference=learned)
    return SimpleNamespace(data=data, real=real, learned=learned, faces=faces, values=kit.vectors(faces, size=10))
