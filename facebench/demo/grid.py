"""A picture of the demo faces: one row per person, one column per picture of them.

``python -m facebench.demo.grid docs/images/demo-faces.png`` makes the one in the documentation.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from facebench.demo.faces import DemoFaces
from facebench.demo.nuisance import Nuisance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

GAP = 4
PAPER = 255
SITTERS = (0, 14, 23, 7, 42, 83)
"""Six rather different people."""


def grid(
    identities: Sequence[int], columns: int, *, seed: int = 0, nuisance: Nuisance | None = None, portrait: bool = True
) -> npt.NDArray[np.uint8]:
    """Lay out faces: rows are people, columns are pictures of them.

    Args:
        identities: Who, one per row.
        columns: How many pictures of each.
        seed: The seed of the population.
        nuisance: How strongly pictures of one person differ; ordinary if not given.
        portrait: Whether the first column is a frontal, evenly lit portrait.

    Returns:
        (rows * 116 + 4, columns * 116 + 4, 3) RGB.
    """
    plain = DemoFaces(identities, 1, seed=seed, nuisance=Nuisance.none())
    faces = DemoFaces(identities, columns, seed=seed, nuisance=nuisance)
    pictures = faces.batch(np.arange(len(faces))).reshape(len(identities), columns, 112, 112, 3)
    if portrait:
        pictures[:, 0] = plain.batch(np.arange(len(plain)))
    step = 112 + GAP
    sheet = np.full((len(identities) * step + GAP, columns * step + GAP, 3), PAPER, dtype=np.uint8)
    for row, line in enumerate(pictures):
        for column, picture in enumerate(line):
            top, left = row * step + GAP, column * step + GAP
            sheet[top : top + 112, left : left + 112] = picture
    return sheet


def main(arguments: Sequence[str]) -> None:
    """Write a grid of six people to the file named first."""
    Image.fromarray(grid(SITTERS, 8)).save(Path(arguments[0]), optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
