"""Who belongs to whom: the gallery columns of each probe's subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Mates:
    """The mates of each probe: gallery entries of its subject.

    Attributes:
        columns: Gallery columns sorted by subject, then by column, shape ``(G,)``.
        starts: Where each probe's mates start in ``columns``, shape ``(P,)``.
        counts: How many mates each probe has, shape ``(P,)``.
    """

    columns: Ints
    starts: Ints
    counts: Ints

    @classmethod
    def of(cls, probe_subjects: npt.ArrayLike, gallery_subjects: npt.ArrayLike, probes: int, gallery: int) -> Mates:
        """Matches subjects, given as integers or strings, one for each probe and gallery entry.

        Raises:
            MetricError: If there is not one subject for each, or the two are of different kinds.
        """
        wanted = _as_subjects(probe_subjects, probes, "probe")
        offered = _as_subjects(gallery_subjects, gallery, "gallery")
        if (wanted.dtype.kind in "iu") != (offered.dtype.kind in "iu"):
            raise MetricError(
                f"probe and gallery subjects must be of one kind; found {wanted.dtype} and {offered.dtype}"
            )
        order = np.argsort(offered, kind="stable")
        sorted_subjects = offered[order]
        starts = np.searchsorted(sorted_subjects, wanted, side="left")
        counts = np.searchsorted(sorted_subjects, wanted, side="right") - starts
        return cls(order, starts, counts)

    def within(self, rows: slice) -> tuple[Ints, Ints]:
        """The (probe, column) couples of a run of probes, probes counted from its first; columns rise for each."""
        counts = self.counts[rows]
        probe = np.repeat(np.arange(counts.size), counts)
        place = np.arange(probe.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return probe, self.columns[np.repeat(self.starts[rows], counts) + place]


def _as_subjects(values: npt.ArrayLike, count: int, what: str) -> npt.NDArray[np.generic]:
    """Checks one subject for each vector."""
    array = np.asarray(values)
    if array.shape != (count,) or array.dtype.kind not in "iuUS":
        raise MetricError(
            f"one subject, an integer or a string, is needed for each of the {count} {what} vectors; found "
            f"{array.dtype} of shape {array.shape}"
        )
    return array
