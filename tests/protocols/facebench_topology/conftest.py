"""Small sets of pictures, and embeddings of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from facebench import Embeddings, Face
from facebench_topology.options import TopologyOptions
from facebench_topology.protocol import Topology

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

SIZES = (8, 12)


class Pictures:
    """Pictures in memory: a ``FaceDataset`` in any order of ours, which notes what is read of it."""

    name = "pictures"
    fingerprint = "0" * 16

    def __init__(self, images: npt.NDArray[np.uint8], keys: Sequence[str]) -> None:
        self.images, self.keys = images, list(keys)
        self.labels = np.full(len(images), -1, dtype=np.int64)
        self.read: list[str] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Face:
        self.read.append(self.keys[index])
        return Face(self.images[index], -1, self.keys[index])

    def moved(self, order: npt.NDArray[np.int64]) -> Pictures:
        return Pictures(self.images[order], [self.keys[place] for place in order])


def clouds(count: int, *, seed: int = 0, side: int = 112) -> npt.NDArray[np.uint8]:
    """Pictures of smooth clouds, uint8 (count, side, side, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(30, 225, (count, 7, 7, 3)).repeat(side // 7, axis=1).repeat(side // 7, axis=2)
    return (coarse + random.normal(0, 6, coarse.shape)).clip(0, 255).astype(np.uint8)


def points(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The network's input, flattened, written here anew."""
    return (images.reshape(len(images), -1).astype(np.float64) / 255 - 0.5) / 0.5


def projected(images: npt.NDArray[np.uint8], *, values: int = 512, seed: int = 1) -> npt.NDArray[np.float32]:
    """A random projection that keeps distances to some percent, at the scale of the training loss."""
    inputs = points(images)
    matrix = np.random.default_rng(seed).normal(size=(inputs.shape[1], values)) / np.sqrt(values)
    return (inputs @ matrix / np.sqrt(4.0 * inputs.shape[1])).astype(np.float32)


def embeddings(faces: Any, vectors: npt.NDArray[np.floating[Any]]) -> Embeddings:
    return Embeddings(keys=np.asarray(faces.keys, dtype=np.str_), vectors=vectors.astype(np.float32))


def protocol(**options: Any) -> Topology:
    """Of few, small batches unless told otherwise."""
    return Topology(TopologyOptions(**{"sizes": SIZES, "count": 5, "sample": 0, **options}))


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.uint8]:
    found = clouds(40)
    found.setflags(write=False)
    return found


@pytest.fixture
def faces(images: npt.NDArray[np.uint8]) -> Pictures:
    return Pictures(images, [f"who/{place:03d}" for place in range(len(images))])


@pytest.fixture
def vectors(faces: Pictures) -> npt.NDArray[np.float32]:
    """Embeddings that know nothing of the pictures, as long as a network's."""
    return np.random.default_rng(7).normal(size=(len(faces), 64)).astype(np.float32) * 2


@pytest.fixture
def folder(tmp_path: Path, images: npt.NDArray[np.uint8]) -> Path:
    """A data root with pictures in ``mine/<who>/<picture>.png``."""
    for place, image in enumerate(images[:16]):
        path = tmp_path / "root" / "mine" / f"who{place % 4}" / f"{place:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "root"


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(
        Pictures=Pictures, clouds=clouds, points=points, projected=projected, embeddings=embeddings, protocol=protocol
    )
