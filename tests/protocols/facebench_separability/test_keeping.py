from __future__ import annotations

import logging

import numpy as np
import pytest

from facebench_separability import sides
from facebench_separability.keeping import PassFile


def test_a_state_comes_back(tmp_path):
    file = PassFile(tmp_path, "data", [0.3])
    assert file.load() is None
    file.save({"done": np.array(3), "previous": np.arange(4.0)})
    file.save({"done": np.array(5), "previous": np.arange(6.0)})
    found = PassFile(tmp_path, "data", [0.3]).load()
    assert int(found["done"]) == 5
    assert found["previous"].tolist() == list(range(6))
    assert PassFile(tmp_path, "beside", [0.3]).load() is None
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_damaged_file_is_none(tmp_path, content):
    file = PassFile(tmp_path, "data")
    file.path.write_bytes(content)
    assert file.load() is None


def test_a_folder_that_refuses_costs_only_the_way_back(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        PassFile(tmp_path / "file", "data").save({"done": np.array(1)})
    assert "will begin its comparisons anew" in caplog.text


def test_an_evaluation_takes_up_the_pass_beside_its_embeddings(kit, tmp_path, monkeypatch):
    real, kept = sides.neighbours, []

    def noting(vectors, thresholds, *, device, keep):
        kept.append(keep)
        return real(vectors, thresholds, device=device, keep=keep)

    monkeypatch.setattr(sides, "neighbours", noting)
    faces = kit.protocol().faces_of(kit.people(8, 2), beside=kit.people(8, 2, first=50))
    values = kit.vectors(faces)
    one = kit.protocol().evaluate(kit.embeddings(faces, values, folder=tmp_path), faces, seed=0)
    assert {keep.path.parent for keep in kept} == {tmp_path}
    assert len({keep.path for keep in kept}) == 2
    other = kit.protocol(means="unit").evaluate(kit.embeddings(faces, values, folder=tmp_path), faces, seed=0)
    assert len({keep.path for keep in kept}) == 4
    assert kit.protocol().evaluate(kit.embeddings(faces, values), faces, seed=0).metrics == one.metrics != other.metrics
    assert kept[-2:] == [None, None]
