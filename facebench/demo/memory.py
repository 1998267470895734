"""Demo faces for training: each picture is drawn once and kept, since every epoch wants it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench.demo.faces import DemoFaces

# Pictures of larger sets are drawn whenever they are asked for: 2.4 GB is as much memory as a default may take.
MOST_REMEMBERED = 1 << 16

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class RememberedFaces(DemoFaces):
    """``DemoFaces`` that draws a picture when it is first asked for and keeps it: 37 KiB each, 8,000 take 300 MB."""

    # One attribute for both arrays, so that no thread ever sees one of them without the other.
    _kept: tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]] | None = None

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Several faces, (N, 112, 112, 3) RGB; only those not seen before are drawn."""
        chosen = np.asarray(indices, dtype=np.int64)
        if len(self) > MOST_REMEMBERED:
            return super().batch(chosen)
        if self._kept is None:
            # The system hands out zeroed pages as they are touched, so what is never asked for costs nothing.
            self._kept = np.zeros((len(self), 112, 112, 3), dtype=np.uint8), np.zeros(len(self), dtype=np.bool_)
        pictures, drawn = self._kept
        new = np.unique(chosen[~drawn[chosen]])
        if len(new):
            pictures[new] = super().batch(new)
            # Marked after the pictures are there: another thread may read at any time, and drawing twice is harmless.
            drawn[new] = True
        return pictures[chosen]
