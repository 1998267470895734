"""Two ladders of damage: ever more blur, and ever more of the face hidden.

URL (Shi et al., CVPR 2020) damages its training faces in these two ways among others: Gaussian blur, and black blocks
of a 7 x 7 grid. A network whose confidences mean anything is the less confident the higher a face has climbed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from facebench_confidence.options import BLOCKS, SIDE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

Kind = Literal["clean", "blur", "occlusion"]
LADDERS: tuple[Literal["blur", "occlusion"], ...] = ("blur", "occlusion")
_USUAL = 112  # side of the pictures that blur is stated for, pixels


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of one ladder; the clean picture is the foot of both.

    Attributes:
        kind: Which damage.
        level: Pixels of standard deviation at 112 x 112, or blocks of 49; 0 for the clean picture.
    """

    kind: Kind
    level: float

    @property
    def name(self) -> str:
        """As keys begin: ``clean``, ``blur-4.5``, ``occlusion-8``."""
        return self.kind if self.kind == "clean" else f"{self.kind}-{self.level:g}"


def rungs_of(blur: Iterable[float], occlusion: Iterable[int]) -> tuple[Rung, ...]:
    """The clean picture, the levels of blur, the levels of occlusion."""
    return (
        Rung("clean", 0.0),
        *(Rung("blur", float(level)) for level in blur),
        *(Rung("occlusion", float(level)) for level in occlusion),
    )


def damaged(image: Pixels, rung: Rung, *, key: str, seed: int) -> Pixels:
    """A picture at one level.

    Args:
        image: Clean, (H, W, 3).
        rung: How to damage it.
        key: Of the clean face; decides, with the seed, which blocks are hidden first.
        seed: Another one hides other blocks.

    Returns:
        A picture of the same size; the clean one itself for the foot of the ladders.
    """
    if rung.kind == "blur":
        return blurred(image, rung.level)
    return occluded(image, order_of(key, seed)[: int(rung.level)]) if rung.kind == "occlusion" else image


def blurred(image: Pixels, sigma: float) -> Pixels:
    """Gaussian blur, edges repeated.

    Args:
        image: (H, W, 3).
        sigma: Standard deviation in pixels of a picture of 112 x 112; larger pictures are blurred by as much more.
    """
    height, width, _ = image.shape
    sigmas = (sigma * height / _USUAL, sigma * width / _USUAL, 0)
    smooth = ndimage.gaussian_filter(image.astype(np.float32), sigmas, mode="nearest")
    rounded: Pixels = np.clip(np.rint(smooth), 0, 255).astype(np.uint8)
    return rounded


def occluded(image: Pixels, blocks: npt.NDArray[np.int64]) -> Pixels:
    """Black blocks of a 7 x 7 grid.

    Args:
        image: (H, W, 3).
        blocks: Which, 0 to 48, row by row.
    """
    height, width, _ = image.shape
    hidden = np.zeros(BLOCKS, dtype=np.bool_)
    hidden[blocks] = True
    rows, columns = (np.arange(side) * SIDE // side for side in (height, width))
    shown: Pixels = np.where(hidden.reshape(SIDE, SIDE)[np.ix_(rows, columns)][:, :, None], np.uint8(0), image)
    return shown


def order_of(key: str, seed: int) -> npt.NDArray[np.int64]:
    """The order in which a face's blocks are hidden, (49,): a stronger level hides all that a weaker one hides."""
    digest = hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest()
    # RandomState's stream is frozen by NumPy; a Generator's may change with a version.
    order = np.random.RandomState(int.from_bytes(digest[:4], "little")).permutation(BLOCKS)
    return order.astype(np.int64)
