"""What a user can set for confidence."""

from __future__ import annotations

from itertools import pairwise

from facebench import ConfigError, option, options

SIDE = 7  # blocks along each side of the grid that occlusion hides blocks of
BLOCKS = SIDE * SIDE
WIDEST = 32.0  # pixels; wider, nothing but the mean colour is left


@options
class ConfidenceOptions:
    """Options of ``confidence``."""

    images: str = option(
        default="",
        help="folder, tar, CSV list, pack or .rec of clean faces, relative to the data root; LFW's usual places if "
        "empty",
    )
    faces: int = option(
        default=200, help="take at most so many clean faces; each stands once clean and once at every level", ge=3
    )
    blur: tuple[float, ...] = option(
        default=(1.0, 2.0, 3.0, 4.5, 6.0, 8.0),
        help="levels of Gaussian blur above the clean picture, rising: standard deviation in pixels of a picture of "
        "112x112, up to 32",
        min_length=1,
    )
    occlusion: tuple[int, ...] = option(
        default=(4, 8, 14, 20, 28),
        help="levels of occlusion above the clean picture, rising: how many of 7x7 blocks are black, up to 49",
        min_length=1,
    )
    seed: int = option(default=0, help="another seed takes other faces and hides other blocks", ge=0, lt=2**31)
    samples: int = option(default=1000, help="bootstrap replicates behind each interval; 0 leaves intervals out", ge=0)

    def __post_init__(self) -> None:
        """Refuses ladders that are none, before a network is trained for them."""
        for name, levels, most in (("blur", self.blur, WIDEST), ("occlusion", self.occlusion, BLOCKS)):
            # As keys spell them, so that no two levels share a key.
            spelt = [float(f"{level:g}") for level in levels]
            if not 0 < min(spelt) <= max(spelt) <= most or any(low >= high for low, high in pairwise(spelt)):
                raise ConfigError(f"{name} must hold rising levels above 0 and up to {most:g}, found {list(levels)}")
