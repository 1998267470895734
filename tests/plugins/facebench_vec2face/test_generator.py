from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from facebench import DataError, FacebenchError, Preprocess
from facebench.checkpoints import read_checkpoint
from facebench.progress import Bars
from facebench.testing import TinyBackbone, toy_faces, toy_generator_job
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.generator import Vec2Face
from facebench_vec2face.options import Vec2FaceOptions

QUICK = Vec2FaceOptions(size="tiny32", epochs=2, batch_size=8, warmup_epochs=0, learning_rate=1e-3, log_every=1)
FACES = toy_faces(num_classes=4, per_class=6, size=32)
SMALL = Preprocess(size=(32, 32))


def job(folder, options=QUICK, **more):
    made = toy_generator_job(folder, options=options, dataset=FACES, preprocess=SMALL, generator="vec2face")
    return dataclasses.replace(made, **more)


def loaded(folder, options=QUICK, **drawing):
    generator = Vec2Face(options, DrawingOptions(**drawing))
    generator.load(folder, extractor=TinyBackbone(), preprocess=SMALL, device="cpu")
    return generator


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return Vec2Face(QUICK, DrawingOptions()).fit(job(folder)).folder


@pytest.fixture
def people(trained, tmp_path):
    vectors = loaded(trained, threshold=0.9).identities(5, seed=3, folder=tmp_path / "own", progress=Bars(quiet=True))
    return np.array(vectors.vectors)


def test_a_checkpoint_knows_where_the_people_lie(trained):
    generator = loaded(trained)
    learner = generator._ready.learner
    job_ = job(trained)
    with torch.inference_mode():
        pixels = torch.from_numpy(FACES.batch(np.arange(len(FACES))))
        inputs = (pixels.permute(0, 3, 1, 2).float() - 127.5) / 127.5
        raw = job_.extractor.eval()(inputs).vectors.double().numpy()
    means = np.stack([raw[FACES.labels == label].mean(axis=0) for label in range(4)]) / float(learner.scale)
    assert float(learner.count) == 4
    assert learner.centre.numpy() == pytest.approx(means.mean(axis=0), abs=1e-4)
    assert learner.spread.numpy() == pytest.approx(np.cov(means.T), abs=1e-4)
    assert np.std(raw / float(learner.scale), axis=0).mean() == pytest.approx(1, abs=1e-3)


def test_tables_tell_every_term(trained):
    head = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"mse", "identity", "token", "perceptual", "ssim", "similarity", "shuffled_similarity"} <= set(head)
    assert not (trained / "vectors").exists()


class Stopped(Exception):
    """What ends a training early."""


class StoppingBars(Bars):
    """Bars that stop a training at a step."""

    def __init__(self, at):
        super().__init__(quiet=True)
        self.left = at

    def bar(self, total, what, *, unit="it", start=0):
        outer, made = self, super().bar(total, what, unit=unit, start=start)
        if not what.startswith("training"):
            return made

        class Stopping:
            def __enter__(self):
                made.__enter__()
                return self

            def __exit__(self, *error):
                made.__exit__(*error)

            def advance(self, steps=1, **values):
                made.advance(steps, **values)
                outer.left -= 1
                if not outer.left:
                    raise Stopped

        return Stopping()


@pytest.mark.parametrize(
    "options",
    [
        QUICK,
        dataclasses.replace(QUICK, ema=0.9),
        dataclasses.replace(QUICK, gan="fixed", gan_start=0.3),
        dataclasses.replace(QUICK, gan="paper", gan_start=0.5, gan_balance="constant"),
    ],
    ids=["plain", "ema", "fixed", "paper"],
)
def test_a_stopped_training_ends_as_one_that_was_not(tmp_path, options):
    options = dataclasses.replace(options, save_seconds=0)
    whole = Vec2Face(options, DrawingOptions()).fit(job(tmp_path / "whole", options))
    for stop in (2, 2):
        with pytest.raises(Stopped):
            Vec2Face(options, DrawingOptions()).fit(job(tmp_path / "cut", options, progress=StoppingBars(stop)))
    cut = Vec2Face(options, DrawingOptions()).fit(job(tmp_path / "cut", options))
    assert cut.sha256 == whole.sha256
    assert read_checkpoint(cut.folder) == cut


def test_the_same_seed_draws_the_same_and_in_any_portions(trained, people):
    generator, twin = loaded(trained), loaded(trained)
    whole = generator.render(people, first=0, images=6, seed=1)
    assert whole.images.shape == (30, 32, 32, 3)
    assert np.array_equal(whole.images, twin.render(people, first=0, images=6, seed=1).images)
    part = twin.render(people[2:4], first=2, images=6, seed=1)
    near = np.abs(part.images.astype(int) - whole.images[12:24].astype(int))
    assert near.max() <= 1  # in other batches, products may be summed in another order
    assert np.array_equal(part.columns["sigma"], whole.columns["sigma"][12:24])
    other = twin.render(people, first=0, images=6, seed=2).images
    assert not np.array_equal(whole.images, other)


def test_pictures_are_told_by_sigma_and_by_what_the_extractor_sees(trained, people):
    generator = loaded(trained, sigmas=(0.0, 0.5), shares=(0.5, 0.5))
    drawn = generator.render(people, first=0, images=4, seed=1)
    sigmas = drawn.columns["sigma"].reshape(5, 4)
    assert (np.sort(sigmas, axis=1) == np.array([0, 0, 0.5, 0.5], dtype=np.float32)).all()
    learner = generator._ready.learner
    with torch.inference_mode():
        pictures = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        seen = learner.read(pictures).numpy()
    wanted = np.repeat(people, 4, axis=0)
    cosine = (seen * wanted).sum(1) / np.linalg.norm(seen, axis=1) / np.linalg.norm(wanted, axis=1)
    assert drawn.columns["similarity"] == pytest.approx(cosine, abs=0.02)  # pictures are whole numbers
    assert np.array_equal(drawn.vectors, people)


def test_a_fixed_share_of_masked_rows(trained, people):
    painter = loaded(trained, mask_ratio=0.5)._ready
    mask = painter._mask(painter.seeds(5, first=0, images=2, seed=0))
    assert (mask.masked.sum(dim=1) == 8).all()
    assert mask.kept.shape == (10, 16 - 2)
    painter = loaded(trained)._ready
    shares = painter._mask(painter.seeds(400, first=0, images=1, seed=0)).masked.sum(dim=1).double() / 16
    assert 0.25 < float(shares.mean()) < 0.45


@pytest.mark.parametrize("attrop", ["identities", "images"])
def test_attrop_adds_what_became_of_each_row(trained, people, attrop):
    chosen = {"attrop": attrop, "attrop_steps": 3, "quality": 1e6, "quality_limit": 1.0}
    drawn = loaded(trained, **chosen).render(people, first=0, images=2, seed=0)
    assert not drawn.columns["success"].any()
    assert len(drawn.columns["steps"]) == 10
    easy = {"attrop": attrop, "attrop_steps": 3, "quality": 0.0, "identity_limit": 2.0}
    drawn = loaded(trained, **easy).render(people, first=0, images=2, seed=0)
    assert drawn.columns["success"].all()
    assert (drawn.columns["steps"] == 0).all()
    assert np.allclose(drawn.vectors, people)


def test_what_was_not_loaded_draws_nothing():
    with pytest.raises(FacebenchError, match="before it was loaded"):
        Vec2Face(QUICK, DrawingOptions()).render(np.ones((1, 16), dtype=np.float32), first=0, images=1, seed=0)


def test_a_checkpoint_of_another_size_is_refused(trained):
    with pytest.raises(DataError, match="weights do not fit the network"):
        loaded(trained, dataclasses.replace(QUICK, size="half56"))


def test_an_extractor_that_tells_nobody_apart_is_refused(tmp_path):
    class Blind(TinyBackbone):
        def forward(self, images):
            found = super().forward(images)
            return dataclasses.replace(found, vectors=found.vectors * 0 + 1)

    with pytest.raises(DataError, match="do not differ"):
        Vec2Face(QUICK, DrawingOptions()).fit(job(tmp_path, extractor=Blind()))
