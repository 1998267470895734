"""Small sets of faces, and embeddings with confidences to go with them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from facebench import Embeddings
from facebench_confidence.options import ConfidenceOptions
from facebench_confidence.protocol import Confidence

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def protocol(**options: Any) -> Confidence:
    """Of few faces unless told otherwise."""
    return Confidence(ConfidenceOptions(**{"faces": 24, "samples": 0, **options}))


def embeddings(faces: Any, confidence: npt.NDArray[np.floating[Any]] | None, *, size: int = 32) -> Embeddings:
    """Random vectors with those confidences, rows in another order than the faces."""
    random = np.random.default_rng(3)
    vectors = random.normal(size=(len(faces), size)).astype(np.float32)
    order = random.permutation(len(faces))
    given = None if confidence is None else confidence.astype(np.float32)[order]
    return Embeddings(keys=np.array(faces.keys)[order], vectors=vectors[order], confidence=given)


def falling(faces: Any, *, blocks: int = 4, noise: float = 0.5, seed: int = 0) -> npt.NDArray[np.float64]:
    """Confidences that fall with the level and vary from face to face and block to block, (N, K)."""
    random = np.random.default_rng(seed)
    levels = np.tile([rung.level for rung in faces.rungs], len(faces.source))
    own = np.repeat(random.normal(size=len(faces.source)), len(faces.rungs))
    return np.exp((own - 0.2 * levels)[:, None] + noise * random.normal(size=(len(faces), blocks)))


def textured(count: int, *, height: int = 112, width: int = 112, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Pictures without a black pixel, uint8 (count, height, width, 3)."""
    return np.random.default_rng(seed).integers(1, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with twelve pictures of four people in ``mine/<who>/<picture>.png``."""
    for place, image in enumerate(textured(12)):
        path = tmp_path / "root" / "mine" / f"who{place % 4}" / f"{place:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "root"


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(protocol=protocol, embeddings=embeddings, falling=falling, textured=textured)
