"""A hundred steps of training on drawn faces, and people who were not among them."""

from __future__ import annotations

import pytest
from unseen_people import agreement, drawn_after, held_out, painter_of

import facebench


@pytest.mark.slow
def test_a_hundred_steps_teach_to_draw_people_never_seen(tmp_path):
    changes = {
        "train_data": {"identities": 160, "images": 20},
        "extractor": {"trainer": {"epochs": 4}},
        "generator": {"batch_size": 32},
    }
    places = {"out": tmp_path / "runs", "cache": tmp_path / "cache", "quiet": True}
    trained = facebench.train("vec2face", changes=changes, **places)
    lines = (trained.checkpoint.folder.parent / "run.log").read_text()
    assert "epoch 1 of 1" in lines
    painter = painter_of(trained.checkpoint.folder)._ready
    real, _ = held_out()
    right, shuffled = agreement(painter.learner.extractor, real, drawn_after(painter, real))
    assert abs(shuffled) < 0.15
    assert right - shuffled > 0.35
