"""What a user can set for TinyFace."""

from __future__ import annotations

from typing import Literal

from facebench import option, options


@options
class TinyFaceOptions:
    """Options of ``tinyface``."""

    mirror: Literal["sum", "none"] = option(
        default="sum", help="fusion of a face and its mirror image: sum (what CVLface and AdaFace do) or none"
    )
    distractors: Literal["on", "off"] = option(
        default="on", help="off searches the 4,443 mates alone; such figures are comparable with no published one"
    )
    images: str = option(
        default="",
        help="folder or tar that holds Probe, Gallery_Match and Gallery_Distractor, relative to the data root, instead "
        "of the usual one",
    )
    ranks: tuple[int, ...] = option(
        default=(1, 5, 10, 20, 50), help="ranks k, each from 1 on; the first is the headline", min_length=1
    )
    samples: int = option(default=1000, help="bootstrap replicates behind each interval; 0 leaves intervals out", ge=0)
