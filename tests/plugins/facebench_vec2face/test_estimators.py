"""Attributes of pictures: values, gradients, and that names lead to what they say."""

from __future__ import annotations

import pytest
import torch

from facebench import DataError, Features, Preprocess, Recipe
from facebench.checkpoints import save_checkpoint
from facebench.pixels import to_input
from facebench.testing import TinyBackbone
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.estimators import (
    FeatureNorm,
    ToyBrightness,
    ToyYaw,
    network_input,
    pose_estimator,
    quality_estimator,
)

ODD = Preprocess(size=(32, 32), color="bgr", mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0))
RECIPE = Recipe("tiny", {}, "none", {}, "toy", "0" * 16, "1" * 16)


def pictures(count=3, size=32, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Means(torch.nn.Module):
    """Vectors are the means of the channels."""

    def forward(self, images):
        return Features(images.mean(dim=(2, 3)))


def test_a_network_meets_what_it_was_trained_on():
    pixels = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    torch.testing.assert_close(network_input(images, ODD), to_input(pixels, ODD), atol=1e-5, rtol=1e-5)


def test_pictures_of_another_size_are_resampled():
    images = torch.full((2, 3, 32, 32), 0.5)
    found = network_input(images, Preprocess())
    assert found.shape == (2, 3, 112, 112)
    torch.testing.assert_close(found, torch.full_like(found, 0.5))


def test_the_norm_is_that_of_the_raw_vector():
    found = FeatureNorm(Means(), ODD)(pictures())
    torch.testing.assert_close(found, network_input(pictures(), ODD).mean(dim=(2, 3)).norm(dim=1))


def test_brightness():
    black, white = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), 1.0)
    assert ToyBrightness()(torch.cat([black, white])).tolist() == [0, 100]


@pytest.mark.parametrize("width", [4, 5])
def test_the_toy_yaw_is_a_signed_contrast_of_the_sides(width):
    images = torch.full((1, 3, 4, width), -1.0)
    images[..., (width + 1) // 2 :] = 1
    assert ToyYaw()(torch.cat([images, images.flip(3), torch.zeros_like(images)])).tolist() == [90, -90, 0]


@pytest.mark.parametrize(
    "estimator", [FeatureNorm(Means(), Preprocess()), ToyBrightness(), ToyYaw()], ids=lambda one: type(one).__name__
)
def test_gradients_pass_and_pictures_are_judged_alone(estimator):
    images = pictures().requires_grad_()
    found = estimator(images)
    assert found.shape == (3,)
    (slopes,) = torch.autograd.grad(found[0], images)
    assert slopes[0].abs().sum() > 0 and not slopes[1:].any()
    torch.testing.assert_close(estimator(images[1:2]), found[1:2])


def test_names():
    extractor = TinyBackbone().eval()
    none = DrawingOptions(quality_estimator="off")
    assert quality_estimator(none, extractor, ODD) is None and pose_estimator(none) is None
    toys = DrawingOptions(quality_estimator="toy_brightness", pose_estimator="toy_yaw")
    assert isinstance(quality_estimator(toys, extractor, ODD), ToyBrightness)
    assert isinstance(pose_estimator(toys), ToyYaw)
    found = quality_estimator(DrawingOptions(), extractor, ODD)(pictures())
    torch.testing.assert_close(found, extractor(network_input(pictures(), ODD)).vectors.norm(dim=1))


def test_a_checkpoint_of_another_training(tmp_path):
    torch.manual_seed(0)
    extractor, other = TinyBackbone().eval(), TinyBackbone().eval()
    save_checkpoint(tmp_path / "other", other, recipe=RECIPE, preprocess=ODD)
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    chosen = DrawingOptions(quality_checkpoint=str(tmp_path / "other"))
    found = quality_estimator(chosen, extractor, Preprocess())(pictures())
    torch.testing.assert_close(found, other(network_input(pictures(), ODD)).vectors.norm(dim=1))
    assert all(torch.equal(before[name], value) for name, value in extractor.state_dict().items())


def test_a_checkpoint_that_does_not_fit(tmp_path):
    save_checkpoint(tmp_path / "other", TinyBackbone(8), recipe=RECIPE, preprocess=ODD)
    with pytest.raises(DataError, match="do not fit"):
        quality_estimator(DrawingOptions(quality_checkpoint=str(tmp_path / "other")), TinyBackbone(), ODD)
    with pytest.raises(DataError):
        quality_estimator(DrawingOptions(quality_checkpoint=str(tmp_path / "none")), TinyBackbone(), ODD)
