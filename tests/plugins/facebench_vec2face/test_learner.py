from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from facebench import Batch, ConfigError, DataError, Features, Preprocess
from facebench_vec2face.extractors import check_extractor
from facebench_vec2face.learner import Learner
from facebench_vec2face.losses import Vec2FaceLoss
from facebench_vec2face.masking import Masking
from facebench_vec2face.options import Vec2FaceOptions
from facebench_vec2face.pictures import Colours, resized, seen_at

BGR = Preprocess(size=(48, 48), color="bgr", mean=(100.0, 110.0, 120.0), std=(50.0, 60.0, 70.0))
PLAIN = Preprocess(size=(48, 48))


class Extractor(nn.Module):
    """Vectors as a network of faces ends with: batch normalisation without a scale of its own."""

    def __init__(self, size=8):
        super().__init__()
        self.embedding_size = size
        self.layers = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.PReLU()),
            nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.PReLU()),
        )
        self.fc = nn.Linear(8 * 12 * 12, size)
        self.norm = nn.BatchNorm1d(size)
        self.norm.weight.requires_grad_(False)

    def forward(self, images):
        return Features(self.norm(self.fc(self.layers(images).flatten(1))))


def learner(preprocess=PLAIN, **chosen):
    torch.manual_seed(0)
    extractor = Extractor()
    with torch.no_grad():
        for _ in range(20):
            extractor(torch.randn(32, 3, 48, 48))
    return Learner(extractor, preprocess, Vec2FaceOptions(**{"size": "tiny32", "dropout": 0.0, **chosen}))


def faces(count=4):
    return torch.randn(count, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def test_what_is_painted():
    trained, images = learner().train(), faces()
    trained.scale.fill_(2.0)
    painted = trained(images)
    assert painted.images.shape == painted.pictures.shape == (4, 3, 32, 32)
    assert painted.tokens.shape == painted.aims.shape == (4, 16, 96)
    assert painted.seen.shape == painted.vectors.shape == (4, 8)
    assert painted.perceptual.shape == (4,) and painted.confidence is None
    assert not any(value.requires_grad for value in (painted.vectors, painted.pictures, painted.aims))
    assert painted.last is trained.network.image_decoder.last.weight

    small = functional.interpolate(images, size=32, mode="bilinear", antialias=True)
    torch.testing.assert_close(painted.pictures, small)
    enlarged = functional.interpolate(small, size=48, mode="bilinear")
    torch.testing.assert_close(painted.vectors, trained.extractor(enlarged).vectors / 2)
    again = functional.interpolate(painted.images, size=48, mode="bilinear")
    torch.testing.assert_close(painted.seen, trained.extractor(again).vectors / 2)


def test_the_perceptual_distance_is_that_of_the_extractors_maps():
    trained = learner().train()
    painted = trained(faces())
    wanted, maps = 0, []
    for images in (seen_at(faces(), 32), resized(painted.images, (48, 48))):
        first = trained.extractor.layers[0](images)
        maps.append((first, trained.extractor.layers[1](first)))
    for one, other in zip(*maps, strict=True):
        square = (functional.normalize(one, dim=1, eps=1e-4) - functional.normalize(other, dim=1, eps=1e-4)) ** 2
        wanted = wanted + square.sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(painted.perceptual, wanted)
    assert painted.perceptual.requires_grad
    assert learner(perceptual="off").train()(faces()).perceptual is None


def test_colours_and_scale_of_the_extractor():
    colours = Colours(BGR)
    pixels = torch.randint(0, 256, (2, 5, 6, 3))
    planes = pixels.flip(3).permute(0, 3, 1, 2)
    inputs = (planes - torch.tensor(BGR.mean).view(3, 1, 1)) / torch.tensor(BGR.std).view(3, 1, 1)
    pictures = colours.to_pictures(inputs)
    torch.testing.assert_close(pictures, (pixels.permute(0, 3, 1, 2) - 127.5) / 127.5)
    torch.testing.assert_close(colours.to_inputs(pictures), inputs)
    assert not colours.state_dict()
    plain = Colours(Preprocess())
    torch.testing.assert_close(plain.to_pictures(inputs), inputs)


def test_a_perfect_copy_is_recognised():
    """A generator that drew what the extractor saw would have no loss of identity, whatever the preprocessing."""
    trained = learner(BGR).train()
    painted = trained(faces())
    torch.testing.assert_close(trained.read(painted.pictures), painted.vectors, rtol=1e-3, atol=1e-4)


def test_sizes():
    images = torch.rand(2, 3, 48, 40)
    assert seen_at(images, 48) is images and seen_at(images, 64) is images
    assert resized(images, (48, 40)) is images
    seen = seen_at(images, 16)
    assert seen.shape == images.shape and seen.var() < images.var()
    flat = torch.full((1, 3, 48, 40), 0.3)
    torch.testing.assert_close(seen_at(flat, 16), flat)
    assert resized(images.bfloat16(), (96, 80)).dtype == torch.float32


def test_a_step_changes_the_generator_alone():
    trained = learner().train()
    loss = Vec2FaceLoss(Vec2FaceOptions(size="tiny32"))
    before = copy.deepcopy(trained.state_dict())
    optimizer = torch.optim.AdamW([value for value in trained.parameters() if value.requires_grad], lr=1e-3)
    images = faces()
    for _ in range(2):
        loss(Batch(images=images, labels=torch.arange(4)), trained(images)).total.backward()
        assert all(value.grad is None for value in trained.extractor.parameters())
        assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in trained.network.parameters())
        optimizer.step()
        optimizer.zero_grad()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"network.{name}" for name, _ in trained.network.named_parameters()}


def test_the_extractor_is_never_in_training():
    trained = learner()
    for mode in (True, False, True):
        trained.train(mode)
        assert trained.network.training is mode
        assert not any(module.training for module in trained.extractor.modules())
    assert not any(value.requires_grad for value in trained.extractor.parameters())
    assert not any(module._forward_hooks for module in trained.modules())


def test_the_same_seed_and_mask_draw_the_same():
    trained, images = learner(dropout=0.3).train(), faces()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(trained(images).images)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    trained.eval()
    vectors = trained.extract(images)
    mask = Masking(0.1, 1.0, 0.15, 0.25).draw(4, 16, torch.Generator().manual_seed(3))
    assert torch.equal(trained.network(vectors, mask).images, trained.network(vectors, mask).images)


def test_what_a_checkpoint_holds():
    trained = learner()
    names = set(trained.state_dict())
    assert {"scale", "centre", "spread", "count", "extractor.fc.weight", "network.out.weight"} <= names
    assert trained.embedding_size == 8 and trained.spread.shape == (8, 8) and trained.count == 0
    other = learner(perceptual="off")
    other.load_state_dict(trained.state_dict())


def test_an_extractor_without_maps_needs_another_perceptual_term():
    class Flat(nn.Module):
        embedding_size = 4

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * 48 * 48, 4)

        def forward(self, images):
            return Features(self.fc(images.flatten(1)))

    with pytest.raises(ConfigError, match="perceptual=off"):
        Learner(Flat(), PLAIN, Vec2FaceOptions(size="tiny32"))
    Learner(Flat(), PLAIN, Vec2FaceOptions(size="tiny32", perceptual="off"))


def test_learning_lowers_the_loss():
    torch.manual_seed(5)
    trained, images = learner().train(), faces(6)
    loss = Vec2FaceLoss(Vec2FaceOptions(size="tiny32", gan="fixed"))
    rival = loss.rival()
    optimizer = torch.optim.AdamW([value for value in trained.parameters() if value.requires_grad], lr=2e-3)
    found = []
    for _ in range(12):
        output = loss(Batch(images=images, labels=torch.arange(6)), trained(images))
        output.total.backward()
        found.append(output.terms)
        for each in (optimizer, rival):
            each.step()
            each.zero_grad()
    for name in ("mse", "identity", "token", "discriminator"):
        assert found[-1][name] < found[0][name], name
    assert found[-1]["similarity"] > found[-1]["shuffled_similarity"] + 0.1


def vectors(count=4000, size=32, seed=0):
    return np.random.default_rng(seed).normal(0.01, 1, (count, size)).astype(np.float32)


def test_an_extractor_as_it_should_be():
    fitness = check_extractor(Extractor(32), vectors())
    assert fitness.scale == 1.0 and fitness.warnings == ()
    plain = Extractor(32)
    plain.norm.weight.requires_grad_(True)
    assert check_extractor(plain, vectors()).warnings == ()  # A scale that is 1 has not been learnt.
    plain.norm = nn.BatchNorm1d(32, affine=False)
    assert check_extractor(plain, vectors()).warnings == ()


def test_an_extractor_of_another_scale_is_rescaled():
    long = 7 * vectors()
    fitness = check_extractor(Extractor(32), long)
    assert fitness.scale == pytest.approx(long.std(axis=0).mean(), rel=1e-5)
    assert len(fitness.warnings) == 1 and "divided by 7" in fitness.warnings[0]
    assert check_extractor(Extractor(32), long / fitness.scale).scale == 1.0
    uneven = vectors() * np.linspace(0.5, 1.5, 32, dtype=np.float32)
    assert "0.492 to 1.51" in check_extractor(Extractor(32), uneven).warnings[0]
    far = vectors() + 3
    assert "norm" in check_extractor(Extractor(32), far).warnings[0]


def test_a_learned_scale_or_none_is_told():
    learned = Extractor(32)
    learned.norm.weight.requires_grad_(True).data.mul_(1.1)
    assert "learned scale" in check_extractor(learned, vectors()).warnings[0]
    learned.norm = nn.Identity()
    assert "no batch normalisation" in check_extractor(learned, vectors()).warnings[0]


@pytest.mark.parametrize("wrong", [np.ones((9, 4)), np.full((9, 4), np.nan), np.ones((1, 4)), np.zeros((3, 4))])
def test_vectors_that_do_not_differ_are_refused(wrong):
    with pytest.raises(DataError, match="do not differ or are not finite"):
        check_extractor(Extractor(4), wrong.astype(np.float32))
