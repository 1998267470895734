"""State on disk: whatever number of processes wrote it, any number reads it."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from facebench import resume
from facebench.errors import DataError
from facebench.ranks import World


def written(folder, matrix, processes):
    """A state as so many processes would have left it: rows of ``matrix`` split, ``shared`` in the first file."""
    block = -(-len(matrix) // processes)
    files = {}
    for rank in range(processes):
        first, stop = min(rank * block, len(matrix)), min((rank + 1) * block, len(matrix))
        tensors = {"loss/matrix": matrix[first:stop].contiguous()}
        if rank == 0:
            tensors |= {"loss/shared": torch.arange(3.0), "loss/count": torch.tensor(7)}
        save_file(tensors, folder / f"state-5-{rank}.safetensors")
        files[f"state-5-{rank}.safetensors"] = {"loss/matrix": [first, stop]}
    document = {"schema_number": resume.SCHEMA_NUMBER, "files": files, "values": {"epoch": 2}}
    (folder / "state.json").write_text(json.dumps(document))


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 11), writers=st.integers(1, 4), readers=st.integers(1, 4))
def test_rows_are_read_by_another_number_of_processes(tmp_path_factory, rows, writers, readers):
    folder = tmp_path_factory.mktemp("state")
    matrix = torch.randn(rows, 3)
    written(folder, matrix, writers)
    saved = resume.load_state(folder)
    assert saved.values == {"epoch": 2}
    assert set(saved.names("loss")) == {"matrix", "shared", "count"}
    assert torch.equal(saved.read("loss/matrix"), matrix)
    assert torch.equal(saved.read("loss/shared"), torch.arange(3.0)) and saved.read("loss/count") == 7
    pieces = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(readers):
            patch.setattr("facebench.sharding.world", lambda rank=rank: World(rank, readers))
            pieces.append(saved.read("loss/matrix", split=True))
    assert torch.equal(torch.cat(pieces), matrix)


def test_what_one_process_saved_whole_is_split_among_readers(tmp_path, monkeypatch):
    matrix = torch.randn(5, 2)
    resume.save_state(tmp_path, 1, {"loss/matrix": matrix}, {})
    monkeypatch.setattr("facebench.sharding.world", lambda: World(1, 2))
    assert torch.equal(resume.load_state(tmp_path).read("loss/matrix", split=True), matrix[3:])


def test_a_new_state_replaces_the_old_in_one_step(tmp_path):
    resume.save_state(tmp_path, 1, {"a/b": torch.zeros(2)}, {"step": 1})
    (tmp_path / ".state-1-0-abc.safetensors").write_bytes(b"left by a killed process")
    resume.save_state(tmp_path, 2, {"a/b": torch.ones(2)}, {"step": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-2x1-0.safetensors", "state.json"]
    assert resume.load_state(tmp_path).values == {"step": 2}
    resume.forget_state(tmp_path)
    assert list(tmp_path.iterdir()) == [] and resume.load_state(tmp_path) is None


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{}",
        '{"schema_number": 1, "file": "state-1.safetensors", "values": {}}',
        '{"schema_number": 2, "files": {"../elsewhere.safetensors": {}}, "values": {}}',
        '{"schema_number": 2, "files": {"absent.safetensors": {}}, "values": {}}',
        '{"schema_number": 2, "files": {"state-1x1-0.safetensors": {"a/b": ["x", 2]}}, "values": {}}',
    ],
)
def test_a_document_that_makes_no_sense_is_told(tmp_path, document):
    resume.save_state(tmp_path, 1, {"a/b": torch.zeros(2)}, {})
    (tmp_path / "state.json").write_text(document)
    with pytest.raises(DataError, match="state of the training cannot be read"):
        resume.load_state(tmp_path)
