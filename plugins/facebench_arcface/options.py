"""What users can set of each loss; free of torch."""

from __future__ import annotations

from typing import Literal

from facebench import ClassOptions, option, options


@options
class SoftmaxOptions(ClassOptions):
    """What all losses of the family have."""

    filter_above: float = option(
        default=0.0,
        help="inter-class filtering: cosines with other classes above this count as 0 and teach nothing, against "
        "label noise; arcface_torch uses 0.4; 0 is off",
        ge=0,
        le=1,
    )


@options
class MarginOptions(SoftmaxOptions):
    """Options of losses with a fixed scale."""

    scale: float = option(default=64.0, help="s: the length given to embeddings, logits are s * cosine", gt=0, le=1000)


@options
class ArcFaceOptions(MarginOptions):
    """Options of ``arcface``."""

    margin: float = option(default=0.5, help="m2: the angle added to a face's own class, radians", ge=0, le=3.1416)
    gradient: Literal["exact", "straight-through"] = option(
        default="exact", help="exact (the paper), or straight-through (arcface_torch since December 2022)"
    )
    fallback: Literal["auto", "hard", "easy", "clip", "none"] = option(
        default="auto",
        help="where theta + margin exceeds pi: hard, easy, clip or none; auto is hard with exact, none otherwise",
    )


@options
class SubcentreOptions(ArcFaceOptions):
    """Options of ``subcentre-arcface``."""

    subcentres: int = option(default=3, help="K: centres of each class; the nearest one counts", ge=1, le=64)


@options
class CosFaceOptions(MarginOptions):
    """Options of ``cosface``."""

    margin: float = option(
        default=0.4, help="m3: what is taken from the own cosine; 0.4 in arcface_torch, 0.35 in the paper", ge=0, le=1
    )


@options
class CombinedOptions(MarginOptions):
    """Options of ``combined-margin``."""

    m1: float = option(default=1.0, help="factor on the own angle", gt=0, le=8)
    m2: float = option(default=0.3, help="angle added to it, radians", ge=0, le=3.1416)
    m3: float = option(default=0.2, help="what is taken from its cosine", ge=0, le=1)
    gradient: Literal["exact", "straight-through"] = option(
        default="exact", help="exact, or straight-through: as if the margin were a constant"
    )
    fallback: Literal["clip", "none"] = option(
        default="clip", help="where m1 * theta + m2 exceeds pi: clip holds it there, none lets the cosine rise again"
    )


@options
class SphereFaceOptions(SoftmaxOptions):
    """Options of ``sphereface``."""

    margin: int = option(default=4, help="m1: the whole factor on the own angle", ge=1, le=16)
    scale: float = option(default=0.0, help="s; 0: the length of each embedding itself, as published", ge=0, le=1000)
    anneal_start: float = option(
        default=1000.0,
        help="step t shares the own logit between cosine and margin, lambda : 1 with "
        "lambda = max(anneal_least, anneal_start * (1 + anneal_rate * t) ** -anneal_power)",
        ge=0,
    )
    anneal_rate: float = option(default=0.12, help="how fast lambda falls", ge=0)
    anneal_power: float = option(default=1.0, help="the power with which it falls", ge=0, le=16)
    anneal_least: float = option(default=5.0, help="where it stops; 0 and anneal_start=0 for no annealing", ge=0)
