"""Small trainings in one call, and ways to interrupt them."""

from __future__ import annotations

import csv
from dataclasses import replace

from facebench.errors import DataError
from facebench.schedules import TrainerOptions
from facebench.testing import TinyBackbone, TinyLoss, toy_faces, toy_job
from facebench.training import ClassifierTrainer

LEFT = ["checkpoint.json", "classes-0.safetensors", "classes.json", "metrics.csv", "weights.safetensors"]
QUICK = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "workers": 1}


def fit(folder, *, perturb=None, dataset=None, loss=TinyLoss, backbone=TinyBackbone, change=None, seed=0, **options):
    """Trains and returns the checkpoint, the network, and what was told of the epochs."""
    chosen = TrainerOptions(**(QUICK | options))
    told = []
    job = toy_job(
        folder,
        options=chosen,
        dataset=dataset,
        loss=loss,
        backbone=backbone,
        epoch_ended=lambda epoch, values: told.append((epoch, values)),
        seed=seed,
    )
    job = replace(job, **(change or {}))
    checkpoint = ClassifierTrainer(chosen, perturb=perturb).fit(job)
    return checkpoint, job.backbone, told


def table(folder, name="metrics.csv"):
    """The lines of a table that a training wrote."""
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class Stop:
    """Progress that interrupts at a step."""

    def __init__(self, at):
        self.left = at

    def bar(self, total, what, *, unit="it", start=0):
        self.total, self.start = total, start
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, steps=1, **values):
        self.left -= 1
        if self.left < 0:
            raise Interrupted


class WithHoles:
    """The toys, of which some cannot be read."""

    def __init__(self, holes):
        self._faces = toy_faces()
        self._holes = holes
        self.name, self.keys, self.labels = "holes", self._faces.keys, self._faces.labels
        self.fingerprint = "holes"

    def __len__(self):
        return len(self._faces)

    def __getitem__(self, index):
        if index in self._holes:
            raise DataError(f"{self.keys[index]}: truncated")
        return self._faces[index]
