from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facebench.checkpoints import load_weights, read_checkpoint, save_checkpoint, sha256_of, storable
from facebench.contracts import Preprocess, Recipe
from facebench.errors import DataError
from facebench.testing import TinyBackbone

RECIPE = Recipe("tiny", {"depth": 2}, "arcface", {"margin": 0.5}, "toy", "abc", "0123")
PREPROCESS = Preprocess(size=(96, 112), color="bgr", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))


def network(seed):
    torch.manual_seed(seed)
    return TinyBackbone()


def same(one, two):
    other = two.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())


@pytest.fixture
def stored(tmp_path):
    backbone = network(1)
    return backbone, save_checkpoint(tmp_path / "stored", backbone, recipe=RECIPE, preprocess=PREPROCESS)


def test_a_checkpoint_comes_back_whole(stored):
    backbone, checkpoint = stored
    assert read_checkpoint(checkpoint.folder) == checkpoint
    assert (checkpoint.recipe, checkpoint.preprocess, checkpoint.embedding_size) == (RECIPE, PREPROCESS, 16)
    other = network(2)
    assert not same(backbone, other)
    assert load_weights(checkpoint.folder, other) == checkpoint.sha256
    assert same(backbone, other)
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == ["checkpoint.json", "weights.safetensors"]


def test_the_memory_layout_of_the_network_does_not_matter(stored, tmp_path):
    _, checkpoint = stored
    moved = network(1).to(memory_format=torch.channels_last)
    again = save_checkpoint(tmp_path / "again", moved, recipe=RECIPE, preprocess=PREPROCESS)
    assert again.sha256 == checkpoint.sha256


def change(document, **values):
    document.write_text(json.dumps(json.loads(document.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "checkpoint.json").unlink(), "no checkpoint in"),
        (lambda folder: (folder / "checkpoint.json").write_text("{"), "not a readable checkpoint document"),
        (lambda folder: (folder / "checkpoint.json").write_text("[]"), "not a checkpoint document"),
        (lambda folder: change(folder / "checkpoint.json", schema_number=2), "newer than this facebench"),
        (lambda folder: change(folder / "checkpoint.json", embedding_size=-1), "embedding_size"),
        (lambda folder: change(folder / "checkpoint.json", surprise=1), "surprise"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "damaged or exchanged"),
    ],
)
def test_damage_is_told_in_one_line(stored, damage, message):
    folder = stored[1].folder
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        read_checkpoint(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_an_impossible_preprocess_is_damage_too(stored):
    document = stored[1].folder / "checkpoint.json"
    plain = json.loads(document.read_text())
    plain["preprocess"]["color"] = "cmyk"
    document.write_text(json.dumps(plain))
    with pytest.raises(DataError, match="cmyk"):
        read_checkpoint(document.parent)


def test_weights_beside_a_document_are_verified_against_it(stored):
    weights = stored[1].folder / "weights.safetensors"
    save_file(storable(network(3).state_dict()), weights)
    with pytest.raises(DataError, match="damaged or exchanged"):
        load_weights(weights, network(0))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_plain_files_load(tmp_path, suffix):
    backbone, path = network(1), tmp_path / f"weights{suffix}"
    write = save_file if suffix == ".safetensors" else torch.save
    write(storable(backbone.state_dict()), path)
    other = network(2)
    assert load_weights(path, other) == sha256_of(path)
    assert same(backbone, other)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"module.backbone.{name}": value for name, value in state.items()},
        lambda state: {f"backbone.{name}": value for name, value in state.items()} | {"head.weight": torch.ones(2)},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
        lambda state: {name: value.double() if value.is_floating_point() else value for name, value in state.items()},
    ],
)
def test_what_wrappers_do_to_a_state_is_undone(tmp_path, wrap):
    backbone, other = network(1), network(2)
    torch.save(wrap(backbone.state_dict()), tmp_path / "net.pth")
    load_weights(tmp_path / "net.pth", other)
    assert same(backbone, other)
    assert all(value.dtype == torch.float32 for value in other.parameters())


def test_a_misfit_names_the_first_of_each_kind(tmp_path):
    state = dict(network(1).state_dict())
    state["extra"] = torch.ones(1)
    del state["layers.0.weight"]
    state["layers.9.bias"] = torch.ones(3)
    torch.save(state, tmp_path / "net.pth")
    other = network(2)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_weights(tmp_path / "net.pth", other)
    text = str(caught.value)
    for part in ("1 missing (first 'layers.0.weight')", "1 unexpected (first 'extra')", "[3], the network has [16]"):
        assert part in text
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_infinite_weights_are_refused(tmp_path):
    state = network(1).state_dict()
    state["layers.9.bias"][2] = float("nan")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(DataError, match=r"'layers.9.bias' holds NaN"):
        load_weights(tmp_path / "net.pth", network(2))


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_file_is_not_run(tmp_path, write):
    write({"weight": Bomb(tmp_path / "ran")}, tmp_path / "net.pth")
    with pytest.raises(DataError, match="refused"):
        load_weights(tmp_path / "net.pth", network(0))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.pth", b"", "not a plain PyTorch state dict"),
        ("net.pth", b"garbage here", "not a plain PyTorch state dict"),
        ("net.safetensors", b"garbage here", "not a readable safetensors file"),
        ("net.onnx", b"", "unknown kind of weights '.onnx'"),
    ],
)
def test_other_files_are_told_apart(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_weights(tmp_path / name, network(0))


def test_an_absent_file_and_a_lone_tensor_are_told(tmp_path):
    with pytest.raises(DataError, match="not found"):
        load_weights(tmp_path / "nothing.pth", network(0))
    torch.save(torch.ones(3), tmp_path / "one.pth")
    with pytest.raises(DataError, match="not a state dict"):
        load_weights(tmp_path / "one.pth", network(0))
    torch.save({"epoch": 3}, tmp_path / "two.pth")
    with pytest.raises(DataError, match="'epoch' is int"):
        load_weights(tmp_path / "two.pth", network(0))


def test_tied_weights_are_stored_twice():
    layer = nn.Linear(3, 3)
    ready = storable({"one": layer.weight, "two": layer.weight})
    assert ready["one"].data_ptr() != ready["two"].data_ptr()
    assert torch.equal(ready["one"], ready["two"])
    with pytest.raises(DataError, match="'other' is dict"):
        storable({"other": {}})  # type: ignore[dict-item]


def test_a_changed_recipe_is_another_checkpoint(stored):
    assert replace(stored[1].recipe, fingerprint="9") != stored[1].recipe


def test_what_a_training_started_from_is_stored(tmp_path):
    recipe = replace(RECIPE, start="ab" * 32)
    checkpoint = save_checkpoint(tmp_path / "tuned", network(1), recipe=recipe, preprocess=PREPROCESS)
    assert read_checkpoint(checkpoint.folder).recipe.start == "ab" * 32


def test_checkpoints_that_say_nothing_of_a_start_are_read(stored):
    path = stored[1].folder / "checkpoint.json"
    document = json.loads(path.read_text())
    del document["recipe"]["start"]
    path.write_text(json.dumps(document))
    assert read_checkpoint(path.parent).recipe == RECIPE
