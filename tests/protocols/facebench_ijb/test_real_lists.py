"""IJB-A's real lists: their published counts, and numbers from features that know who is who."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from facebench import Embeddings
from facebench_ijb.options import SplitOptions
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBA

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def root(real_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("ijba")
    split = root / "IJB-A" / "IJB-A_11_sets" / "split1"
    split.mkdir(parents=True)
    for name in ("verify_metadata_1.csv", "verify_comparisons_1.csv"):
        shutil.copy(real_data / "protocols" / f"ijba_split1_{name}", split / name)
    return root


@pytest.fixture(scope="module")
def faces(root):
    return Janus(IJBA, SplitOptions()).faces(root, images=False)


def vectors(faces, noise):
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(int(faces.labels.max()) + 1, 64))
    found = (centres[faces.labels] + noise * draw.normal(size=(len(faces), 64))).astype(np.float32)
    return Embeddings(keys=np.array(faces.keys), vectors=found, mirrored=found, fingerprint="0" * 16)


def test_counts(faces):
    found = Janus(IJBA, SplitOptions(samples=0)).evaluate(vectors(faces, 1.0), faces, seed=0)
    wanted = {"rows": 17_997, "templates": 1_970, "subjects": 167, "media": 5_362, "pairs": 11_787}
    assert found.counts == wanted | {"genuine": 1_803, "impostor": 9_984}
    assert len(faces) == 8_868
    assert any("search_gallery_1.csv" in said for said in found.warnings)


def test_media_by_file_name_are_those_of_the_column(root, faces, tmp_path):
    source = root / "IJB-A" / "IJB-A_11_sets" / "split1"
    split = tmp_path / "IJB-A" / "IJB-A_11_sets" / "split1"
    split.mkdir(parents=True)
    shutil.copy(source / "verify_comparisons_1.csv", split)
    text = (source / "verify_metadata_1.csv").read_text().replace("MEDIA_ID", "SOMETHING_ELSE", 1)
    (split / "verify_metadata_1.csv").write_text(text)
    other = Janus(IJBA, SplitOptions()).faces(tmp_path, images=False).lists.rows
    rows = faces.lists.rows
    np.testing.assert_array_equal(other.template, rows.template)
    # Equal up to the names of media: each number of one goes with one number of the other.
    couples = np.unique(np.stack([rows.media, other.media], axis=1), axis=0)
    assert len(couples) == len(np.unique(rows.media)) == len(np.unique(other.media))


def test_features_that_know_the_subject(faces):
    found = Janus(IJBA, SplitOptions(samples=20)).evaluate(vectors(faces, 0.0), faces, seed=0)
    assert found.metrics[0].name == "tar@far=1e-3"
    assert found.metrics[0].value == 1.0
    middling = Janus(IJBA, SplitOptions(samples=50)).evaluate(vectors(faces, 3.0), faces, seed=0).metrics[0]
    assert 0.2 < middling.value < 1.0
    assert middling.interval.low < middling.value < middling.interval.high
