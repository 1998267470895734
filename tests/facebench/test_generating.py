from __future__ import annotations

import json

import numpy as np
import pytest

from facebench import DataError, FacebenchError
from facebench.datasets import open_images


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_generator_is_judged_by_its_faces_and_by_what_they_teach(bench):
    outcome = bench.run(plugin="maker", protocols=("judged", "toy"))
    judged, toy = outcome.results
    assert (judged.protocol, toy.protocol) == ("judged", "toy")
    assert judged.subject.plugin == toy.subject.plugin == "maker"
    assert judged.data.counts == {"images": 12, "reference": 16, "beside": 12}
    assert toy.data.counts == {"images": 12, "pairs": 2}
    assert judged.data.demo and toy.data.demo
    assert judged.subject.model == "maker after tinier, trained on demo"
    assert judged.subject.notes["judge"].startswith("tinier + plain, trained on demo")
    assert toy.subject.model.startswith("tinier + plain, trained on maker-3x4-")
    assert judged.subject.weights != toy.subject.weights
    assert not any("favours" in warning for warning in judged.warnings)
    assert (outcome.folder / "checkpoint" / "checkpoint.json").is_file()
    assert ("epoch", 1, True) in bench.told


def test_running_again_draws_and_trains_nothing(bench):
    first = bench.run(plugin="maker", protocols=("judged", "toy"))
    again = bench.run(plugin="maker", protocols=("judged", "toy"))
    assert again.folder == first.folder
    assert again.reused == ("judged", "toy")
    fresh = bench.run(plugin="maker", protocols=("judged", "toy"), fresh=True)
    assert fresh.reused == ()
    assert [one.metrics for one in fresh.results] == [one.metrics for one in first.results]


def test_other_drawings_need_no_other_training(bench):
    bench.run(plugin="maker", protocols=("judged",))
    before = len(bench.built)
    outcome = bench.run("generation.images_per_id=5", plugin="maker", protocols=("judged",))
    assert outcome.results[0].data.counts["images"] == 15
    # Trainers are built and find their work done; nobody hears of an epoch.
    assert [one for one in bench.told if one[0] == "epoch"] == [("epoch", 1, True)]
    assert len(bench.built) > before


def test_a_judge_that_the_generator_learned_from_is_told(bench):
    outcome = bench.run("judge.seed=0", "judge.trainer.epochs=2", plugin="maker", protocols=("judged",))
    assert any("the judge is the network that the generator learned from" in one for one in outcome.results[0].warnings)


def test_a_result_says_what_was_unusual(bench):
    changes = ("generation.images_per_id=5", "generation.contrast=2", "generator.epochs=2")
    outcome = bench.run(*changes, plugin="maker", protocols=("judged", "toy"), seed=3)
    judged, toy = (one.subject.model for one in outcome.results)
    told = "(generator.epochs=2) (generation.images_per_id=5, generation.contrast=2.0, seed=3)"
    assert judged == f"maker after tinier, trained on demo {told}"
    assert toy.endswith("(generator.epochs=2, generation.images_per_id=5, generation.contrast=2.0, seed=3)")


def test_a_mixed_training_has_both(bench):
    outcome = bench.run("downstream.faces=mixed", plugin="maker", protocols=("toy",))
    assert outcome.results[0].subject.model.endswith("(demo and generated faces)")
    alone = bench.run(plugin="maker", protocols=("toy",))
    assert alone.results[0].subject.weights != outcome.results[0].subject.weights


def test_drawn_people_are_no_yardstick_for_photographs(bench, tmp_path):
    assert bench.generate(tmp_path / "faces")[0].faces == 12
    outcome = bench.run(
        "generation.identities=2",
        "generation.images_per_id=2",
        plugin="maker",
        protocols=("judged",),
        train_data={"name": str(tmp_path / "faces")},
    )
    assert outcome.results[0].data.counts == {"images": 4, "reference": 12, "beside": 0}
    assert not outcome.results[0].data.demo


def test_faces_are_drawn_into_a_folder_of_ones_own(bench, tmp_path):
    generated, checkpoint = bench.generate(tmp_path / "faces")
    faces = open_images(tmp_path / "faces")
    assert (len(faces), faces.num_classes, generated.faces) == (12, 3, 12)
    manifest = json.loads((tmp_path / "faces" / "manifest.json").read_text())
    assert manifest["described"]["checkpoint"] == checkpoint.sha256
    assert np.load(tmp_path / "faces" / "identities.npy").shape == (3, 8)
    assert bench.generate(tmp_path / "faces")[0].reused
    with pytest.raises(FacebenchError):
        bench.generate(tmp_path / "faces", seed=3)


def test_a_kept_checkpoint_draws_the_same(bench, tmp_path):
    trained = bench.train(plugin="maker")
    kept = trained.checkpoint.folder
    bench.generate(tmp_path / "one")
    bench.generate(tmp_path / "two", weights=kept)
    one, two = everything(tmp_path / "one"), everything(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one)
    outcome = bench.run(plugin="maker", protocols=("judged",), weights=kept)
    assert outcome.results[0].subject.weights == trained.checkpoint.sha256


def test_a_checkpoint_of_something_else_is_refused(bench):
    network = bench.train().checkpoint.folder
    with pytest.raises(DataError, match="hold a network, 'tinier', not the generator 'maker'"):
        bench.run(plugin="maker", protocols=("judged",), weights=network)
