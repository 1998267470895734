"""What a user can set for verification protocols."""

from __future__ import annotations

from typing import Literal

from facebench import ConfigError, option, options


@options
class VerificationOptions:
    """Options of every verification protocol."""

    mirror: Literal["sum", "none", "concat"] = option(
        default="sum", help="fusion of a face and its mirror image: sum (InsightFace's rule), none or concat"
    )
    far: tuple[float, ...] = option(default=(1e-2, 1e-3), help="false accept rates at which TAR and VAL are reported")
    pairs: str = option(
        default="", help="list of pairs or .bin pack, relative to the data root, instead of the usual one"
    )
    images: str = option(
        default="", help="folder, tar or list of pictures, relative to the data root, instead of the usual"
    )
    landmarks: str = option(
        default="",
        help="table of five points for each picture (CSV path,x1,y1,...,x5,y5), relative to the data root: the "
        "pictures are aligned to 112x112 while they are read",
    )
    samples: int = option(default=1000, help="bootstrap replicates behind each interval; 0 leaves intervals out", ge=0)

    def __post_init__(self) -> None:
        """Refuses rates that are none, before a network is trained for them."""
        if len(set(self.far)) < len(self.far) or not all(0 < rate < 1 for rate in self.far):
            raise ConfigError(f"far must hold different rates between 0 and 1, found {list(self.far)}")


@options
class PairsOptions(VerificationOptions):
    """Options for a list of one's own."""

    folds: int = option(default=10, help="runs of consecutive pairs for cross-validated accuracy", ge=2, le=10000)


@options
class VideoOptions(VerificationOptions):
    """Options for videos."""

    pooling: Literal["mean", "unit-mean"] = option(
        default="mean", help="a video's vector: mean of its frames' raw embeddings, or of those scaled to unit length"
    )
    frames: int = option(default=0, help="at most so many frames of each video, evenly spread; 0 takes all", ge=0)
