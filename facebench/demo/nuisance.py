"""What changes from picture to picture of one person: pose, light, expression, age, occlusion and the camera.

Nothing here depends on who is drawn. `Nuisance` says how strong each kind is; the drawn values are one row of numbers
per image, so that a protocol can ask for poses, blurred probes or age gaps without a second way of drawing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.parameters import Parameter, combine, counters, draw_table, identity_keys
from facebench.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

NUISANCE_STREAM = np.uint64(0x5CE4E)

NUISANCE_TABLE: tuple[Parameter, ...] = (
    Parameter("yaw", -0.68, 0.68, 2, "turn to the side in radians"),
    Parameter("turn-side", -1.0, 1.0, 1, "sign of the additional turn"),
    Parameter("pitch", -0.26, 0.26, 2, "nod in radians"),
    Parameter("roll", -0.09, 0.09, 2, "tilt left by the alignment in radians"),
    Parameter("shift-x", -3.2, 3.2, 2, "misplacement of the crop in pixels"),
    Parameter("shift-y", -3.2, 3.2, 2, "misplacement of the crop in pixels"),
    Parameter("zoom", -0.08, 0.08, 2, "relative misjudgement of the size"),
    Parameter("light-x", -1.3, 1.3, 1, "light from the left or the right"),
    Parameter("light-y", -1.1, 0.5, 1, "light from above or below"),
    Parameter("light-contrast", 0.3, 0.9, 1, "directed light against light from all sides"),
    Parameter("exposure", -0.36, 0.30, 2, "relative brightness"),
    Parameter("warmth", -0.17, 0.17, 2, "cold to warm light"),
    Parameter("tint", -0.10, 0.10, 2, "magenta to green light"),
    Parameter("saturation", -0.55, 0.35, 2, "relative strength of colour"),
    Parameter("contrast", -0.25, 0.25, 2, "relative contrast of the camera"),
    Parameter("smile", -0.35, 1.0, 1, "turned-down to smiling mouth"),
    Parameter("mouth-open", -1.3, 1.0, 1, "open mouth where positive"),
    Parameter("brow-raise", -0.8, 1.0, 1, "lowered to raised eyebrows"),
    Parameter("eye-closure", -2.4, 1.0, 1, "closing eyes where positive"),
    Parameter("gaze-x", -1.9, 1.9, 2, "gaze to the side in pixels"),
    Parameter("gaze-y", -0.8, 0.9, 2, "gaze up or down in pixels"),
    Parameter("make-up", -1.0, 1.0, 1, "redder lips and darker lids where positive"),
    Parameter("hair-shift", -9.0, 9.0, 2, "how the hair happens to lie, in pixels"),
    Parameter("age", 0.0, 1.0, 1, "wrinkles, grey hair, fuller face"),
    Parameter("occlusion", 0.0, 1.0, 1, "below the probability of an occlusion there is one"),
    Parameter("occlusion-kind", 0.0, 4.0, 1, "sunglasses, mask, hand, block"),
    Parameter("occlusion-x", -1.0, 1.0, 1, "where the hand or block is"),
    Parameter("occlusion-y", -1.0, 1.0, 1, "where the hand or block is"),
    Parameter("occlusion-size", 0.0, 1.0, 1, "how large it is"),
    Parameter("occlusion-hue", 0.0, 1.0, 1, "which colour it has"),
    Parameter("glasses", 0.0, 1.0, 1, "below the probability of spectacles there are some"),
    Parameter("glasses-shape", 0.0, 1.0, 1, "round to wide"),
    Parameter("blur", 0.0, 1.0, 1, "below three fifths the picture is sharp"),
    Parameter("noise", 0.0, 1.0, 1, "strength of the sensor noise"),
    Parameter("noise-place", 0.0, 1.0, 1, "which noise"),
    Parameter("low-resolution", 0.0, 1.0, 1, "below the probability of a coarse picture it is one"),
    Parameter("coarseness", 0.0, 1.0, 1, "where in the range of resolutions"),
    Parameter("ground-tone", 20.0, 225.0, 1, "brightness of the background"),
    Parameter("ground-red", -0.4, 0.4, 2, "colour of the background"),
    Parameter("ground-blue", -0.45, 0.45, 2, "colour of the background"),
    Parameter("ground-slope-x", -1.0, 1.0, 1, "gradient of the background"),
    Parameter("ground-slope-y", -1.0, 1.0, 1, "gradient of the background"),
    Parameter("ground-spot", -1.0, 1.0, 1, "a darker or brighter spot in the background"),
    Parameter("ground-spot-x", -56.0, 56.0, 1, "where that spot is"),
    Parameter("mottle-place", 0.0, 1.0, 1, "which brush marks"),
)

NUISANCE_PARAMETERS: tuple[str, ...] = tuple(parameter.name for parameter in NUISANCE_TABLE)

SCALED: dict[str, tuple[str, ...]] = {
    "pose": ("yaw", "pitch"),
    "light": ("light-x", "exposure", "warmth", "tint", "saturation", "contrast"),
    "expression": ("smile", "mouth-open", "brow-raise", "eye-closure", "gaze-x", "gaze-y", "make-up", "hair-shift"),
    "misalignment": ("roll", "shift-x", "shift-y", "zoom"),
    "age": ("age",),
    "noise": ("noise",),
}


@dataclass(frozen=True, slots=True)
class Nuisance:
    """How strongly pictures of one person differ.

    Strengths are factors on the ordinary range: 0 switches a kind off, 1 is ordinary, up to 3 is allowed.

    Attributes:
        pose: Turning (up to 39 degrees at 1) and nodding.
        turn: Further turn in degrees to a random side, 0 to 55: 40 for the profile probes of a CFP-FP-like protocol.
        light: Direction, exposure, colour and contrast.
        expression: Smile, open mouth, eyebrows, eyelids, gaze, make-up, lie of the hair.
        age: Largest ageing, 0 to 1; each image is aged by something between nothing and this.
        background: Range of the background's colours.
        misalignment: Shift, size and tilt that the alignment got wrong.
        occlusion: Probability of sunglasses, a mask, a hand or a block.
        glasses: Probability of spectacles.
        blur: Strength of defocus; three in five images stay sharp.
        noise: Strength of sensor noise.
        low_resolution: Probability that an image was taken at few pixels.
        resolution: Range of its side in pixels when it was, 6 to 112.
    """

    pose: float = 1.0
    turn: float = 0.0
    light: float = 1.0
    expression: float = 1.0
    age: float = 0.45
    background: float = 1.0
    misalignment: float = 1.0
    occlusion: float = 0.10
    glasses: float = 0.10
    blur: float = 0.7
    noise: float = 1.0
    low_resolution: float = 0.10
    resolution: tuple[int, int] = (28, 72)

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: A value lies outside its range.
        """
        limits = {"turn": 55.0, "age": 1.0, "occlusion": 1.0, "glasses": 1.0, "low_resolution": 1.0}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "resolution":
                if not 6 <= value[0] <= value[1] <= 112:
                    raise ConfigError(f"nuisance resolution must rise within 6 to 112 pixels, not {value}")
            elif not 0.0 <= value <= limits.get(field.name, 3.0):
                high = limits.get(field.name, 3.0)
                raise ConfigError(f"nuisance {field.name} must be between 0 and {high:g}, not {value}")

    @classmethod
    def none(cls) -> Nuisance:
        """A passport picture: frontal, even light, neutral, sharp."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    @classmethod
    def easy(cls) -> Nuisance:
        """Half the ordinary differences, nothing in front of the face."""
        return cls(0.5, 0.0, 0.5, 0.5, 0.1, 1.0, 0.5, 0.0, 0.0, 0.3, 0.5, 0.0)

    @classmethod
    def hard(cls) -> Nuisance:
        """Larger poses, harsher light, more occlusion and coarser pictures."""
        return cls(1.35, 0.0, 1.3, 1.2, 0.6, 1.0, 1.3, 0.2, 0.15, 1.2, 1.6, 0.3, (18, 56))


def nuisance_parameters(
    identities: npt.ArrayLike, images: npt.ArrayLike, *, seed: int = 0, nuisance: Nuisance | None = None
) -> npt.NDArray[np.float32]:
    """Describe what differs from picture to picture.

    Args:
        identities: (N,) integers from 0 on.
        images: (N,) the number of each picture among those of its identity, from 0 on.
        seed: The seed of the population.
        nuisance: How strong the differences are; ordinary if not given.

    Returns:
        (N, Q) values, columns in the order of `NUISANCE_PARAMETERS`; a row depends on its identity, image and the seed
        alone, not on its neighbours. Probabilities and ranges are resolved: `occlusion-kind` is -1 where nothing hides
        the face, `coarseness` is a side in pixels.

    Raises:
        ConfigError: The lists differ in length, or hold something else than integers from 0 on.
    """
    nuisance = nuisance or Nuisance()
    keys, numbers = identity_keys(identities, seed=seed), counters("images", images)
    if len(keys) != len(numbers):
        raise ConfigError(f"{len(keys)} identities and {len(numbers)} images; give one image number per identity")
    values = draw_table(combine(combine(keys, np.broadcast_to(NUISANCE_STREAM, keys.shape)), numbers), NUISANCE_TABLE)
    column = {name: values[:, index] for index, name in enumerate(NUISANCE_PARAMETERS)}
    for kind, names in SCALED.items():
        for name in names:
            column[name] *= np.float32(getattr(nuisance, kind))
    _resolve(column, nuisance)
    return values


def _resolve(column: dict[str, npt.NDArray[np.float32]], nuisance: Nuisance) -> None:
    """Turn probabilities and ranges into what is drawn, in place."""
    turn = np.float32(nuisance.turn * 0.017453292519943295)
    column["yaw"] += np.where(column["turn-side"] < 0, -turn, turn)
    np.clip(column["yaw"], -1.0, 1.0, out=column["yaw"])
    np.clip(column["pitch"], -0.6, 0.6, out=column["pitch"])
    for name in ("smile", "brow-raise"):
        np.clip(column[name], -1.0, 1.5, out=column[name])
    for name in ("mouth-open", "eye-closure", "make-up"):
        np.clip(column[name], 0.0, 1.2, out=column[name])
    share = np.float32(min(nuisance.light, 1.0))
    for name, usual in (("light-contrast", 0.6), ("light-y", -0.3)):
        middle = np.float32(usual)
        column[name][...] = middle + (column[name] - middle) * share
    column["occlusion-kind"][...] = np.where(
        column["occlusion"] < nuisance.occlusion, np.floor(column["occlusion-kind"]), np.float32(-1)
    )
    column["glasses"][...] = (column["glasses"] < nuisance.glasses) & (column["occlusion-kind"] != 0)
    column["blur"][...] = np.clip(column["blur"] * 2.5 - 1.5, 0, 1) * np.float32(nuisance.blur)
    low, high = nuisance.resolution
    side = np.rint(low + (high - low) * column["coarseness"])
    column["coarseness"][...] = np.where(column["low-resolution"] < nuisance.low_resolution, side, np.float32(112))
    middle = np.float32(122.0)
    column["ground-tone"][...] = middle + (column["ground-tone"] - middle) * np.float32(min(nuisance.background, 1.0))
    for name in ("ground-red", "ground-blue", "ground-slope-x", "ground-slope-y", "ground-spot"):
        column[name] *= np.float32(nuisance.background)
