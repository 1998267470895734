"""What users can set of losses and trainers, and the defaults that make a name mean a published variant; free of torch.

Where paper and released code differ there is an option. A name stands for one set of them:

- ``topofr``: the paper, but for the matching of ISA, where alpha is the release's and so the scale it was tuned on.
- ``topofr-paper``: with equation 2's matching too.
- ``topofr-release``: the released code, its slips included.
- ``topofr-r``, ``-a``, ``-p``, ``-f``, ``-g``: the ablation of table 3.
"""

from __future__ import annotations

from typing import Literal

from facebench import ClassOptions, TrainerOptions, option, options

_ALPHA = (
    "weight of the alignment; -1: the paper's for the network, 0.05 for iresnet100 and iresnet200, 0.1 for all others "
    "(released code: 0.1)"
)
_MATCHING = (
    "sorted compares the trees' lengths in rising order (released code), symmetric the same edges in both spaces "
    "(equation 2)"
)
_HARDNESS = "whether faces with uncertain predictions count up to 2^temperature times (omega_1)"
_FOCAL = (
    "the factor 1 - g of each face (omega_2): grad as in focal loss, detach as a constant weight, off (released code, "
    "where it is rounded away)"
)
_MIXTURE = "how hardness is fitted: symmetric in the sign of the entropies, or reference, as released, by places"
_EPS = "added to probabilities under the logarithm of the entropy; the released code has 1e-5"
_PERTURBED = "xi: probability of perturbing a face"
_LEAK = (
    "which perturbed faces also replace the clean ones that embeddings are compared with: none (paper), erasing "
    "(released code) or all (before November 2024)"
)

_DEEP_ALPHA = {"iresnet100": 0.05, "iresnet200": 0.05}


@options
class TopoFROptions(ClassOptions):
    """Options of ``topofr``."""

    base: Literal["arcface", "cosface"] = option(
        default="arcface", help="the margin's kind; the paper marks its results with cosface by a dagger"
    )
    margin: float = option(
        default=0.0, help="angle (arcface) or cosine (cosface); 0: the paper's, 0.5 and 0.4", ge=0, le=3.1416
    )
    scale: float = option(default=64.0, help="s: the length given to embeddings, logits are s * cosine", gt=0, le=1000)
    alpha: float = option(default=-1, help=_ALPHA, ge=-1)
    matching: Literal["sorted", "symmetric"] = option(default="sorted", help=_MATCHING)
    latent_norm: Literal["none", "max"] = option(
        default="none",
        help="max divides distances by the largest of their space, so that shrinking all embeddings gains nothing; "
        "none is the paper",
    )
    group_size: int = option(
        default=128,
        help="faces, one after another in the batch, that are aligned with each other; the paper's per GPU",
        ge=2,
        le=4096,
    )
    hardness: bool = option(default=True, help=_HARDNESS)
    temperature: float = option(default=1.0, help="lambda: exponent of 1 + h", ge=0, le=64)
    focal: Literal["grad", "detach", "off"] = option(default="grad", help=_FOCAL)
    mixture: Literal["symmetric", "reference"] = option(default="symmetric", help=_MIXTURE)
    entropy_eps: float = option(default=0.0, help=_EPS, ge=0, le=0.1)

    @property
    def own_margin(self) -> float:
        """The margin in force."""
        return self.margin or {"arcface": 0.5, "cosface": 0.4}[self.base]

    def alpha_for(self, backbone: str) -> float:
        """The weight of the alignment for a network (appendix A.1)."""
        return self.alpha if self.alpha >= 0 else _DEEP_ALPHA.get(backbone, 0.1)


@options
class PaperOptions(TopoFROptions):
    """Options of ``topofr-paper``."""

    matching: Literal["sorted", "symmetric"] = option(default="symmetric", help=_MATCHING)


@options
class ReleaseOptions(TopoFROptions):
    """Options of ``topofr-release``."""

    alpha: float = option(default=0.1, help=_ALPHA, ge=-1)
    focal: Literal["grad", "detach", "off"] = option(default="off", help=_FOCAL)
    mixture: Literal["symmetric", "reference"] = option(default="reference", help=_MIXTURE)
    entropy_eps: float = option(default=1e-5, help=_EPS, ge=0, le=0.1)


@options
class AlignedOptions(TopoFROptions):
    """Options of ``topofr-p``: alignment alone."""

    hardness: bool = option(default=False, help=_HARDNESS)
    focal: Literal["grad", "detach", "off"] = option(default="off", help=_FOCAL)


@options
class FocalOptions(TopoFROptions):
    """Options of ``topofr-f``: alignment, and omega_2."""

    hardness: bool = option(default=False, help=_HARDNESS)


@options
class HardnessOptions(TopoFROptions):
    """Options of ``topofr-g``: alignment, and omega_1."""

    focal: Literal["grad", "detach", "off"] = option(default="off", help=_FOCAL)


@options
class TopoFRTrainerOptions(TrainerOptions):
    """Options of the trainers.

    The paper's networks saw 512 faces a step (4 x 128) at ``learning_rate`` 0.1, for 30 ``epochs`` of MS1MV2 (R100:
    25), and with ``weight_decay`` 1e-4 on Glint360K; the defaults here are the stock trainer's, for one device.
    """

    power: float = option(
        default=2.0, help="of the polynomial schedule: 1 falls in a straight line, 2 faster at first", gt=0
    )
    perturbed: float = option(default=0.2, help=_PERTURBED, ge=0, le=1)
    leak: Literal["none", "erasing", "all"] = option(default="none", help=_LEAK)
    free_scale: bool = option(
        default=True,
        help="whether the scale of the network's last normalisation is trained, as released, where networks freeze it; "
        "it lets the alignment shrink the embeddings",
    )
    figure_every: int = option(
        default=5, help="epochs between figures of the fitted mixture, in figures/; 0 draws none", ge=0, decides=False
    )


@options
class UnperturbedTrainerOptions(TopoFRTrainerOptions):
    """Options of the trainer ``topofr-a``."""

    perturbed: float = option(default=0.0, help=_PERTURBED, ge=0, le=1)


@options
class ReleaseTrainerOptions(TopoFRTrainerOptions):
    """Options of the trainer ``topofr-release``."""

    leak: Literal["none", "erasing", "all"] = option(default="erasing", help=_LEAK)
