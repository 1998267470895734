"""What a user can set for topology."""

from __future__ import annotations

from typing import Literal

from facebench import ConfigError, option, options

LEAST = 4  # faces with which edges, ranks and a spread mean anything


@options
class TopologyOptions:
    """Options of ``topology``."""

    data: str = option(
        default="",
        help="folder, tar, CSV list, pack or .rec of faces, relative to the data root; LFW's usual places if empty",
    )
    limit: int = option(default=0, help="take at most so many faces of the set, the same in any order; 0 all", ge=0)
    sizes: tuple[int, ...] = option(
        default=(128, 256),
        help="faces in a batch, each size on its own, the first is the headline; the paper has 256, 1024 and 2048",
        min_length=1,
    )
    count: int = option(
        default=100,
        help="batches of each size; the paper has 1000, which with its sizes takes a quarter of an hour on one core",
        ge=2,
    )
    space: Literal["raw", "unit"] = option(
        default="raw",
        help="embeddings as the network gives them, or scaled to unit length as recognition compares them",
    )
    whole: int = option(
        default=8000,
        help="of sets up to so many faces, pictures are kept in memory (38 KB each), and all distances too where that "
        "saves time (4 N^2 bytes, 256 MB for 8,000); of larger ones each batch is read for itself",
        ge=0,
        decides=False,
    )
    sample: int = option(
        default=128, help="faces of the one sample whose persistent homology is drawn; 0 leaves it out", ge=0
    )
    max_dimension: int = option(
        default=1, help="highest dimension of that homology: 0 parts, 1 loops, 2 voids (few hundred faces)", ge=0, le=2
    )
    seconds: float = option(
        default=20.0, help="time that one persistence diagram may take before it is left out with a warning", gt=0
    )

    def __post_init__(self) -> None:
        """Refuses sizes that are none, before a network is trained for them."""
        if len(set(self.sizes)) < len(self.sizes) or min(self.sizes) < LEAST:
            raise ConfigError(f"sizes must hold different numbers from {LEAST} on, found {list(self.sizes)}")
        if 0 < self.sample < LEAST:
            raise ConfigError(f"sample must be 0 or at least {LEAST}, found {self.sample}")
        if 0 < self.limit < min(self.sizes):
            raise ConfigError(f"limit {self.limit} is less than the smallest batch, {min(self.sizes)} faces")
