"""What a user can set for separability."""

from __future__ import annotations

from typing import Literal

from facebench import ConfigError, option, options


@options
class SeparabilityOptions:
    """Options of ``separability``."""

    data: str = option(
        default="",
        help="folder, tar, CSV list or .rec of labelled faces, relative to the data root; LFW's usual places if empty",
    )
    reference: str = option(
        default="",
        help="labelled faces that the set should not repeat, such as those a generator learned from, relative to the "
        "data root; without them leakage is not measured",
    )
    reference_images: int = option(
        default=10, help="at most so many faces of each reference identity, the first by name; 0 all", ge=0
    )
    thresholds: tuple[float, ...] = option(
        default=(0.3, 0.4), help="cosine similarities above which two identities are not separate", min_length=1
    )
    headline: float = option(default=0.4, help="the threshold that comes first", ge=-1, le=1)
    fmr: float = option(
        default=1e-3,
        help="one more threshold: the lowest at which no larger share of impostor pairs is above it; those of real "
        "people where there are some, else of the set itself; 0 leaves it out",
        ge=0,
        lt=1,
    )
    means: Literal["raw", "unit"] = option(
        default="raw",
        help="an identity is the mean of its embeddings as the network gives them, as published, or scaled to unit "
        "length",
    )
    prefixes: int = option(default=40, help="sizes at which the count curve is taken", ge=2, le=1000)
    pairs: int = option(
        default=1_000_000, help="impostor pairs of faces at most, and genuine ones; of more a sample is drawn", ge=100
    )
    samples: int = option(default=200, help="bootstrap replicates behind each interval; 0 leaves intervals out", ge=0)
    device: str = option(
        default="cpu", help="where identities are multiplied with one another, as torch spells it", decides=False
    )

    def __post_init__(self) -> None:
        """Refuses thresholds that are none, before a network is trained for them."""
        if len(set(self.thresholds)) < len(self.thresholds) or not all(-1 <= one <= 1 for one in self.thresholds):
            raise ConfigError(f"thresholds must be different cosines, found {list(self.thresholds)}")

    @property
    def fixed(self) -> tuple[float, ...]:
        """All thresholds but the one at an FMR: the headline's first, then the others as given."""
        return (self.headline, *(one for one in self.thresholds if one != self.headline))
