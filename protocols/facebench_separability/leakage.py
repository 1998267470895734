"""Whether a set repeats the people of another: the most similar reference identity of each of its identities and faces.

Means alone do not show it: a generated identity may be nobody while single pictures of it are somebody. So both are
measured, and the same of real people who are certainly not in the reference stands beside them as the yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.metrics.separability import nearest_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import Embeddings
    from facebench_separability.sides import Shown
    from facebench_separability.thresholds import Threshold

    Singles = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int64]

KINDS = ("image-to-centre", "centre-to-centre")
_BLOCK_BYTES = 32 << 20  # of embeddings
_QUANTILES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99, "99.9 %": 0.999}


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The most similar reference identity of some vectors.

    Attributes:
        similarity: To it, (P,).
        identity: Which one, (P,).
        names: Of the vectors, (P,).
        references: Names of the reference identities, (R,).
    """

    similarity: Singles
    identity: Ints
    names: npt.NDArray[np.str_]
    references: npt.NDArray[np.str_]

    @property
    def closest(self) -> str:
        """The most similar two."""
        place = int(np.argmax(self.similarity))
        return f"{self.names[place]} and {self.references[self.identity[place]]}"


def leaks(
    embeddings: Embeddings,
    shown: Shown,
    centres: Singles,
    reference: Singles,
    names: npt.NDArray[np.str_],
    *,
    device: str,
) -> dict[str, Nearest]:
    """The most similar reference identity of each face and of each identity of a set.

    Memory beyond the means: another copy of the reference's and about 100 MiB, whatever the set's size.

    Args:
        embeddings: Of all faces.
        shown: Whom the set shows.
        centres: Mean of each of its identities, (N, D).
        reference: Mean of each reference identity, (R, D).
        names: Of the reference identities, (R,).
        device: Where to multiply.
    """
    rows = shown.groups.rows
    height = max(1, _BLOCK_BYTES // (4 * reference.shape[1]))
    blocks = (
        nearest_between(embeddings.vectors[rows[start : start + height]], reference, device=device)
        for start in range(0, len(rows), height)
    )
    parts = [(block.scores, block.indices) for block in blocks]
    similarity, identity = (np.concatenate(part) for part in zip(*parts, strict=True))
    middles = nearest_between(centres, reference, device=device)
    return {
        KINDS[0]: Nearest(similarity, identity, embeddings.keys[rows], names),
        KINDS[1]: Nearest(middles.scores, middles.indices, shown.people.names, names),
    }


def metrics(found: dict[str, Nearest], thresholds: Sequence[Threshold], *, suffix: str) -> list[Metric]:
    """How much of a set is more similar to a reference identity than each threshold, and how similar all of it is.

    Args:
        found: By kind.
        thresholds: Cosines.
        suffix: Of the metrics' names.
    """
    made = []
    for threshold in thresholds:
        for kind, nearest in found.items():
            made.append(_share(threshold, kind, nearest, suffix))
    for kind, nearest in found.items():
        detail: dict[str, int | float | str] = {
            name: float(np.quantile(nearest.similarity, at)) for name, at in _QUANTILES.items()
        }
        detail |= {"largest": float(nearest.similarity.max()), "between": nearest.closest}
        made.append(
            Metric(
                name=f"nearest-reference{suffix}",
                value=float(nearest.similarity.mean()),
                unit="cosine",
                higher_is_better=None if suffix else False,
                rule=kind,
                detail=detail,
            )
        )
    return made


def _share(threshold: Threshold, kind: str, nearest: Nearest, suffix: str) -> Metric:
    name, better = f"leakage@{threshold.name}{suffix}", None if suffix else False
    if threshold.value is None:
        return Metric(name=name, value=None, higher_is_better=better, rule=kind, reason=threshold.reason)
    count = int(np.count_nonzero(nearest.similarity > threshold.value))
    detail: dict[str, int | float | str] = {
        "above": count,
        "compared": len(nearest.similarity),
        "reference identities": len(nearest.references),
        "threshold (cosine)": threshold.value,
    }
    return Metric(name=name, value=count / len(nearest.similarity), higher_is_better=better, rule=kind, detail=detail)
