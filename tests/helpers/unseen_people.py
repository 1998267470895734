"""Whether a generator that learned from drawn faces draws people whom it has never seen."""

from __future__ import annotations

import numpy as np
import torch

from facebench import Preprocess
from facebench.checkpoints import load_weights, read_checkpoint
from facebench.demo import DemoFaces
from facebench.host import Host
from facebench.pixels import to_input
from facebench_backbones.tinynet import tinynet32
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.generator import Vec2Face

SMALL = Preprocess(size=(32, 32))
PEOPLE, SHOTS = 100, 10
HELD_OUT = range(6_000_000, 6_000_000 + PEOPLE)  # no trainer draws these


def network_of(folder):
    network = tinynet32()
    load_weights(folder, network)
    return network.eval()


def painter_of(generator, **chosen):
    recipe = read_checkpoint(generator).recipe
    spec = Host.start().catalog.get("generators", "vec2face").spec
    made = Vec2Face(spec.options(**recipe.generator_options), DrawingOptions(**chosen))
    made.load(generator, extractor=tinynet32(), preprocess=SMALL, device="cpu")
    return made


def embedded(network, pictures):
    with torch.inference_mode():
        inputs = to_input(torch.from_numpy(np.ascontiguousarray(pictures)), SMALL)
        found = torch.cat([network(part).vectors for part in inputs.split(128)])
    return torch.nn.functional.normalize(found).numpy()


def held_out():
    faces = DemoFaces(HELD_OUT, SHOTS)
    large = torch.from_numpy(faces.batch(np.arange(len(faces)))).permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(large, size=(32, 32), mode="bilinear", antialias=True)
    return small.round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), faces.labels


def drawn_after(painter, pictures):
    """What is drawn from the vectors of real pictures."""
    with torch.inference_mode():
        inputs = to_input(torch.from_numpy(pictures), SMALL)
        vectors = torch.cat([painter.learner.extract(part) for part in inputs.split(128)]).numpy()
    seeds = painter.seeds(len(vectors), first=0, images=1, seed=0)
    return painter.paint(vectors, seeds, vectors)[0]


def agreement(network, real, drawn):
    """Mean cosine of each drawn face with its real one, and with another person's."""
    first, second = embedded(network, real), embedded(network, drawn)
    return float((first * second).sum(1).mean()), float((np.roll(first, SHOTS, axis=0) * second).sum(1).mean())
