"""A benchmark written to disk in the layouts that users have, from the recipes behind the golden numbers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facebench import Embeddings

GOLDEN = Path(__file__).parents[2] / "golden" / "protocols.json"


def digest(*arrays: npt.NDArray[Any]) -> str:
    """Short check of rebuilt inputs: shapes, and a hash of values rounded to 1e-4."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr(array.shape).encode())
        total.update((np.round(array.astype(np.float64), 4) + 0.0).astype("<f8").tobytes())
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class Made:
    """Pictures of templates, as a recipe makes them; the mirrored halves apart."""

    features: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32]
    template: npt.NDArray[np.int64]
    media: npt.NDArray[np.int64]
    faceness: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int64]
    subject_of: npt.NDArray[np.int64]

    def embeddings(self) -> Embeddings:
        keys = np.array([str(row + 1) for row in range(len(self.media))])
        return Embeddings(keys=keys, vectors=self.features, mirrored=self.mirrored, fingerprint="0" * 16)


def ijb_images(seed, images, templates, subjects, medias, dim, noise) -> Made:
    draw = np.random.RandomState(seed)
    subject_of = np.arange(templates) % subjects
    ids = 7 + 3 * np.arange(templates)
    which = np.concatenate([np.arange(templates), draw.randint(0, templates, images - templates)])
    media = draw.randint(1, medias + 1, images)
    centre = draw.standard_normal((subjects, dim))
    quality = draw.uniform(0.2, 1.0, images)
    plain = quality[:, None] * centre[subject_of[which]] + noise * draw.standard_normal((images, dim))
    flipped = plain + 0.3 * draw.standard_normal((images, dim))
    scale = (0.5 + quality)[:, None]
    features, mirrored = (scale * plain).astype(np.float32), (scale * flipped).astype(np.float32)
    faceness = np.round(draw.uniform(0.1, 1.0, images), 3).astype(np.float32)
    return Made(features, mirrored, ids[which], media, faceness, ids, subject_of)


def ijb_pairs(seed, pairs, genuine, ids, subject_of):
    draw = np.random.RandomState(seed)
    templates, subjects = len(ids), int(subject_of.max()) + 1
    left = draw.randint(0, subjects, genuine)
    right = left + subjects * draw.randint(1, templates // subjects, genuine)
    a = np.concatenate([left, draw.randint(0, templates, pairs - genuine)])
    b = np.concatenate([right, draw.randint(0, templates, pairs - genuine)])
    return ids[a], ids[b], (subject_of[a] == subject_of[b]).astype(np.int64)


def write_release(root: Path, made: Made, *, pairs=None, sides=None, folder: str = "IJBC", name: str = "ijbc") -> Path:
    """Writes the text lists; returns the folder ``meta``."""
    meta = root / folder / "meta"
    meta.mkdir(parents=True)
    count = len(made.media)
    dots = "46.060 62.026 87.785 60.323 68.851 77.656 52.162 99.875 86.450 98.648"
    lines = [f"{row + 1}.jpg {dots} {made.faceness[row]:.3f}" for row in range(count)]
    (meta / f"{name}_name_5pts_score.txt").write_text("\n".join(lines) + "\n")
    lines = [f"{row + 1}.jpg {made.template[row]} {made.media[row]}" for row in range(count)]
    (meta / f"{name}_face_tid_mid.txt").write_text("\n".join(lines) + "\n")
    if pairs is not None:
        lines = [" ".join(map(str, row)) for row in zip(*pairs, strict=True)]
        (meta / f"{name}_template_pair_label.txt").write_text("\n".join(lines) + "\n")
    for title, (templates, subjects) in (sides or {}).items():
        lines = ["TEMPLATE_ID,SUBJECT_ID,FILENAME"]
        for template, subject in zip(templates, subjects, strict=True):
            rows = np.flatnonzero(made.template == template)
            lines += [f"{template},{subject},img/{row}.jpg" for row in rows]  # one line for each picture
        (meta / f"{name}_1N_{title}.csv").write_text("\n".join(lines) + "\n")
    return meta


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def verification_case(golden):
    """The golden 1:1 case: pictures, pairs and what is expected."""
    case = golden["ijb"]
    made = ijb_images(**case["arguments"][0])
    pairs = ijb_pairs(**case["arguments"][1], ids=made.ids, subject_of=made.subject_of)
    both = np.concatenate([made.features, made.mirrored], axis=1)
    assert digest(both, made.template, made.media, made.faceness, *pairs) == case["input_digest"]
    return made, pairs, case


@pytest.fixture(scope="session")
def search_case(golden):
    """The golden 1:N case: pictures, galleries and probes by file title, and what is expected."""
    case = golden["one_to_n"]
    made = ijb_images(**case["arguments"][0])
    subjects, first = int(made.subject_of.max()) + 1, case["arguments"][1]["first_gallery"]
    parts = np.split(np.arange(len(made.ids)), [first, subjects])
    sides = {
        title: (made.ids[part], made.subject_of[part])
        for title, part in zip(("gallery_G1", "gallery_G2", "probe_mixed"), parts, strict=True)
    }
    both = np.concatenate([made.features, made.mirrored], axis=1)
    templates = [side[0] for side in sides.values()]
    assert digest(both, made.template, made.media, made.faceness, *templates) == case["input_digest"]
    return made, sides, case


@pytest.fixture
def small() -> Made:
    """Forty pictures of twelve templates of four people."""
    return ijb_images(seed=1, images=40, templates=12, subjects=4, medias=3, dim=8, noise=0.3)


@pytest.fixture
def small_pairs(small):
    """Every enrolled template (the first of a person) with every other one."""
    first, second = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(4, 12), indexing="ij"))
    return small.ids[first], small.ids[second], (first == second % 4).astype(np.int64)


@pytest.fixture
def small_sides(small):
    parts = {"gallery_G1": [0, 1], "gallery_G2": [2, 3], "probe_mixed": list(range(4, 12))}
    return {title: (small.ids[part], small.subject_of[part]) for title, part in parts.items()}


@pytest.fixture(scope="session", name="write_release")
def _write_release():
    return write_release
