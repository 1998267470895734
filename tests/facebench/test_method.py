from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import facebench
from facebench import method as room
from facebench.embed import fingerprint
from facebench.errors import DataError
from facebench.images import encode_jpeg
from facebench.method import obtain, people_in, threads
from facebench.progress import Bars
from facebench.store import Cache
from facebench.testing import check_embedder, toy_faces


def got(bench, *changes, fresh=False, **flags):
    cache = Cache(bench.folder / "cache")
    return obtain(bench.plan(*changes, **flags), cache=cache, fresh=fresh, progress=Bars(quiet=True))


def test_threads_are_those_of_torch():
    assert threads() == torch.get_num_threads()


# Training.


def test_a_trained_method_embeds_and_says_what_it_is(bench):
    found = got(bench)
    check_embedder(found.embedder)
    assert found.embedder.embedding_size == 8
    assert found.subject.model == "tinier + plain, trained on demo"
    assert (found.subject.plugin, found.subject.distribution) == ("tiny", "toy-bench 1.0")
    assert found.subject.weights == found.checkpoint.sha256
    stored = load_file(found.checkpoint.folder / "weights.safetensors")
    assert stored["layers.9.weight"].shape == (8, 64)


def test_the_model_names_what_differs_from_the_defaults(bench):
    said = got(bench, "loss.margin=0.25", "trainer.epochs=1", "seed=4").subject.model
    assert said == "tinier + plain, trained on demo (loss.margin=0.25, trainer.epochs=1, seed=4)"
    # What is said, but is the default, is no difference: a run from its own config.toml is called the same.
    assert got(bench, "loss.margin=0.3", "trainer.epochs=2").subject.model == "tinier + plain, trained on demo"
    said = got(bench, "backbone.name=small", "backbone.width=8", "trainer.epochs=1").subject.model
    assert said == "small + plain, trained on demo (backbone.width=8, trainer.epochs=1)"


def test_a_finished_training_is_not_repeated_unless_fresh(bench):
    first = got(bench)
    told = len(list(first.checkpoint.folder.glob("*")))
    before = (first.checkpoint.folder / "weights.safetensors").stat().st_mtime_ns
    second = got(bench)
    assert (second.checkpoint.folder / "weights.safetensors").stat().st_mtime_ns == before
    third = got(bench, fresh=True)
    assert (third.checkpoint.folder / "weights.safetensors").stat().st_mtime_ns != before
    assert first.subject == second.subject == third.subject
    assert len(list(third.checkpoint.folder.glob("*"))) == told


@pytest.mark.parametrize("change", ["seed=1", "trainer.epochs=1", "backbone.width=4", "train_data.identities=2"])
def test_another_recipe_is_another_training(bench, change):
    assert got(bench).checkpoint.folder != got(bench, change).checkpoint.folder


def test_another_version_of_the_code_is_another_training(bench):
    first = got(bench)
    bench.upgrade("1.1")
    second = got(bench)
    assert first.checkpoint.folder != second.checkpoint.folder
    assert second.subject.distribution == "toy-bench 1.1"


def test_weights_do_not_depend_on_what_happened_before(bench):
    first = got(bench)
    torch.manual_seed(99)
    torch.randn(7)
    assert got(bench, fresh=True).subject.weights == first.subject.weights


def test_epochs_are_told(bench):
    heard = []
    plan = bench.plan("trainer.epochs=3")
    cache = Cache(bench.folder / "cache")
    tell = lambda epoch, values: heard.append((epoch, "loss" in values))  # noqa: E731
    obtain(plan, cache=cache, fresh=False, progress=Bars(quiet=True), epoch_ended=tell)
    assert heard == [(1, True), (2, True), (3, True)]


def test_training_data_without_identities_is_refused(bench, tmp_path):
    from PIL import Image

    (tmp_path / "flat").mkdir()
    for name in "ab":
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "flat" / f"{name}.png")
    with pytest.raises(DataError, match=r"training set 'flat' has 2 faces and no two labelled identities; lay the pic"):
        got(bench, f"train_data.name={tmp_path / 'flat'}")


def test_training_data_that_is_not_there(bench, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        got(bench, f"train_data.name={tmp_path / 'absent'}")


# Weights that are given.


def test_a_checkpoint_is_evaluated_as_it_was_trained(bench):
    trained = got(bench, "backbone.width=5")
    pictures = toy_faces(size=32).batch(np.arange(6))
    folder = bench.folder / "elsewhere"
    shutil.copytree(trained.checkpoint.folder, folder)
    for weights in (folder, folder / "weights.safetensors"):
        given = got(bench, weights=weights)
        np.testing.assert_array_equal(given.embedder.embed(pictures).vectors, trained.embedder.embed(pictures).vectors)
        assert given.subject.weights == trained.subject.weights
        assert given.embedder.fingerprint == trained.embedder.fingerprint
        assert given.subject.model == "tinier + plain, trained on demo"
        assert given.checkpoint is None


def test_the_preprocessing_is_the_checkpoints(bench):
    folder = got(bench).checkpoint.folder
    document = json.loads((folder / "checkpoint.json").read_text())
    document["preprocess"]["mean"] = [1.0, 2.0, 3.0]
    (folder / "checkpoint.json").write_text(json.dumps(document))
    for weights in (folder, folder / "weights.safetensors"):
        assert got(bench, weights=weights).embedder.preprocess.mean == (1.0, 2.0, 3.0)


def test_a_file_of_weights_needs_the_backbone_named(bench):
    folder = got(bench, "backbone.width=16", "backbone.name=small").checkpoint.folder
    file = bench.folder / "loose.safetensors"
    shutil.copy(folder / "weights.safetensors", file)
    given = got(bench, weights=file)
    assert given.subject.model == "small, weights loose.safetensors"
    with pytest.raises(DataError, match="weights do not fit the network"):
        got(bench, "backbone.width=3", weights=file)


def test_networks_of_the_same_weights_are_not_taken_for_each_other(bench):
    """As with transformers that differ in the number of heads: the file is the same, the output is not."""
    folder = got(bench, "backbone.name=small").checkpoint.folder
    file = bench.folder / "w.safetensors"
    shutil.copy(folder / "weights.safetensors", file)
    one, two = got(bench, weights=file), got(bench, "backbone.factor=3", weights=file)
    assert one.subject.weights == two.subject.weights
    faces = toy_faces(size=32)
    assert fingerprint(one.embedder, faces, mirror=True) != fingerprint(two.embedder, faces, mirror=True)


def test_another_device_or_another_torch_embeds_anew(bench, monkeypatch):
    folder = got(bench).checkpoint.folder
    names = {got(bench, weights=folder).embedder.fingerprint}
    with monkeypatch.context() as changed:
        changed.setattr(torch, "__version__", "99.0.0")
        names.add(got(bench, weights=folder).embedder.fingerprint)
    with monkeypatch.context() as changed:
        changed.setattr(room, "device_of", lambda asked: "meta")
        names.add(got(bench, weights=folder).embedder.fingerprint)
    assert len(names) == 3


@pytest.mark.parametrize("name", ["absent.pth", "absent.safetensors", "absent"])
def test_weights_that_are_not_there(bench, tmp_path, name):
    with pytest.raises(DataError, match=r"weights .* not found; give a checkpoint folder"):
        got(bench, weights=tmp_path / name)


def test_an_embedder_is_built_from_its_file(bench, tmp_path):
    (tmp_path / "w.bin").write_text("some")
    found = got(bench, "embedder.scale=2", plugin="means", weights=tmp_path / "w.bin")
    assert found.embedder.scale == 2
    assert (found.subject.model, found.subject.weights) == ("w.bin", found.embedder.fingerprint)
    assert got(bench, plugin="means").subject.model == "means"
    assert found.checkpoint is None


def test_people_are_the_folders_that_pictures_lie_in():
    assert people_in(["Ann/Ann_0001", "set/Bob/Bob_0002", "0000001", "Ann/Ann_0002"]) == {"Ann", "Bob"}


def test_people_who_were_trained_on_are_told(tmp_path):
    random = np.random.default_rng(0)
    for name in ("Ann", "Bob", "Cleo"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in (1, 2, 3):
            picture = random.integers(0, 256, (112, 112, 3), dtype=np.uint8)
            (tmp_path / "images" / name / f"{name}_{number:04d}.jpg").write_bytes(encode_jpeg(picture))
    lines = ["Ann 1 2", "Ann 1 Bob 1", "Bob 1 2", "Ann 2 Bob 2"] * 2
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    (tmp_path / "others").mkdir()
    for name in ("Bob", "Dora"):
        shutil.copytree(tmp_path / "images" / "Bob", tmp_path / "others" / name)
    outcome = facebench.run(
        "arcface",
        "pairs",
        train_data={"name": str(tmp_path / "others")},
        backbone={"name": "tinynet"},
        changes={"trainer": {"epochs": 0}, "protocol": {"pairs": {"folds": 2, "samples": 0}}},
        data_root=tmp_path,
        out=tmp_path / "runs",
        cache=tmp_path / "cache",
        device="cpu",
        quiet=True,
    )
    (warning,) = [text for text in outcome.results[0].warnings if "training set" in text]
    assert warning.startswith("1 of 2 people of pairs bear names of the training set (such as 'Bob')")
