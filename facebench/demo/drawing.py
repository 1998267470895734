"""The order in which a face is painted: from what lies behind to what lies in front, then light, then camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo import blemishes, camera, eyes, hair, head, light, mouth, nose, occlusion, pose
from facebench.demo.canvas import SIZE, Traits, stretch
from facebench.demo.nuisance import NUISANCE_PARAMETERS
from facebench.demo.parameters import IDENTITY_PARAMETERS
from facebench.demo.relief import Ground
from facebench.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.demo.canvas import Plane

BLOCK = 24
"""Images painted at once: large enough to hide the cost of a call, small enough for the cache and for the
allocator to reuse its memory."""


def draw(identity: npt.NDArray[np.float32], nuisance: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Paint one picture for each row of parameters.

    Args:
        identity: (N, P) from `identity_parameters`.
        nuisance: (N, Q) from `nuisance_parameters`.

    Returns:
        (N, 112, 112, 3) RGB.

    Raises:
        ConfigError: The tables do not fit each other or have the wrong number of columns.
    """
    rows = len(identity)
    if identity.shape != (rows, len(IDENTITY_PARAMETERS)) or nuisance.shape != (rows, len(NUISANCE_PARAMETERS)):
        raise ConfigError(
            f"to draw needs (N, {len(IDENTITY_PARAMETERS)}) and (N, {len(NUISANCE_PARAMETERS)}) parameters, "
            f"not {identity.shape} and {nuisance.shape}"
        )
    pictures = np.empty((rows, SIZE, SIZE, 3), dtype=np.uint8)
    planes = np.empty((3, min(rows, BLOCK), SIZE, SIZE), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        block = slice(start, start + BLOCK)
        traits = Traits(identity[block], nuisance[block])
        _draw_block(planes[:, : len(traits)], traits, pictures[block])
    return pictures


def _draw_block(planes: Plane, traits: Traits, pictures: npt.NDArray[np.uint8]) -> None:
    view = pose.look(traits)
    _grow_old(traits)
    skin = head.skin_colour(traits)
    half = view.half()
    half_out, half_hood = head.outline(half, traits), hair.hood(half, traits)
    inside, strands = stretch((1.03 - half_out) * 17.0), hair.comb(half, traits, half_hood)
    cover = hair.paint_back_hair(planes, view, traits, strands)
    head.paint_head(planes, cover, view, traits, inside)
    blemishes.paint_freckles(planes, view, traits)
    nose.paint_nose(planes, view, traits)
    hair.paint_beard(planes, view, traits, strands, inside)
    blemishes.paint_moles(planes, view, traits)
    mouth.paint_mouth(planes, view, traits, skin)
    eyes.paint_eyes(planes, view, traits)
    eyes.paint_brows(planes, view, traits, strands.colour)
    covered = hair.paint_front_hair(planes, cover, traits, strands)
    light.illuminate(planes, half, traits, Ground(half_out, half_hood, covered))
    occlusion.occlude(planes, cover, view, traits, skin)
    light.background(planes, cover, traits)
    camera.develop(planes, traits, pictures)


def _grow_old(traits: Traits) -> None:
    """Let the years of the image show: wrinkles, folds, grey hair, a fuller lower face, thinner lips."""
    age = traits["age"].copy()
    for name, amount in (
        ("wrinkles", 0.8),
        ("smile-lines", 0.7),
        ("eye-bags", 0.6),
        ("grey", 1.3),
        ("cheek-fullness", 1.2),
        ("jaw-width", -0.16),
        ("hairline", 3.0),
        ("upper-lip", -0.5),
        ("lower-lip", -0.5),
        ("eye-opening", -0.3),
    ):
        traits.raise_by(name, age * np.float32(amount))
