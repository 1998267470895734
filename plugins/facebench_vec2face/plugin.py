"""Offers the generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facebench import GeneratorSpec, hookimpl
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.options import Vec2FaceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import Generator

PAPER = (
    "Wu, Singh, Tian, Zheng, Bowyer: Vec2Face: Scaling Face Dataset Generation with Loosely Constrained Vectors, "
    "ICLR 2025"
)

# Settings for the built-in faces: everything that two CPU cores finish in four minutes.
DEMO: dict[str, dict[str, Any]] = {
    "train_data": {"images": 16},
    "generator": {"size": "tiny32", "epochs": 1, "batch_size": 32, "learning_rate": 2e-3, "warmup_epochs": 0.2},
    "generation": {"identities": 200, "images_per_id": 10},
    "extractor": {"backbone": {"name": "tinynet32"}, "trainer": {"epochs": 5}},
    "judge": {"backbone": {"name": "tinynet32"}, "trainer": {"epochs": 4}},
    "downstream": {"backbone": {"name": "tinynet32"}},
}


def build(options: Vec2FaceOptions, drawing: DrawingOptions) -> Generator:
    """The generator, untrained."""
    from facebench_vec2face.generator import Vec2Face

    return Vec2Face(options, drawing)


@hookimpl
def facebench_generators() -> Iterable[GeneratorSpec]:
    """Offers ``vec2face``."""
    return [
        GeneratorSpec(
            name="vec2face",
            summary="faces from identity vectors: a masked transformer and a convolutional decoder",
            cites=(PAPER,),
            options=Vec2FaceOptions,
            drawing=DrawingOptions,
            build=build,
            extractor="arcface",
            judge="arcface",
            downstream="arcface",
            demo=DEMO,
        )
    ]
