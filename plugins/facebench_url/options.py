"""What users can set of the loss and of the trainers; free of torch.

The paper's text was at hand up to its section 3.4; what follows it, and most settings, are secondary or from memory,
and are options for that reason. ``[R]`` marks defaults that are recalled and not verified, ``[D]`` those that are ours.
"""

from __future__ import annotations

from typing import Literal

from facebench import ClassOptions, ConfigError, TrainerOptions, option, options

VARIATIONS = ("low_resolution", "occlusion", "pose")
"""The augmentations, in the order of their marks, which the loss learns from: M = 3."""

_CONFIDENT = "whether faces have confidences of their own (CI); else all have scale"
_BLOCKS = "K: blocks of the embedding (ME); backbone.confidence must say the same"
_DECORRELATE = "whether each half of the blocks is asked for one variation and kept from the others (DE)"
_AGGREGATE = "epochs in which the confidences alone are trained for comparing pairs (PA); 0: none"


@options
class UrlOptions(ClassOptions):
    """Options of ``url``."""

    blocks: int = option(default=16, help=_BLOCKS, ge=1, le=1024)
    margin: float = option(
        default=30.0, help="m, subtracted from the own logit, not multiplied by s [R]", ge=0, le=1000
    )
    confident: bool = option(default=True, help=_CONFIDENT)
    scale: float = option(default=64.0, help="s where there are no confidences", gt=0, le=1000)
    regularisation: float = option(default=0.001, help="lambda_reg: weight of the mean squared confidence [R]", ge=0)
    decorrelate: bool = option(default=True, help=_DECORRELATE)
    classifying: float = option(default=2.0, help="lambda_cls [R]", ge=0)
    adversarial: float = option(default=2.0, help="lambda_adv [R]", ge=0)
    mined: int = option(
        default=0, help="T: mined variations, as many as columns in trainer.mined; the paper has 3 [R]", ge=0, le=256
    )
    discriminator_rate: float = option(
        default=1e-5, help="learning rate of the discriminator's Adam (the public re-implementation's)", gt=0
    )

    @property
    def variations(self) -> int:
        """M + T."""
        return len(VARIATIONS) + self.mined


@options
class PlainOptions(UrlOptions):
    """Options of ``url-va``: CosFace on varied faces."""

    blocks: int = option(default=1, help=_BLOCKS, ge=1, le=1024)
    margin: float = option(default=25.6, help="m, subtracted from the own logit; 64 x 0.4 is CosFace's", ge=0, le=1000)
    confident: bool = option(default=False, help=_CONFIDENT)
    decorrelate: bool = option(default=False, help=_DECORRELATE)


@options
class ConfidentOptions(UrlOptions):
    """Options of ``url-ci``: one confidence for a face."""

    blocks: int = option(default=1, help=_BLOCKS, ge=1, le=1024)
    decorrelate: bool = option(default=False, help=_DECORRELATE)


@options
class BlocksOptions(UrlOptions):
    """Options of ``url-me``: a confidence for each block."""

    decorrelate: bool = option(default=False, help=_DECORRELATE)


@options
class UrlTrainerOptions(TrainerOptions):
    """Options of the trainers.

    The paper trains a ResNet-100 on a cleaned MS-Celeb-1M for 27 epochs with augmentation [R]; its optimiser, batch and
    rates are unknown, so that the defaults are the stock trainer's.
    """

    variation: float = option(
        default=0.3, help="probability of each of low resolution, occlusion and pose (VA) [R]; 0: none", ge=0, le=1
    )
    blur_kernel_least: int = option(default=3, help="smallest window of the blur, pixels, odd [R]", ge=1, le=63)
    blur_kernel_most: int = option(
        default=11, help="largest window, odd [R]; the deviation follows from it by OpenCV's rule [D]", ge=1, le=63
    )
    resample: float = option(
        default=0.0,
        help="share of the low-resolution faces that are shrunk and enlarged instead of blurred [D]",
        ge=0,
        le=1,
    )
    blocks_least: int = option(default=1, help="fewest black blocks of the 7 x 7 that cut up a face [D]", ge=1, le=49)
    blocks_most: int = option(default=10, help="most black blocks [D]", ge=1, le=49)
    pose: Literal["pose_2d_approx", "profiles", "off"] = option(
        default="pose_2d_approx",
        help="pose_2d_approx turns the picture as if it were a curved surface, where the paper has a 3-D model of the "
        "face; profiles takes pictures rendered beforehand, from trainer.profiles",
    )
    yaw_least: float = option(default=40.0, help="smallest turn, degrees [R]", ge=0, le=80)
    yaw_most: float = option(default=60.0, help="largest turn, degrees [R]", ge=0, le=80)
    profiles: str = option(default="", help="CSV path,profile: rendered profile pictures of the training faces")
    mined: str = option(
        default="", help="CSV path,NAME,...: soft labels in 0..1 of mined variations, as many as loss.mined"
    )
    aggregate_epochs: int = option(default=4, help=_AGGREGATE + " [D]", ge=0, le=1000)
    aggregate_rate: float = option(default=1e-2, help="learning rate of that; PFE has 0.001 [D]", gt=0)
    aggregate_group: int = option(
        default=4, help="faces of one person that follow one another while that is trained (PFE)", ge=2, le=64
    )

    def __post_init__(self) -> None:
        """Refuses ranges that are none."""
        super().__post_init__()
        for least, most in (
            ("blur_kernel_least", "blur_kernel_most"),
            ("blocks_least", "blocks_most"),
            ("yaw_least", "yaw_most"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise ConfigError(
                    f"trainer.{least} is above trainer.{most}: {getattr(self, least)}, {getattr(self, most)}"
                )
        if not self.blur_kernel_least % 2 or not self.blur_kernel_most % 2:
            raise ConfigError("trainer.blur_kernel_least and blur_kernel_most must be odd; a window has a middle")
        if (self.pose == "profiles") != bool(self.profiles):
            raise ConfigError("trainer.pose=profiles and trainer.profiles=FILE go together")


@options
class UnaggregatedOptions(UrlTrainerOptions):
    """Options of the trainers of the ablation before PA."""

    aggregate_epochs: int = option(default=0, help=_AGGREGATE, ge=0, le=1000)
