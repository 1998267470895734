"""Offers the demo faces as a training set, through the same hook as anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.declare import option, options
from facebench.errors import ConfigError
from facebench.hooks import hookimpl
from facebench.specs import DatasetSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from facebench.contracts import FaceDataset


@options
class DemoOptions:
    """How many demo faces to train on, and how clear their pictures are."""

    identities: int = option(default=400, help="people; evaluations use others", ge=2, le=1_000_000)
    images: int = option(default=20, help="pictures of each", ge=1, le=1000)
    seed: int = option(default=0, help="another seed is another population", ge=0, lt=2**31)
    occlusion: float = option(default=0.1, help="probability of sunglasses, a mask, a hand or a block", ge=0, le=1)
    blur: float = option(default=0.7, help="strength of defocus; three in five pictures stay sharp", ge=0, le=3)
    noise: float = option(default=1.0, help="strength of sensor noise", ge=0, le=3)
    low_resolution: float = option(default=0.1, help="probability of a picture taken at few pixels", ge=0, le=1)


def build(path: Path | None, chosen: DemoOptions) -> FaceDataset:
    """The faces, drawn when they are asked for.

    Raises:
        ConfigError: When a path is given: there are no files.
    """
    from facebench.demo.memory import RememberedFaces
    from facebench.demo.nuisance import Nuisance

    if path is not None:
        raise ConfigError(f"demo faces are drawn, not read; found the path {path}")
    nuisance = Nuisance(
        occlusion=chosen.occlusion, blur=chosen.blur, noise=chosen.noise, low_resolution=chosen.low_resolution
    )
    return RememberedFaces(range(chosen.identities), chosen.images, seed=chosen.seed, nuisance=nuisance)


@hookimpl
def facebench_datasets() -> Iterable[DatasetSpec]:
    """Offers ``demo``."""
    return [
        DatasetSpec(
            name="demo",
            summary="procedurally drawn faces of people who do not exist",
            options=DemoOptions,
            build=build,
            source="drawn by facebench itself",
            licence="Apache-2.0, as facebench",
        )
    ]
