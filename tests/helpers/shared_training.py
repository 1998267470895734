"""A small training that one process or several can run, for tests of their equality; ``python`` runs it as a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from facebench.config import build_options
from facebench.contracts import Features
from facebench.progress import Bars
from facebench.ranks import joined
from facebench.schedules import TrainerOptions
from facebench.testing import toy_faces, toy_job
from facebench.training import ClassifierTrainer
from facebench_arcface import plugin as arcface
from facebench_sface import plugin as sface
from facebench_topofr import plugin as topofr
from facebench_url import plugin as url

PLUGINS = {"arcface": arcface, "sface": sface, "topofr": topofr, "url": url}


class Plain(nn.Module):
    """A network whose output for a face depends on that face alone, as batch normalisation's would not."""

    embedding_size = 12

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 8, stride=8), nn.Tanh(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(36, self.embedding_size)
        )

    def forward(self, images):
        return Features(self.layers(images))


class Sure(Plain):
    """The same, with confidences of four blocks."""

    def __init__(self):
        super().__init__()
        self.confidence = nn.Linear(self.embedding_size, 4)

    def forward(self, images):
        vectors = super().forward(images).vectors
        return Features(vectors, nn.functional.softplus(self.confidence(vectors)) + 8)


def marked(images, _random, rows):
    """Images as they are, with marks that follow from which faces they are, whoever trains on them."""
    return images, torch.from_numpy(rows[:, None] >> [0, 1, 2] & 1).to(images.dtype)


class Interrupted(Exception):
    """Stands for whatever ends a process."""


class Fuse(Bars):
    """Progress that ends the training after some steps."""

    def __init__(self, steps):
        super().__init__(quiet=True)
        self.left = steps

    def bar(self, total, what, *, unit="it", start=0):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def advance(self, steps=1, **values):
        self.left -= 1
        if self.left < 0:
            raise Interrupted


def train(folder, *, loss="arcface", loss_options=None, fuse=None, **options):
    """Trains, or continues; 5 classes of 12 faces in batches of 12 make 5 steps an epoch."""
    offers = {spec.name: spec for plugin in PLUGINS.values() for spec in plugin.facebench_losses()}
    spec = offers[loss]
    chosen = build_options(spec.options, loss_options or {}, "loss")
    # At 0.05 this training is chaotic: a last bit that differs grows a million-fold and more in 40 steps.
    given = {"epochs": 10, "batch_size": 12, "learning_rate": 0.02, "workers": 1, "log_every": 1} | options
    settings = build_options(TrainerOptions, given, "trainer")
    job = toy_job(
        Path(folder),
        options=settings,
        dataset=toy_faces(num_classes=5, per_class=12),
        backbone=Sure if loss.startswith("url") else Plain,
        loss=lambda classes, size: spec.build(classes, size, chosen),
        progress=Fuse(fuse) if fuse is not None else None,
    )
    try:
        return ClassifierTrainer(settings, perturb=marked if loss.startswith("url") else None).fit(job)
    except Interrupted:
        return None


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu"):
        for name, case in json.loads(sys.argv[2]).items():
            train(Path(sys.argv[1]) / name, **case)
