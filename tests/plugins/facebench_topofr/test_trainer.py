"""The TopoFR trainers: what the network and the loss are shown, what is trained, what is drawn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from facebench import TrainerOptions
from facebench.contracts import Features
from facebench.schedules import rate_at
from facebench.testing import TinyBackbone, TinyLoss, check_trainer, toy_job
from facebench.training import ClassifierTrainer
from facebench_topofr.options import TopoFRTrainerOptions
from facebench_topofr.plugin import facebench_losses, facebench_trainers
from facebench_topofr.trainer import free_last_scale

LOSSES = {spec.name: spec for spec in facebench_losses()}
TRAINERS = {spec.name: spec for spec in facebench_trainers()}
QUICK = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "workers": 1}


def made(name, **chosen):
    spec = LOSSES[name]
    return lambda classes, size: spec.build(classes, size, spec.options(**chosen))


def fit(folder, name="topofr", *, loss=None, backbone=TinyBackbone, change=None, **options):
    spec = TRAINERS[name]
    chosen = spec.options(**(QUICK | options))
    job = toy_job(folder, options=chosen, loss=loss or made(spec.loss), backbone=backbone)
    job = dataclasses.replace(job, **(change or {}))
    return spec.build(chosen).fit(job), job


class Watching(TinyLoss):
    """Keeps what it was shown."""

    def __init__(self, num_classes, embedding_size):
        super().__init__(num_classes, embedding_size)
        self.seen = []

    def forward(self, batch, features):
        source = batch.images if batch.source is None else batch.source
        self.seen += zip(batch.images.clone(), source.clone(), strict=True)
        return super().forward(batch, features)


class Normed(TinyBackbone):
    """Ends with a normalisation whose scale is frozen, as networks for faces do."""

    def __init__(self):
        super().__init__()
        self.inner = nn.BatchNorm1d(16)
        self.last = nn.BatchNorm1d(16)
        for norm in (self.inner, self.last):
            norm.weight.requires_grad_(False)

    def forward(self, images):
        return Features(self.last(self.inner(super().forward(images).vectors)))


@pytest.mark.parametrize(("perturbed", "leak", "equal"), [(0.0, "none", 1), (1.0, "none", 0), (1.0, "all", 1)])
def test_what_the_loss_compares_with(tmp_path, perturbed, leak, equal):
    _, job = fit(tmp_path, loss=Watching, perturbed=perturbed, leak=leak)
    assert len(job.loss.seen) == 32
    assert sum(torch.equal(*pair) for pair in job.loss.seen) == 32 * equal


def test_only_erased_faces_leak_in_the_release(tmp_path):
    _, job = fit(tmp_path, "topofr-release", loss=Watching, perturbed=1.0, epochs=4)
    # A hole has 2 % of the pixels at least. The narrowest blurs change nothing, so a few more are equal than were erased.
    erased = [bool((image == 0).all(0).double().mean() > 0.015) for image, _ in job.loss.seen]
    equal = [torch.equal(image, source) for image, source in job.loss.seen]
    assert 15 < sum(erased) < 50  # of 128, one in four
    assert all(same for same, gone in zip(equal, erased, strict=True) if gone)
    assert sum(equal) - sum(erased) < 8


def test_a_loss_without_perturbation_is_the_stock_training(tmp_path):
    found, _ = fit(tmp_path / "one", loss=TinyLoss, perturbed=0.0, power=1.0)
    job = toy_job(tmp_path / "other", options=None)
    assert ClassifierTrainer(TrainerOptions(**QUICK)).fit(job).sha256 == found.sha256


@pytest.mark.parametrize("free", [True, False])
def test_the_last_scale_is_free(tmp_path, free):
    _, job = fit(tmp_path, backbone=Normed, free_scale=free)
    assert bool((job.backbone.last.weight != 1).any()) == free
    assert (job.backbone.inner.weight == 1).all()


def test_networks_without_such_a_scale_are_left_alone():
    free_last_scale(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False)))


def test_figures_of_the_mixture(tmp_path):
    _, job = fit(tmp_path / "one", epochs=4, figure_every=2)
    drawn = sorted(path.name for path in (job.folder / "figures").iterdir())
    assert drawn == [f"mixture-{epoch}.{form}" for epoch in (2, 4) for form in ("png", "svg")]
    picture = (job.folder / "figures" / "mixture-4.svg").read_text()
    assert picture.startswith("<?xml") and "</svg>" in picture
    fit(tmp_path / "two", epochs=4, figure_every=2)
    for name in drawn:
        assert (tmp_path / "one" / "figures" / name).read_bytes() == (tmp_path / "two" / "figures" / name).read_bytes()


@pytest.mark.parametrize(("name", "options"), [("topofr", {"figure_every": 0}), ("topofr-p", {"figure_every": 1})])
def test_no_figure_without_a_mixture_or_where_none_is_wanted(tmp_path, name, options):
    _, job = fit(tmp_path, name, **options)
    assert not (job.folder / "figures").exists()


def test_epochs_are_told_on(tmp_path):
    told = []
    fit(tmp_path, epochs=2, change={"epoch_ended": lambda epoch, values: told.append((epoch, "damage" in values))})
    assert told == [(1, True), (2, True)]


@pytest.mark.parametrize(
    ("network", "chosen", "alpha"),
    [("iresnet50", {}, 0.1), ("iresnet100", {}, 0.05), ("iresnet100", {"alpha": 0.2}, 0.2), ("x", {"alpha": 0.0}, 0.0)],
)
def test_deep_networks_have_another_alpha_in_the_paper(tmp_path, network, chosen, alpha):
    recipe = dataclasses.replace(toy_job(tmp_path, options=None).recipe, backbone=network)
    _, job = fit(tmp_path, loss=made("topofr", **chosen), change={"recipe": recipe})
    assert job.loss.alpha == alpha


def test_the_learning_rate_falls_with_the_square():
    options = TopoFRTrainerOptions(learning_rate=0.1)
    steps = 341_160
    found = [rate_at(steps * epoch // 30, steps=steps, warmup=0, chosen=options) for epoch in (0, 10, 20, 29)]
    assert found == pytest.approx([0.1, 0.044444, 0.011111, 0.000111], abs=5e-7)


def test_what_a_name_stands_for():
    chosen = {name: (spec.loss, spec.options()) for name, spec in TRAINERS.items()}
    assert {name: loss for name, (loss, _) in chosen.items()} == {
        "topofr": "topofr",
        "topofr-paper": "topofr-paper",
        "topofr-release": "topofr-release",
        "topofr-r": "arcface",
        "topofr-a": "topofr-p",
        "topofr-p": "topofr-p",
        "topofr-f": "topofr-f",
        "topofr-g": "topofr-g",
    }
    assert [name for name, (_, one) in chosen.items() if one.perturbed == 0] == ["topofr-a"]
    assert {one.perturbed for _, one in chosen.values()} == {0.0, 0.2}
    assert [name for name, (_, one) in chosen.items() if one.leak != "none"] == ["topofr-release"]
    assert {one.power for _, one in chosen.values()} == {2.0}


@pytest.mark.parametrize("name", [name for name in TRAINERS if name != "topofr-r"])
def test_contract(name, tmp_path):
    check_trainer(TRAINERS[name], tmp_path, loss=made(TRAINERS[name].loss), backbone=Normed, perturbed=0.5)


def test_it_learns(tmp_path):
    told = []
    fit(
        tmp_path,
        epochs=20,
        learning_rate=0.05,
        figure_every=0,
        backbone=Normed,
        change={"epoch_ended": lambda _epoch, values: told.append(values)},
    )
    assert told[-1]["accuracy"] > 0.9
    assert told[-1]["discrepancy"] < 0.7 * told[0]["discrepancy"]
    assert told[-1]["target_cosine"] > told[0]["target_cosine"] + 0.3
