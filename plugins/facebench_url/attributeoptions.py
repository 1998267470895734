"""What users can set of the attribute model; free of torch.

The paper's text was at hand up to its section 3.4, where the model is announced and equation 15 is missing: ``[R]``
marks what is recalled and not verified, ``[D]`` what is ours.
"""

from __future__ import annotations

from facebench import ConfigError, TrainerOptions, option, options


@options
class AttributeOptions:
    """Options of the loss ``url-attributes``."""

    attributes: int = option(
        default=3,
        help="T: attributes, as many as columns in trainer.table; the paper has smiling, young and gender [R]",
        ge=1,
        le=256,
    )
    adversarial: float = option(
        default=1.0, help="weight of keeping identities out of the vectors; 0 lets them in [D]", ge=0
    )
    rival_rate: float = option(
        default=1e-3, help="learning rate of the Adam of the classifier that looks for identities [D]", gt=0
    )


@options
class AttributeTrainerOptions(TrainerOptions):
    """Options of the trainer ``url-attributes``: the stock trainer's, what it learns from, and what it labels.

    How the paper trains its attribute model is unknown; the defaults are the stock trainer's.
    """

    table: str = option(
        default="",
        help="CSV path,NAME,...: attributes of the training faces in 0..1, empty where unknown; must be given",
    )
    label: str = option(
        default="",
        help="training set to write soft labels for: a folder, .tar, .csv, .bin or .rec; empty: the one it learns from",
    )

    def __post_init__(self) -> None:
        """Refuses to keep a network that the head of attributes does not belong to."""
        super().__post_init__()
        if self.keep == "best" or self.ema:
            raise ConfigError(
                "trainer.keep=best and trainer.ema keep another network than the one the head of attributes was "
                "trained on; an attribute model takes keep=last and ema=0"
            )
