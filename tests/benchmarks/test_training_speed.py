"""Training on JPEG files against training on pixels that lie in memory.

    pytest tests/benchmarks/test_training_speed.py -p no:xdist --benchmark-only

On a network that needs 5 ms or more for a face, reading and decoding must hide behind its work: the images per second
with real files are at least 95 % of those without. Both trainings are run in turns, and medians are compared. The network
computes on all cores but one: threads that share every core with decoders wait for each other at each barrier.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
import torch

from facebench.datasets import TarImages
from facebench.schedules import TrainerOptions
from facebench.testing import ToyFaces, toy_faces, toy_job
from facebench.training import ClassifierTrainer
from facebench_backbones.plugin import facebench_backbones

FACES, BATCH, TURNS = 128, 32, 5


def as_tar(faces, path):
    """The faces as a tar of JPEGs of quality 95, a folder for each class."""
    with tarfile.open(path, "w") as tar:
        for index in range(len(faces)):
            face = faces[index]
            data = simplejpeg.encode_jpeg(np.ascontiguousarray(face.image), quality=95)
            member = tarfile.TarInfo(f"{face.label}/{index:05d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return TarImages(path)


@pytest.fixture(autouse=True)
def a_core_for_the_decoders():
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    yield
    torch.set_num_threads(before)


def test_reading_hides_behind_the_network(benchmark, tmp_path):
    specs = {spec.name: spec for spec in facebench_backbones()}
    spec = specs["mobilefacenet"]
    files = as_tar(toy_faces(num_classes=8, per_class=FACES // 8), tmp_path / "faces.tar")
    memory = ToyFaces(np.stack([files[index].image for index in range(FACES)]), files.labels.copy(), 0)
    options = TrainerOptions(epochs=1, batch_size=BATCH, learning_rate=0.01)
    turns = iter(range(1000))

    def speed(dataset):
        job = toy_job(
            tmp_path / str(next(turns)), options=options, dataset=dataset, backbone=lambda: spec.build(spec.options())
        )
        told = []
        job = replace(job, epoch_ended=lambda _epoch, values: told.append(values["images_per_second"]))
        ClassifierTrainer(options).fit(job)
        return told[0]

    def in_turns():
        return [(speed(files), speed(memory)) for _ in range(TURNS)]

    start = time.perf_counter()
    pairs = np.array(benchmark.pedantic(in_turns, rounds=1, iterations=1))
    benchmark.extra_info["seconds"] = round(time.perf_counter() - start, 1)
    with_files, without = np.median(pairs, axis=0)
    benchmark.extra_info["images/s with JPEG files"] = round(with_files, 1)
    benchmark.extra_info["images/s from memory"] = round(without, 1)
    benchmark.extra_info["ratio"] = round(with_files / without, 3)
    assert 1000 / without >= 5, "the network is too quick for this comparison"
    assert with_files / without >= 0.95
