"""Where a long pass over all pairs is laid aside, so that a killed evaluation goes on from there."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import FacebenchError, fingerprint_of
from facebench.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[Any]]

log = logging.getLogger(__name__)


class PassFile:
    """One pass's state, in a file beside the embeddings that it is made from.

    Args:
        folder: Of the embeddings.
        *told: What tells this pass from others over the same embeddings; plain values.
    """

    def __init__(self, folder: Path, *told: object) -> None:
        self.path = folder / f"separability-{fingerprint_of(list(told))}.npz"

    def load(self) -> Arrays | None:
        """The state that was saved last; None where there is none, or none that can be read."""
        try:
            with self.path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
                return dict(stored)
        except Exception:  # of a damaged archive numpy raises anything, and all of it means the same here
            return None

    def save(self, state: Arrays) -> None:
        """Keeps a state in place of the one before. A folder that refuses costs the way back, not the evaluation."""
        arrays: dict[str, Any] = dict(state)
        try:
            write_atomic(self.path, partial(np.savez, **arrays))
        except FacebenchError as error:
            log.warning("%s; a killed evaluation will begin its comparisons anew", error)
