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


def ijb_images(seed: int, images: int, templates: int, subjects: int, medias: int, dim: int, noise: float):
    """Image features with their mirrored halves, template and media ids, faceness, and who each template is."""
    draw = np.random.RandomState(seed)
    subject_of = np.arange(templates) % subjects
    template_id = 7 + 3 * np.arange(templates)
    which = np.concatenate([np.arange(templates), draw.randint(0, templates, images - templates)])
    media = draw.randint(1, medias + 1, images)
    centre = draw.standard_normal((subjects, dim))
    quality = draw.uniform(0.2, 1.0, images)
    plain = quality[:, None] * centre[subject_of[which]] + noise * draw.standard_normal((images, dim))
    flipped = plain + 0.3 * draw.standard_normal((images, dim))
    scale = (0.5 + quality)[:, None]
    features = np.concatenate([scale * plain, scale * flipped], axis=1).astype(np.float32)
    faceness = np.round(draw.uniform(0.1, 1.0, images), 3).astype(np.float32)
    return features, template_id[which], media, faceness, template_id, subject_of


def ijb_pairs(seed: int, pairs: int, genuine: int, template_id, subject_of):
    """Template pairs; the first ``genuine`` show one person by construction, others may by chance."""
    draw = np.random.RandomState(seed)
    templates = len(template_id)
    subjects = int(subject_of.max()) + 1
    left = draw.randint(0, subjects, genuine)
    right = left + subjects * draw.randint(1, templates // subjects, genuine)
    a = np.concatenate([left, draw.randint(0, templates, pairs - genuine)])
    b = np.concatenate([right, draw.randint(0, templates, pairs - genuine)])
    return template_id[a], template_id[b], (subject_of[a] == subject_of[b]).astype(np.int64)


def one_to_many(template_id, subject_of, first_gallery: int):
    """Rows of the two galleries (one template a subject) and of the probes (all other templates)."""
    subjects = int(subject_of.max()) + 1
    rows = np.arange(len(template_id))
    return rows[:first_gallery], rows[first_gallery:subjects], rows[subjects:]


def tiny_faces(seed: int, subjects: int, distractors: int, dim: int, noise: float):
    """1 to 3 probes and 1 to 3 gallery faces a subject, and distractors."""
    draw = np.random.RandomState(seed)
    centre = draw.standard_normal((subjects, dim))
    probe_ids = np.repeat(np.arange(1, subjects + 1), draw.randint(1, 4, subjects))
    gallery_ids = np.repeat(np.arange(1, subjects + 1), draw.randint(1, 4, subjects))
    probes = centre[probe_ids - 1] + noise * draw.standard_normal((len(probe_ids), dim))
    gallery = centre[gallery_ids - 1] + noise * draw.standard_normal((len(gallery_ids), dim))
    others = draw.standard_normal((distractors, dim)) * np.sqrt(1 + noise**2)
    unit = [x / np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in (probes, gallery, others)]
    return unit[0], probe_ids, unit[1], gallery_ids, unit[2]


@dataclass(frozen=True)
class ImageCase:
    features: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32]
    templates: npt.NDArray[np.int64]
    medias: npt.NDArray[np.int64]
    faceness: npt.NDArray[np.float32]
    template_id: npt.NDArray[np.int64]
    subject_of: npt.NDArray[np.int64]
    expected: dict[str, Any]

    def fused(self, flip: bool):
        return self.features + self.mirrored if flip else self.features


def image_case(arguments, expected) -> ImageCase:
    both, *others = ijb_images(**arguments)
    half = both.shape[1] // 2
    return ImageCase(both[:, :half], both[:, half:], *others, expected)


def recipe_inputs(case: ImageCase):
    """The arrays of an image recipe, as its digest covers them."""
    both = np.concatenate([case.features, case.mirrored], axis=1)
    return both, case.templates, case.medias, case.faceness


@pytest.fixture(scope="session")
def ijb_case(golden):
    expected = golden["ijb"]
    images, pairs = expected["arguments"]
    case = image_case(images, expected)
    listed = ijb_pairs(template_id=case.template_id, subject_of=case.subject_of, **pairs)
    assert digest(*recipe_inputs(case), *listed) == expected["input_digest"]
    return case, listed


@pytest.fixture(scope="session")
def search_case(golden):
    expected = golden["one_to_n"]
    images, galleries = expected["arguments"]
    case = image_case(images, expected)
    rows = one_to_many(case.template_id, case.subject_of, **galleries)
    assert digest(*recipe_inputs(case), *(case.template_id[part] for part in rows)) == expected["input_digest"]
    return case, rows


@pytest.fixture(scope="session")
def tiny_case(golden):
    expected = golden["tinyface"]
    faces = tiny_faces(**expected["arguments"])
    assert digest(*faces) == expected["input_digest"]
    return faces, expected
