"""What users can set of drawing: which people, which pictures of them, and how these are steered; free of torch.

None of it needs another training. Where the paper's released scripts and the successor's differ, the default is the
release's; the caps, the flags per picture and the stopping of single rows are ours.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from facebench import ConfigError, option, options

CANDIDATES, ORDER, NOISE, MASKS, STEERING = 11, 12, 13, 14, 15
"""Separate streams of random numbers from one seed: candidates for identities, the order of the sigmas, what is added
to the vectors, the masks of the pictures, and the masks while vectors are steered."""

FULL_SIZE: Final = 512
"""D of the paper's vectors, for which ``threshold`` is stated."""
CEILING: Final = 0.95
"""The highest threshold that rescaling leads to; above it next to nothing is an identity of its own."""

Attrop = Literal["off", "identities", "images"]
Quality = Literal["off", "feature_norm", "toy_brightness"]
Pose = Literal["off", "toy_yaw"]

_THRESHOLD = (
    "the highest cosine of two identities, stated for vectors of length 512; for length d it becomes threshold * "
    "sqrt(512 / d), at most 0.95, since cosines of unrelated vectors spread as 1 / sqrt(d): 0.42 at 256, 0.6 at 128"
)
_SHRINKAGE = (
    "share of the covariance that gives way to a multiple of the identity matrix of the same trace; above 0, vectors "
    "also leave the directions in which the training identities differ, which fewer of them than dimensions leave open"
)
_ATTROP = (
    "gradient descent on vectors, all networks frozen, until the pictures have an attribute: off, once per identity "
    "before it is perturbed (quality alone), or per image after that, held to the unperturbed vector"
)
_WEIGHTS = "a checkpoint of a network built like the extractor, whose norm is the quality; empty: the extractor itself"


@options
class DrawingOptions:
    """Options of drawing with ``vec2face``."""

    sampling: Literal["gaussian", "isotropic"] = option(
        default="gaussian",
        help="where identities come from: gaussian, fitted to the means of the training identities, or isotropic, "
        "N(0, 1) in each coordinate, which looks less natural",
    )
    shrinkage: float = option(default=0.0, help=_SHRINKAGE, ge=0, le=1)
    filter: bool = option(default=True, help="whether identities too alike to an earlier one are left out")
    threshold: float = option(default=0.3, help=_THRESHOLD, gt=0, lt=1)
    sigmas: tuple[float, ...] = option(
        default=(0.3, 0.5, 0.7),
        help="standard deviations of what is added to an identity's vector for a picture, in units of a coordinate "
        "with variance 1, each 0 to 10; cosines to the identity are about 1 / sqrt(1 + sigma^2)",
        min_length=1,
    )
    shares: tuple[float, ...] = option(
        default=(0.4, 0.4, 0.2),
        help="share of each identity's pictures for each sigma; they sum to 1",
        min_length=1,
    )
    mask_ratio: float = option(
        default=0.0,
        help="fixed share of masked rows of the feature map; 0: random for each picture",
        ge=0,
        le=1,
    )
    mask_min: float = option(default=0.1, help="smallest random share; this many rows are dropped", ge=0, le=1)
    mask_max: float = option(default=1.0, help="largest random share", ge=0, le=1)
    mask_mean: float = option(default=0.15, help="mean of the normal distribution that is cut off there", ge=0, le=1)
    mask_std: float = option(default=0.25, help="its standard deviation", gt=0, le=10)
    attrop: Attrop = option(default="off", help=_ATTROP)
    attrop_steps: int = option(
        default=30, help="most steps of the descent (release: no end; its successor: 30)", ge=0, le=10_000
    )
    attrop_rate: float = option(default=0.1, help="learning rate of its Adam", gt=0, le=10)
    identity_weight: float = option(default=100.0, help="weight of 1 - cosine to the identity", ge=0)
    quality_weight: float = option(default=1.0, help="weight of what is missing to the quality", ge=0)
    pose_weight: float = option(default=1.0, help="weight of the degrees between pose and target", ge=0)
    quality_estimator: Quality = option(
        default="feature_norm",
        help="what quality is: feature_norm, the length of a network's vector, or toy_brightness, percent, for trials",
    )
    quality_checkpoint: str = option(default="", help=_WEIGHTS)
    quality: float = option(
        default=27.0, help="the least quality, in the estimator's units; 27 is for MagFace's norms", ge=0
    )
    pose_estimator: Pose = option(
        default="off",
        help="what pose is, for images: off, or toy_yaw, a contrast of left and right, for trials; real ones are given "
        "in Python",
    )
    pose: float = option(
        default=85.0, help="wanted angle to either side, degrees; the paper's author used 60 and 85", ge=0, le=90
    )
    identity_limit: float = option(
        default=0.3, help="largest 1 - cosine to the identity with which a descent may end", ge=0, le=2
    )
    quality_limit: float = option(default=1.0, help="most that may then be missing to the quality", ge=0)
    pose_limit: float = option(default=5.0, help="most degrees that may then be missing to the pose", ge=0)
    hinge: float = option(
        default=0.0,
        help="values of 1 - cosine up to this count nothing in the descent; 0: all count; at most identity_limit",
        ge=0,
        le=2,
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if len(self.sigmas) != len(self.shares):
            raise ConfigError(
                f"generation.sigmas and generation.shares go together; found {len(self.sigmas)} and {len(self.shares)} "
                "values"
            )
        if min(self.sigmas) < 0 or max(self.sigmas) > 10:
            raise ConfigError(f"generation.sigmas lie between 0 and 10, found {list(self.sigmas)}")
        if min(self.shares) < 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise ConfigError(f"generation.shares are 0 or more and sum to 1, found {list(self.shares)}")
        if self.mask_min > self.mask_max:
            raise ConfigError(f"generation.mask_min is above generation.mask_max: {self.mask_min}, {self.mask_max}")
        if self.hinge > self.identity_limit:
            raise ConfigError(
                f"generation.hinge {self.hinge} is above generation.identity_limit {self.identity_limit}: nothing "
                "would pull the vectors below the limit"
            )
        self._check_steering()

    def _check_steering(self) -> None:
        """Refuses a descent towards nothing.

        Raises:
            ConfigError: When there is no estimator for what is to be steered.
        """
        if self.attrop == "identities" and self.quality_estimator == "off":
            raise ConfigError("generation.attrop=identities steers quality; set generation.quality_estimator")
        if self.attrop == "images" and self.quality_estimator == self.pose_estimator == "off":
            raise ConfigError(
                "generation.attrop=images steers quality and pose; set generation.quality_estimator or "
                "generation.pose_estimator"
            )
        if self.quality_checkpoint and self.quality_estimator != "feature_norm":
            raise ConfigError("generation.quality_checkpoint is for generation.quality_estimator=feature_norm")

    def threshold_for(self, size: int) -> float:
        """The threshold in force for vectors of length ``size``."""
        return min(self.threshold * math.sqrt(FULL_SIZE / size), max(CEILING, self.threshold))
