"""Whether the small generator draws the person it was told to: trained on drawn faces, tried on people it never saw.

Not a timing: some minutes of training, then figures for docs/results.md and a picture. ``FACEBENCH_BENCH_SCALE`` below 1
shortens the training; the thresholds are those of the whole one. ``FACEBENCH_BENCH_PICTURE`` names the picture.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from unseen_people import SHOTS, SMALL, agreement, drawn_after, embedded, held_out, network_of, painter_of

import facebench
from facebench.host import Host
from facebench_backbones.tinynet import tinynet32
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.learner import Learner
from facebench_vec2face.painter import Painter

SCALE = float(os.environ.get("FACEBENCH_BENCH_SCALE", "1"))
PICTURE = os.environ.get("FACEBENCH_BENCH_PICTURE")
SIGMAS = (0.3, 0.5, 0.7, 0.9)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A generator of 800 steps, and a second network that it never met."""
    folder, host = tmp_path_factory.mktemp("proof"), Host.start()
    places = {"out": folder / "runs", "cache": folder / "cache", "host": host, "quiet": True}
    # 8,000 faces in batches of 30: 267 steps an epoch.
    changes = {
        "generator": {"epochs": max(1, round(3 * SCALE)), "batch_size": 30},
        "train_data": {"images": 20},
    }
    generator = facebench.train("vec2face", changes=changes, **places).checkpoint.folder
    judge = facebench.train("arcface", backbone={"name": "tinynet32"}, seed=1, **places).checkpoint.folder
    return generator, judge


def genuine_and_impostor(vectors, labels):
    scores = vectors @ vectors.T
    upper = np.triu(np.ones_like(scores, dtype=bool), 1)
    same = labels[:, None] == labels
    return float(scores[upper & same].mean()), float(scores[upper & ~same].mean())


def test_the_generator_draws_the_person_it_is_told_to(made, capsys):
    generator, judge_folder = made
    judge, whole = network_of(judge_folder), painter_of(generator)
    painter, extractor = whole._ready, whole._ready.learner.extractor
    real, labels = held_out()
    drawn = drawn_after(painter, real)
    own, own_shuffled = agreement(extractor, real, drawn)
    other, other_shuffled = agreement(judge, real, drawn)
    genuine, impostor = genuine_and_impostor(embedded(judge, real), labels)
    pixels = lambda images: images.astype(np.float32) / 127.5 - 1  # noqa: E731
    mse = float(((pixels(drawn) - pixels(real)) ** 2).mean())
    mean_image = float(((pixels(real).mean(0) - pixels(real)) ** 2).mean())
    first = slice(0, 256)
    rank = embedded(extractor, drawn[first]) @ embedded(extractor, real[first]).T
    rank_1 = float((rank.argmax(1) == np.arange(256)).mean())
    untrained = Learner(tinynet32(), SMALL, whole.options)
    untrained.extractor.load_state_dict(extractor.state_dict())
    blank = drawn_after(Painter(untrained.eval(), SMALL, DrawingOptions()), real)
    control = agreement(extractor, real, blank)
    lines = [
        f"extractor: cosine to the target {own:.3f}, shuffled {own_shuffled:.3f}; untrained generator {control[0]:.3f}",
        f"second network: {other:.3f}, shuffled {other_shuffled:.3f}; real genuine {genuine:.3f}, impostor {impostor:.3f}",
        f"pixels: MSE {mse:.4f}, mean image {mean_image:.4f}; rank-1 of 256 pictures {rank_1:.3f}",
    ]
    curve = []
    for sigma in SIGMAS:
        told = painter_of(generator, sigmas=(sigma,), shares=(1.0,))
        people = told.identities(60, seed=0, folder=generator / f"own-{sigma}", progress=_quiet()).vectors
        found = told.render(np.array(people), first=0, images=10, seed=0)
        who = np.repeat(np.arange(60), 10)
        by_own = genuine_and_impostor(embedded(extractor, found.images), who)
        by_other = genuine_and_impostor(embedded(judge, found.images), who)
        curve.append((sigma, *by_own, *by_other))
        lines.append(
            f"sigma {sigma}: genuine {by_own[0]:.3f} (second {by_other[0]:.3f}), "
            f"impostor {by_own[1]:.3f} (second {by_other[1]:.3f})"
        )
    _picture(real, drawn, Path(PICTURE or generator / "proof.png"))
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert own >= 0.8
    assert abs(own_shuffled) <= 0.1
    assert other >= 0.65
    assert control[0] < 0.2
    assert all(a[1] > b[1] and a[3] > b[3] for a, b in pairwise(curve))


def _quiet():
    from facebench.progress import Bars

    return Bars(quiet=True)


def _picture(real, drawn, path, *, people=12):
    """Real faces of twelve people above what was drawn from their vectors, twice as large."""
    rows = [np.arange(people) * SHOTS + shot for shot in range(2)]
    grid = np.concatenate(
        [np.concatenate([np.concatenate(list(images[row]), axis=1) for images in (real, drawn)]) for row in rows]
    )
    Image.fromarray(grid.repeat(3, axis=0).repeat(3, axis=1)).save(path)
