from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

import facebench
from facebench import hookimpl
from facebench.config import load
from facebench.errors import ConfigError, DataError, DatasetMissing, FacebenchError
from facebench.progress import Bars
from facebench.results import Result
from facebench.runner import run


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def batches(bench):
    """How many batches the toy embedders of this bench have embedded."""
    return sum(len(made.batches) for made in bench.built if not isinstance(made, tuple))


# What a run leaves.


def test_a_training_run_leaves_everything_in_one_folder(bench):
    outcome = bench.run()
    assert everything(outcome.folder) == [
        "checkpoint/checkpoint.json",
        "checkpoint/classes-0.safetensors",
        "checkpoint/classes.json",
        "checkpoint/weights.safetensors",
        "config.toml",
        "results/toy.json",
        "results/toy.scores.npz",
        "run.log",
    ]
    assert outcome.folder.name.endswith(f"-tiny-{bench.plan().fingerprint()}")
    (result,) = outcome.results
    assert Result.load(outcome.folder / "results" / "toy.json") == result
    assert outcome.reused == ()


def test_the_result_says_where_it_comes_from(bench):
    (result,) = bench.run("seed=5", "device=cpu").results
    origin = result.provenance
    assert (origin.facebench, origin.seed, origin.device) == (facebench.__version__, 5, "cpu")
    assert origin.threads == torch.get_num_threads()
    assert origin.packages["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert origin.config == bench.plan("seed=5", "device=cpu").fingerprint()
    assert origin.run == bench.runs[0]
    assert (result.protocol, result.protocol_distribution) == ("toy", "toy-bench 1.0")
    assert (result.data.demo, result.data.version, result.title) == (True, "1", "toy (demo)")
    assert result.data.counts == {"images": 12, "pairs": 2}


@pytest.mark.parametrize(("plugin", "device"), [("means", "cpu"), ("fixed", "unknown")])
def test_the_device_of_an_embedder_is_not_guessed(bench, plugin, device):
    assert bench.run(plugin=plugin).results[0].provenance.device == device


def test_real_data_is_not_called_demo(bench, tmp_path):
    (tmp_path / "toy.txt").write_text("3")
    (result,) = bench.run(plugin="means", data_root=tmp_path).results
    assert (result.data.demo, result.data.version, result.title) == (False, "", "toy")


def test_scores_are_kept_beside_the_result(bench):
    folder = bench.run(plugin="means").folder
    with np.load(folder / "results" / "toy.scores.npz", allow_pickle=False) as stored:
        assert stored["score"].shape == (12,)


def test_the_log_of_a_run_is_in_its_folder(bench):
    folder = bench.run().folder
    text = (folder / "run.log").read_text()
    assert "epoch 2 of 2" in text
    assert "toy: 12 faces embedded" in text
    logger = logging.getLogger("facebench")
    assert not any(isinstance(handler, logging.FileHandler) for handler in logger.handlers)


def test_results_come_in_the_order_asked_for_and_faces_are_embedded_once(bench):
    outcome = bench.run("embedding.batch_size=12", plugin="means", protocols=("toy", "other"))
    assert [result.protocol for result in outcome.results] == ["toy", "other"]
    assert batches(bench) == 2  # the faces and their mirrors; both protocols have the same faces
    assert (outcome.folder / "results" / "other.json").is_file()


def test_resized_pictures_are_a_warning(bench, monkeypatch):
    from facebench.testing import toy_faces

    toy = type(bench.host.catalog.get("protocols", "toy").spec.build(None))
    large = toy_faces(num_classes=3, per_class=4, size=64)
    monkeypatch.setattr(toy, "faces", lambda self, root, /, *, images=True: large)
    (result,) = bench.run(plugin="means").results
    assert result.warnings == ("12 of 12 pictures were resized to 32x32; they were not aligned for it",)


# Tellings.


def test_plugins_are_told_in_order(bench):
    bench.run(protocols=("toy", "other"))
    assert bench.told == [
        ("started", "tiny", True, True),
        ("epoch", 1, True),
        ("epoch", 2, True),
        ("result", "toy", True),
        ("result", "other", True),
        ("ended", ["toy", "other"]),
    ]


def test_a_run_that_fails_is_not_told_as_ended(bench):
    with pytest.raises(DataError):
        bench.run(f"train_data.name={bench.folder / 'absent'}")
    assert [event[0] for event in bench.told] == ["started"]


def test_a_listener_that_fails_does_not_stop_the_run(bench, caplog):
    def facebench_result_ready(run, result):
        raise RuntimeError("tracker is down")

    bench.module.facebench_result_ready = hookimpl(facebench_result_ready)
    bench.upgrade("1.1")
    assert len(bench.run().results) == 1
    assert "tracker is down" in caplog.text
    assert bench.told[-1] == ("ended", ["toy"])


# Again.


def test_the_same_run_again_reuses_its_result(bench):
    first = bench.run(plugin="means")
    done = batches(bench)
    second = bench.run(plugin="means", out=bench.folder / "runs")
    assert second.reused == ("toy",)
    assert second.folder == first.folder
    assert second.results == first.results
    assert batches(bench) == done
    assert bench.told[-2:] == [("result", "toy", True), ("ended", ["toy"])]


def test_adding_a_protocol_neither_trains_nor_embeds_again(bench):
    first = bench.run()
    bench.told.clear()
    second = bench.run(protocols=("toy", "other"))
    assert first.folder != second.folder
    assert not [event for event in bench.told if event[0] == "epoch"]
    assert "12 faces from the cache" in (second.folder / "run.log").read_text()
    assert second.results[0].subject == first.results[0].subject


def test_fresh_does_everything_again_in_a_new_folder(bench, monkeypatch):
    first = bench.run()
    bench.told.clear()
    (bench.folder / "runs" / first.folder.name).rename(
        bench.folder / "runs" / f"20200101-000000{first.folder.name[15:]}"
    )
    second = bench.run(fresh=True)
    assert len(bench.runs) == 2
    assert second.reused == ()
    assert len([event for event in bench.told if event[0] == "epoch"]) == 2
    assert "12 faces embedded" in (second.folder / "run.log").read_text()
    assert second.results[0].metrics == first.results[0].metrics
    assert second.results[0].subject.weights == first.results[0].subject.weights


def test_changed_data_is_evaluated_again(bench, tmp_path):
    (tmp_path / "toy.txt").write_text("3")
    first = bench.run(plugin="means", data_root=tmp_path)
    (tmp_path / "toy.txt").write_text("4")
    second = bench.run(plugin="means", data_root=tmp_path)
    assert second.folder == first.folder
    assert second.reused == ()
    assert second.results[0].data.fingerprint != first.results[0].data.fingerprint
    assert second.results[0].metrics != first.results[0].metrics


def test_changed_weights_are_another_run(bench, tmp_path):
    weights = tmp_path / "w.bin"
    weights.write_text("one")
    first = bench.run(plugin="means", weights=weights)
    weights.write_text("two")
    second = bench.run(plugin="means", weights=weights)
    assert second.folder != first.folder
    assert second.reused == ()


def test_renamed_weights_are_called_by_their_new_name(bench, tmp_path):
    weights = tmp_path / "w.bin"
    weights.write_text("one")
    first = bench.run(plugin="means", weights=weights)
    second = bench.run(plugin="means", weights=weights.rename(tmp_path / "better.bin"))
    assert second.folder == first.folder
    assert second.results[0].subject.model == "better.bin"


def test_training_data_that_was_changed_in_place_is_trained_on(bench, tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = tmp_path / "faces" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    changes = (f"train_data.name={tmp_path / 'faces'}", "trainer.epochs=1", "trainer.batch_size=4")
    first = bench.run(*changes)
    Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    second = bench.run(*changes)
    assert second.folder == first.folder
    assert second.reused == ()
    assert second.results[0].subject.weights != first.results[0].subject.weights


def test_another_version_of_facebench_evaluates_again(bench, monkeypatch):
    bench.run(plugin="means")
    monkeypatch.setattr("facebench.runner.__version__", "99.0")
    assert bench.run(plugin="means").reused == ()


def test_another_version_of_the_plugin_evaluates_again(bench):
    bench.run(plugin="means")
    bench.upgrade("1.1")
    outcome = bench.run(plugin="means")
    assert outcome.reused == ()
    assert outcome.results[0].protocol_distribution == "toy-bench 1.1"


def test_another_version_of_the_embedders_package_alone_evaluates_again(bench):
    folder = bench.run(plugin="means").folder
    path = folder / "results" / "toy.json"
    document = json.loads(path.read_text())
    document["subject"]["distribution"] = "toy-bench 0.9"
    path.write_text(json.dumps(document))
    assert bench.run(plugin="means").reused == ()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"schema_number": 99}'])
def test_a_stored_result_that_cannot_be_read_is_computed_again(bench, text):
    first = bench.run(plugin="means")
    (first.folder / "results" / "toy.json").write_text(text)
    second = bench.run(plugin="means")
    assert second.reused == ()
    assert second.results[0].metrics == first.results[0].metrics
    assert "computed again" in (first.folder / "run.log").read_text()


def test_a_damaged_cache_of_embeddings_does_not_spoil_a_run(bench):
    first = bench.run(plugin="means")
    (vectors,) = (bench.folder / "cache" / "embeddings").glob("*/vectors.npy")
    vectors.write_bytes(vectors.read_bytes()[:-50])
    second = bench.run("protocol.toy.bias=0.5", plugin="means")
    assert second.results[0].metrics[0].value == first.results[0].metrics[0].value + 0.5


def test_the_stored_configuration_is_the_run(bench):
    first = bench.run("seed=2", "loss.margin=0.1", protocols=("other", "toy"))
    stored = load(first.folder / "config.toml", flags={"out": bench.folder / "runs", "cache": bench.folder / "cache"})
    second = run(stored, bench.host, progress=Bars(quiet=True))
    assert second.folder == first.folder
    assert second.reused == ("other", "toy")


def test_a_runs_own_checkpoint_gives_the_same_numbers(bench):
    trained = bench.run("trainer.epochs=1")
    checkpoint = trained.folder / "checkpoint"
    given = bench.run(weights=checkpoint, cache=bench.folder / "other cache")
    assert given.results[0].metrics == trained.results[0].metrics
    assert given.results[0].subject.weights == trained.results[0].subject.weights
    assert not (given.folder / "checkpoint").exists()
    assert given.results[0].subject.model.startswith("tinier + plain, trained on demo")


def test_the_run_keeps_its_weights_when_the_cache_is_gone(bench):
    import shutil

    first = bench.run()
    shutil.rmtree(bench.folder / "cache")
    assert bench.run(weights=first.folder / "checkpoint").results[0].metrics == first.results[0].metrics


# Errors.


def test_missing_data_is_told_before_anything_is_trained(bench, tmp_path):
    with pytest.raises(DatasetMissing, match=r"data for 'other' not found; looked for .*toy.txt; write a number"):
        bench.run(protocols=("other", "toy"), data_root=tmp_path)
    assert bench.built == []
    assert bench.told == []
    assert everything(bench.folder) == []


def test_a_data_root_that_is_no_folder(bench, tmp_path):
    with pytest.raises(FacebenchError, match=r"data root .*absent is not a folder; give --data-root DIR"):
        bench.run(data_root=tmp_path / "absent")
    assert everything(bench.folder) == []


@pytest.mark.parametrize(("plugin", "said"), [("means", "not weights"), ("tiny", "not a readable safetensors file")])
def test_bad_weights_leave_no_run(bench, tmp_path, plugin, said):
    weights = tmp_path / "w.safetensors"
    weights.write_text("broken")
    with pytest.raises(DataError, match=said):
        bench.run(plugin=plugin, weights=weights)
    assert bench.runs == []


def test_absent_weights_leave_no_run(bench, tmp_path):
    with pytest.raises(FacebenchError, match=r"weights .*absent.pth not found; give a checkpoint folder"):
        bench.run(weights=tmp_path / "absent.pth")
    assert bench.runs == []


def test_a_training_that_cannot_begin_leaves_no_run(bench):
    with pytest.raises(DataError):
        bench.run(f"train_data.name={bench.folder / 'absent'}")
    assert bench.runs == []


def test_a_run_that_had_results_keeps_them_when_it_fails(bench, tmp_path):
    (tmp_path / "toy.txt").write_text("3")
    first = bench.run(plugin="means", data_root=tmp_path)
    (tmp_path / "toy.txt").write_text("4")
    made = bench.host.catalog.get("embedders", "means").spec
    build = made.build
    object.__setattr__(made, "build", lambda path, chosen: _Nan(build(path, chosen)))
    with pytest.raises(DataError, match="NaN"):
        bench.run(plugin="means", data_root=tmp_path)
    assert (first.folder / "results" / "toy.json").is_file()


class _Nan:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def embed(self, images, /):
        from facebench import Features

        return Features(np.full((len(images), 12), np.nan, np.float32))


def test_a_new_run_whose_embedding_fails_is_removed(bench):
    made = bench.host.catalog.get("embedders", "means").spec
    build = made.build
    object.__setattr__(made, "build", lambda path, chosen: _Nan(build(path, chosen)))
    with pytest.raises(DataError, match="NaN"):
        bench.run(plugin="means")
    assert bench.runs == []


def test_an_interrupted_run_keeps_its_folder_and_goes_on_in_it(bench, monkeypatch):
    toy = type(bench.host.catalog.get("protocols", "toy").spec.build(None))

    def interrupted(self, embeddings, faces, /, *, seed):
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(toy, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.run()
    (left,) = bench.runs
    bench.told.clear()
    outcome = bench.run()
    assert outcome.folder.name == left
    assert not [event for event in bench.told if event[0] == "epoch"]


def test_an_unknown_device_is_told(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        bench.run(device="cuda")
    assert bench.runs == []
