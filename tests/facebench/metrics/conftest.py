"""Golden cases of the evaluation protocols, their inputs rebuilt and checked against a digest before use."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "protocols.json"


def digest(*arrays: npt.NDArray[Any]) -> str:
    """Short check of rebuilt inputs: shapes, and a hash of values rounded to 1e-4."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr(array.shape).encode())
        total.update((np.round(array.astype(np.float64), 4) + 0.0).astype("<f8").tobytes())
    return total.hexdigest()[:16]


def pair_embeddings(seed: int, pairs: int, dim: int, sigma: float, block: int):
    """Unit embeddings, rows 2i and 2i + 1 being pair i, and the flags."""
    draw = np.random.RandomState(seed)
    first, other, noise = (draw.standard_normal((pairs, dim)) for _ in range(3))
    same = (np.arange(pairs) // block) % 2 == 0
    embeddings = np.empty((2 * pairs, dim))
    embeddings[0::2] = first
    embeddings[1::2] = np.where(same[:, None], first + sigma * noise, other)
    embeddings /= np.sqrt((embeddings**2).sum(axis=1, keepdims=True))
    return embeddings, same


def flip_images(seed: int, pairs: int, side: int, dim: int, noise: int):
    """Small byte images, flags and a projection that stands for a network."""
    draw = np.random.RandomState(seed)
    shape = (pairs, 3, side, side)
    first, other = draw.randint(0, 256, shape), draw.randint(0, 256, shape)
    jitter = draw.randint(-noise, noise + 1, shape)
    same = np.arange(pairs) % 2 == 0
    images = np.empty((2 * pairs, 3, side, side), dtype=np.uint8)
    images[0::2] = first
    images[1::2] = np.where(same[:, None, None, None], np.clip(first + jitter, 0, 255), other)
    return images, same, draw.standard_normal((3 * side * side, dim)).astype(np.float32)


def score_list(seed: int, positives: int, negatives: int, shift: float, decimals: int):
    """Scores rounded to a few decimals, so that many are equal, and labels."""
    draw = np.random.RandomState(seed)
    raw = np.concatenate([shift + draw.standard_normal(positives), draw.standard_normal(negatives)])
    labels = np.repeat([1, 0], [positives, negatives])
    order = draw.permutation(positives + negatives)
    return np.round(raw, decimals)[order], labels[order]


@dataclass(frozen=True)
class ScoreCase:
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    expected: dict[str, Any]


@dataclass(frozen=True)
class PairCase:
    embeddings: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    expected: dict[str, Any]


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def score_cases(golden) -> dict[str, ScoreCase]:
    cases = {
        name: ScoreCase(np.array(case["scores"]), np.array(case["labels"]), case["expected"])
        for name, case in golden["hand"].items()
    }
    for name, case in golden["scores"].items():
        scores, labels = score_list(**case["arguments"])
        assert digest(scores, labels) == case["input_digest"]
        cases[name] = ScoreCase(scores, labels, case["expected"])
    assert sorted(cases) == sorted(
        ["distinct", "ties", "perfect", "inverted", "all_equal", "runs", "scores_ties", "scores_fine"]
    )
    return cases


@pytest.fixture(scope="session")
def pair_cases(golden) -> dict[str, PairCase]:
    cases = {}
    for name, case in golden["pairs"].items():
        if case["recipe"] == "pair_embeddings":
            embeddings, same = pair_embeddings(**case["arguments"])
            assert digest(embeddings, same) == case["input_digest"]
            cases[name] = PairCase(embeddings, same, case)
    assert sorted(cases) == ["pairs_cfp", "pairs_lfw", "pairs_odd", "pairs_small"]
    return cases


@pytest.fixture(scope="session")
def flip_case(golden):
    case = golden["pairs"]["flip"]
    images, same, projection = flip_images(**case["arguments"])
    assert digest(images, same, projection) == case["input_digest"]
    return images, same, projection, case
