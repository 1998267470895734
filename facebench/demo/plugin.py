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
    """How many demo faces to train on."""

    identities: int = option(default=400, help="people; evaluations use others", ge=2, le=1_000_000)
    images: int = option(default=20, help="pictures of each", ge=1, le=1000)
    seed: int = option(default=0, help="another seed is another population", ge=0, lt=2**31)


def build(path: Path | None, chosen: DemoOptions) -> FaceDataset:
    """The faces, drawn when they are asked for.

    Raises:
        ConfigError: When a path is given: there are no files.
    """
    from facebench.demo.memory import RememberedFaces

    if path is not None:
        raise ConfigError(f"demo faces are drawn, not read; found the path {path}")
    return RememberedFaces(range(chosen.identities), chosen.images, seed=chosen.seed)


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
