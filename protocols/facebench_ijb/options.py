"""What a user can set for the Janus benchmarks."""

from __future__ import annotations

from typing import Literal

from facebench import option, options


@options
class TemplateOptions:
    """Options of every Janus benchmark; the defaults are those of InsightFace's tables (N1 D1 F1)."""

    norm: Literal["keep", "unit"] = option(
        default="keep", help="length of a picture's embedding: keep (weigh by it, N1 in most tables) or unit"
    )
    faceness: Literal["on", "off"] = option(
        default="on", help="whether the detector's score weighs a picture, where the lists have one (D1)"
    )
    mirror: Literal["sum", "none"] = option(
        default="sum", help="fusion of a picture and its mirror image before pooling: sum (F1) or none"
    )
    pa_templates: Literal["mean", "precision"] = option(
        default="precision",
        help="templates of the score pa, where embeddings have confidences: precision (pictures weighted by it, as PFE "
        "has it) or mean",
    )
    far: tuple[float, ...] = option(
        default=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1), help="false accept rates at which TAR is reported"
    )
    fpir: tuple[float, ...] = option(
        default=(1e-2, 1e-1), help="false positive identification rates at which TPIR is reported"
    )
    images: str = option(
        default="", help="folder or tar of aligned pictures, relative to the data root, instead of the usual ones"
    )
    samples: int = option(default=200, help="bootstrap replicates behind each interval; 0 leaves intervals out", ge=0)


@options
class SplitOptions(TemplateOptions):
    """Options of IJB-A."""

    far: tuple[float, ...] = option(default=(1e-3, 1e-2, 1e-1), help="false accept rates at which TAR is reported")
    split: int = option(default=1, help="which of the ten splits", ge=1, le=10)
