from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from facebench.contracts import Features, Preprocess
from facebench.errors import DataError
from facebench.inference import TorchEmbedder
from facebench.testing import TinyBackbone, check_embedder


class Corner(nn.Module):
    """Returns the first pixel as the network sees it."""

    embedding_size = 3

    def forward(self, images):
        return Features(images[:, :, 0, 0], images[:, :1, 0, 0])


def embedder(backbone, preprocess=None, **more):
    return TorchEmbedder(backbone, preprocess or Preprocess(), device="cpu", fingerprint="abc", **more)


def test_keeps_the_contract():
    made = embedder(TinyBackbone().train(), notes={"from": "test"})
    check_embedder(made)
    assert (made.embedding_size, made.fingerprint, made.notes) == (16, "abc", {"from": "test"})


def test_pixels_arrive_as_the_preprocess_says():
    images = np.zeros((2, 112, 112, 3), np.uint8)
    images[1] = (10, 20, 30)
    found = embedder(Corner(), Preprocess(color="bgr", mean=(0, 0, 0), std=(1, 2, 10))).embed(images)
    np.testing.assert_array_equal(found.vectors, [[0, 0, 0], [30, 10, 1]])
    np.testing.assert_array_equal(found.confidence, [[0], [30]])
    assert found.vectors.dtype == found.confidence.dtype == np.float32


def test_read_only_and_mirrored_pictures_are_taken():
    images = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    made = embedder(Corner())
    expected = made.embed(images[:, :, ::-1].copy()).vectors
    images.setflags(write=False)
    np.testing.assert_array_equal(made.embed(images[:, :, ::-1]).vectors, expected)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 96, 112, 3), np.uint8),
        np.zeros((1, 112, 112, 3), np.float32),
        np.zeros((112, 112, 3), np.uint8),
        np.zeros((0, 112, 112, 3), np.uint8),
    ],
)
def test_anything_but_pictures_of_the_right_size_is_refused(images):
    with pytest.raises(DataError, match="embedder was given"):
        embedder(Corner()).embed(images)


def test_leaves_no_gradient_behind():
    backbone = TinyBackbone()
    embedder(backbone).embed(np.zeros((1, 112, 112, 3), np.uint8))
    assert torch.is_grad_enabled() and all(value.grad is None for value in backbone.parameters())
