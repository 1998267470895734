"""Who a drawn person is: the table of identity parameters and the counter-based numbers that fill it.

Every value is a hash of (seed, identity, parameter), so that a person is the same whatever is drawn beside it, in
whatever order, on whatever machine: integer arithmetic is exact, and the few floating-point steps after it are single
additions and multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
IDENTITY_STREAM = 0x1D3A7


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that a picture depends on.

    Attributes:
        name: Its name, unique among identity and nuisance parameters together.
        low: Smallest value.
        high: Largest value.
        draws: How many uniform numbers are averaged: 1 is flat between the limits, 3 is bell-shaped.
        meaning: What it does; lengths are in pixels of the 112-pixel crop.
    """

    name: str
    low: float
    high: float
    draws: int
    meaning: str


IDENTITY_TABLE: tuple[Parameter, ...] = (
    Parameter("head-width", 35.5, 43.5, 2, "half the width of the face at the cheeks"),
    Parameter("cheek-height", -4.0, 12.0, 2, "row below the eye line at which the face is widest"),
    Parameter("forehead-width", -0.60, 0.35, 2, "how quickly the head narrows upwards; low is square"),
    Parameter("jaw-width", -0.72, 0.30, 2, "how quickly the face narrows downwards; low is square"),
    Parameter("chin-roundness", -0.35, 0.60, 2, "low is pointed, high is broad"),
    Parameter("chin-length", 52.5, 63.5, 2, "row of the chin below the eye line"),
    Parameter("chin-relief", 0.0, 4.5, 2, "how far the chin stands out"),
    Parameter("chin-cleft", -1.0, 1.0, 1, "depth of the cleft where positive, none below"),
    Parameter("cheekbones", 0.0, 3.6, 2, "how far the cheekbones stand out"),
    Parameter("cheek-fullness", -2.2, 3.0, 2, "hollow to full lower cheeks"),
    Parameter("brow-ridge", 0.2, 2.8, 2, "how far the bone above the eyes stands out"),
    Parameter("skin-tone", 0.0, 1.0, 2, "deep brown to pale"),
    Parameter("skin-undertone", -1.0, 1.0, 2, "cool and pink to warm and olive"),
    Parameter("blush", 0.05, 0.55, 2, "redness of cheeks, nose and ears"),
    Parameter("shine", 0.05, 0.45, 2, "strength of the highlights on the skin"),
    Parameter("freckles", -1.8, 1.0, 1, "freckle strength where positive, none below"),
    Parameter("freckle-pattern", 0.0, 1.0, 1, "which freckles"),
    Parameter("mole-a-x", -30.0, 30.0, 1, "column of the first mole"),
    Parameter("mole-a-y", 10.0, 46.0, 1, "row of the first mole"),
    Parameter("mole-a-size", -1.2, 1.9, 1, "radius of the first mole where positive, none below"),
    Parameter("mole-b-x", -26.0, 26.0, 1, "column of the second mole"),
    Parameter("mole-b-y", -24.0, 40.0, 1, "row of the second mole"),
    Parameter("mole-b-size", -1.6, 1.6, 1, "radius of the second mole where positive, none below"),
    Parameter("wrinkles", 0.0, 0.32, 2, "depth of forehead lines and crow's feet"),
    Parameter("smile-lines", 0.0, 0.75, 2, "depth of the folds from nose to mouth"),
    Parameter("eye-bags", 0.0, 0.8, 2, "shadow under the eyes"),
    Parameter("eye-spacing", 15.4, 19.9, 2, "half the distance of the eyes"),
    Parameter("eye-width", 5.7, 8.3, 2, "half the width of an eye"),
    Parameter("eye-opening", 2.5, 4.6, 2, "height of the upper lid above the middle of an open eye"),
    Parameter("eye-tilt", -0.16, 0.22, 2, "slope of the eyes; high has the outer corner up"),
    Parameter("eye-shape", -0.55, 0.55, 2, "where the upper lid is highest, towards the nose or away"),
    Parameter("lower-lid", 0.3, 0.75, 2, "roundness of the lower lid"),
    Parameter("iris-size", 2.5, 3.6, 2, "radius of the iris"),
    Parameter("iris-hue", 0.0, 1.0, 1, "dark brown, hazel, green, grey, blue"),
    Parameter("lid-crease", 0.9, 3.6, 2, "distance of the lid crease from the lashes"),
    Parameter("lid-fold", 0.05, 0.75, 2, "strength of the lid crease"),
    Parameter("lashes", 0.5, 1.5, 2, "thickness of the lash line"),
    Parameter("eye-depth", 0.0, 4.2, 2, "how deep the eyes lie"),
    Parameter("brow-height", 9.2, 14.6, 2, "distance of the eyebrows from the eyes"),
    Parameter("brow-thickness", 0.8, 2.7, 2, "half the thickness of the eyebrows"),
    Parameter("brow-arch", 0.0, 4.4, 2, "height of the arch"),
    Parameter("brow-tilt", -2.6, 3.0, 2, "rise of the outer end"),
    Parameter("brow-length", 15.0, 21.5, 2, "length of an eyebrow"),
    Parameter("brow-gap", 4.6, 9.6, 2, "half the gap between the eyebrows"),
    Parameter("brow-strength", 0.45, 0.95, 2, "darkness of the eyebrows"),
    Parameter("nose-length", 17.0, 25.0, 2, "row of the tip below the eye line"),
    Parameter("nose-width", 6.0, 11.0, 2, "half the width at the wings"),
    Parameter("nose-bridge", 2.6, 5.6, 2, "half the width of the bridge"),
    Parameter("nose-relief", 4.0, 10.0, 2, "how far the nose stands out"),
    Parameter("nose-root", -0.2, 0.5, 2, "height of the bridge between the eyes; low is flat"),
    Parameter("nose-tip", 3.4, 6.2, 2, "radius of the tip"),
    Parameter("nose-turn", -1.2, 3.4, 2, "how far the tip is turned up, showing the nostrils"),
    Parameter("nostrils", 0.9, 2.3, 2, "size of the nostrils"),
    Parameter("nose-deviation", -1.5, 1.5, 3, "how far the tip lies to one side"),
    Parameter("mouth-height", 36.5, 43.5, 2, "row of the mouth below the eye line"),
    Parameter("mouth-width", 11.5, 17.5, 2, "half the width of the mouth"),
    Parameter("upper-lip", 1.4, 4.6, 2, "thickness of the upper lip"),
    Parameter("lower-lip", 2.2, 5.6, 2, "thickness of the lower lip"),
    Parameter("cupid-bow", 0.0, 0.8, 2, "depth of the notch of the upper lip"),
    Parameter("mouth-corners", -1.6, 1.6, 2, "rise of the corners at rest"),
    Parameter("mouth-slant", -0.05, 0.05, 3, "slope of the mouth"),
    Parameter("lip-redness", 0.25, 1.0, 2, "skin-coloured to red"),
    Parameter("lip-darkness", 0.0, 0.4, 2, "how much darker the lips are"),
    Parameter("philtrum", 0.0, 1.5, 2, "depth of the groove between nose and mouth"),
    Parameter("ear-size", 8.0, 13.0, 2, "half the height of the ears"),
    Parameter("ear-height", -1.0, 10.0, 2, "row of the middle of the ears"),
    Parameter("ear-stand", -2.0, 4.0, 2, "how far the ears stand off"),
    Parameter("hair-colour", 0.0, 1.0, 1, "black, brown, chestnut, blond"),
    Parameter("hair-redness", 0.0, 0.5, 2, "red cast of the hair"),
    Parameter("grey", -1.3, 0.55, 2, "grey hair where positive, none below"),
    Parameter("hairline", 24.0, 40.0, 2, "height of the hairline above the eye line"),
    Parameter("hairline-temples", -2.0, 12.0, 2, "how far the hairline recedes at the temples"),
    Parameter("hairline-peak", -2.0, 5.0, 2, "widow's peak"),
    Parameter("hair-volume", 0.05, 0.50, 2, "how far the hair stands off the head"),
    Parameter("hair-length", -0.5, 1.0, 1, "row to which the hair hangs; below zero it is short"),
    Parameter("hair-curtain", 0.72, 1.05, 2, "how far long hair leaves the cheeks free"),
    Parameter("hair-parting", -22.0, 22.0, 1, "column of the parting"),
    Parameter("hair-fringe", -12.0, 16.0, 1, "how far hair falls over the forehead where positive"),
    Parameter("hair-wave", 0.0, 1.0, 1, "straight to curly"),
    Parameter("hair-streaks", 0.15, 0.7, 2, "contrast of the strands"),
    Parameter("sideburns", -6.0, 14.0, 2, "row to which the sideburns reach"),
    Parameter("beard", -2.0, 1.0, 1, "density of the beard where positive, none below"),
    Parameter("beard-extent", 0.0, 1.0, 1, "chin only to full cheeks"),
    Parameter("moustache", -2.4, 1.0, 1, "density of the moustache where positive, none below"),
)

IDENTITY_PARAMETERS: tuple[str, ...] = tuple(parameter.name for parameter in IDENTITY_TABLE)


def mix(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble 64-bit numbers one to one (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def combine(keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Derive one new key per (key, number)."""
    return mix(keys + (numbers + np.uint64(1)) * GOLDEN)


def counters(name: str, numbers: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Check identity or image numbers and turn them into counters of shape (N,).

    Raises:
        ConfigError: They are not a one-dimensional array of integers from 0 on.
    """
    array = np.asarray(numbers)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or (array.size and int(array.min()) < 0):
        raise ConfigError(f"{name} must be a list of integers from 0 on, not {array.dtype} of shape {array.shape}")
    return array.astype(np.uint64)


def identity_keys(identities: npt.ArrayLike, *, seed: int) -> npt.NDArray[np.uint64]:
    """One 64-bit key per person, shape (N,).

    Raises:
        ConfigError: The seed or an identity is negative or no integer.
    """
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, not {seed}")
    root = mix(np.array([seed], dtype=np.uint64) * GOLDEN + np.uint64(IDENTITY_STREAM))
    return combine(root, counters("identities", identities))


def draw_table(keys: npt.NDArray[np.uint64], table: tuple[Parameter, ...]) -> npt.NDArray[np.float32]:
    """Fill a table of parameters.

    Args:
        keys: (N,) one key per row.
        table: The P parameters with their limits.

    Returns:
        (N, P) values between the limits.
    """
    repeats = np.array([parameter.draws for parameter in table])
    columns = np.arange(len(table), dtype=np.uint64) * np.uint64(8)
    total = np.zeros((len(keys), len(table)), dtype=np.float64)
    for draw in range(int(repeats.max(initial=0))):
        bits = combine(keys[:, None], columns + np.uint64(draw))
        uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        total += np.where(draw < repeats, uniform, 0.0)
    low = np.array([parameter.low for parameter in table])
    span = np.array([parameter.high for parameter in table]) - low
    values: npt.NDArray[np.float64] = low + span * (total / repeats)
    return values.astype(np.float32)


def identity_parameters(identities: npt.ArrayLike, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Describe people by numbers.

    Args:
        identities: (N,) integers from 0 on.
        seed: Another seed is another population.

    Returns:
        (N, P) values, columns in the order of `IDENTITY_PARAMETERS`; a row depends on its identity and the seed alone.

    Raises:
        ConfigError: The seed or an identity is negative or no integer.
    """
    return draw_table(identity_keys(identities, seed=seed), IDENTITY_TABLE)
