"""What users can set of the training, and how large the generator is; free of torch.

The paper's released commands disagree with one another. Where they do, the default is that of the current code; see
``Vec2FaceOptions`` for what differs on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from facebench import ConfigError, TrainerOptions, option, options


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a generator and its discriminator are.

    Attributes:
        grid: g: a face becomes g * g rows, and g * g places of the map that the image decoder starts from.
        width: Length of a row.
        encoder_blocks: Transformer blocks before the left-out rows come back.
        encoder_heads: Attention heads of each; they divide ``width``.
        decoder_blocks: Transformer blocks after that.
        decoder_heads: Attention heads of each; they divide ``width``.
        base: Channels of the image decoder at full resolution.
        multipliers: By what the channels of each level are more, from full resolution to the grid.
        residuals: Residual blocks of each level.
        channels: Of the map that the image decoder starts from.
        groups: Of its group normalisations; they divide all its widths.
        discriminator: Channels of the discriminator's stem and three stages, multiples of 8.
    """

    grid: int
    width: int
    encoder_blocks: int
    encoder_heads: int
    decoder_blocks: int
    decoder_heads: int
    base: int
    multipliers: tuple[int, ...]
    residuals: int
    channels: int
    groups: int
    discriminator: tuple[int, int, int, int]

    @property
    def rows(self) -> int:
        """n: rows of a feature map."""
        return self.grid**2

    @property
    def image(self) -> int:
        """S: side of the pictures, pixels; each level but the last doubles the grid."""
        return self.grid << (len(self.multipliers) - 1)


_FULL = (1, 1, 2, 2, 4)
SHAPES: Final = {
    "base": Shape(7, 768, 12, 12, 8, 16, 128, _FULL, 2, 256, 32, (64, 128, 256, 512)),
    "large": Shape(7, 1024, 24, 16, 8, 16, 128, _FULL, 2, 256, 32, (64, 128, 256, 512)),
    "small": Shape(7, 384, 6, 6, 4, 6, 64, _FULL, 2, 128, 32, (32, 64, 128, 256)),
    "half56": Shape(7, 128, 3, 4, 2, 4, 32, (1, 1, 2, 2), 1, 64, 8, (32, 64, 128, 256)),
    "tiny32": Shape(4, 96, 2, 4, 2, 4, 16, (1, 1, 2, 2), 1, 32, 8, (16, 32, 64, 128)),
}
"""By name: ``base`` is the paper's, ``large`` is in its code, the others are ours."""

_SIZE = "of the generator: base, the paper's; large; small; half56 and tiny32 draw 56 and 32 pixels and are for trials"
_PERCEPTUAL = (
    "what the perceptual term compares: fr, maps of the extractor; lpips, maps of a VGG16 weighed as people see; or off"
)
_GAN = (
    "a discriminator of patches in the last part of the training: off; paper, least squares for the discriminator and "
    "a linear term for the generator; fixed, least squares for both, and a rate that falls for both"
)


@options
class Vec2FaceOptions(TrainerOptions):
    """Options of the training of ``vec2face``.

    Optimiser, rates, clipping and epochs are those of the released training at 128 faces per step; there, the learning
    rate is 4e-5 * batch_size / 112. The discriminator's first fault in that code, that it descends the generator's loss
    as well, is repeated by neither ``gan``.
    """

    size: Literal["base", "large", "small", "half56", "tiny32"] = option(default="base", help=_SIZE)
    mse: float = option(default=1.0, help="weight of the mean squared difference of pixels, in [-1, 1]", ge=0)
    identity: float = option(default=1.0, help="weight of 1 - cosine of the vectors of drawn and real face", ge=0)
    token: float = option(default=1.0, help="weight of the mean squared difference of rows and feature map", ge=0)
    perceptual_weight: float = option(default=0.2, help="weight of the perceptual distance", ge=0)
    ssim: float = option(default=0.1, help="weight of 1 - structural similarity", ge=0)
    perceptual: Literal["fr", "lpips", "off"] = option(default="fr", help=_PERCEPTUAL)
    lpips_weights: str = option(
        default="",
        help="for perceptual=lpips: a .safetensors or .pth file with torchvision's features.N.* of VGG16 and lpips's "
        "linK.model.1.weight",
    )
    mask_min: float = option(default=0.5, help="smallest share of masked rows; this many are dropped", ge=0, le=1)
    mask_max: float = option(default=1.0, help="largest share of masked rows", ge=0, le=1)
    mask_mean: float = option(default=0.75, help="mean of the normal distribution that is cut off there", ge=0, le=1)
    mask_std: float = option(default=0.25, help="its standard deviation", gt=0, le=10)
    dropout: float = option(default=0.1, help="of rows, attention and transformer layers", ge=0, lt=1)
    gan: Literal["off", "paper", "fixed"] = option(default="off", help=_GAN)
    gan_start: float = option(default=0.8, help="after which part of the training the discriminator comes", ge=0, le=1)
    gan_balance: Literal["adaptive", "constant"] = option(
        default="adaptive",
        help="adaptive: the weight of the generator's term makes its gradient as long as that of all others",
    )
    gan_weight: float = option(default=0.8, help="times the adaptive weight, or the constant weight itself", ge=0)
    gan_rate: float = option(default=0.0, help="learning rate of the discriminator's AdamW; 0: learning_rate", ge=0)
    flip: float = option(default=0.0, help="probability of mirroring a face", ge=0, le=1)
    epochs: int = option(default=100, help="passes over the training set; 0 leaves the network untrained", ge=0)
    learning_rate: float = option(default=4.57e-5, help="the highest learning rate of the schedule", gt=0)
    optimizer: Literal["sgd", "adamw"] = option(default="adamw", help="sgd, or adamw for transformers")
    beta2: float = option(default=0.99, help="of adamw: decay of the mean squared gradient", ge=0, lt=1)
    weight_decay: float = option(default=0.01, help="weight decay of network and discriminator", ge=0)
    schedule: Literal["polynomial", "cosine", "step", "constant"] = option(
        default="cosine", help="polynomial falls to 0, step divides by 10 at each milestone"
    )
    warmup_epochs: float = option(default=5.0, help="epochs over which the learning rate rises from 0", ge=0)
    clip_gradient: float = option(
        default=2.0, help="largest norm of the generator's gradient, and of the discriminator's; 0 clips nothing", ge=0
    )
    keep_classes: bool = option(
        default=False, help="whether the discriminator is kept beside the network", decides=False
    )

    def __post_init__(self) -> None:
        """Refuses what does not go together."""
        super().__post_init__()
        if (self.perceptual == "lpips") != bool(self.lpips_weights):
            raise ConfigError("generator.perceptual=lpips and generator.lpips_weights=FILE go together")
        if self.mask_min > self.mask_max:
            raise ConfigError(f"generator.mask_min is above generator.mask_max: {self.mask_min}, {self.mask_max}")
        if self.gan != "off" and self.precision == "float16":
            raise ConfigError(
                "generator.gan and generator.precision=float16 do not go together; use bfloat16, which needs no "
                "scaling of two losses that are against one another"
            )
        if self.gan != "off" and self.gan_balance == "adaptive" and self.compile:
            raise ConfigError(
                "generator.gan_balance=adaptive goes back through a part of the network twice, which a compiled one "
                "does not allow; set generator.compile=false or generator.gan_balance=constant"
            )

    @property
    def shape(self) -> Shape:
        """What ``size`` stands for."""
        return SHAPES[self.size]
