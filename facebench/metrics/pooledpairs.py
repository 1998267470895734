"""The number that ``ijb_1n.py`` prints, under a name that cannot be taken for an identification rate.

InsightFace's ``ijb_1n.py`` (and its copies) searches the joined gallery, pools the scores of *all* probes against *all*
non-mates, mated probes' own ones included, and takes the ceil(probes x rate)-th largest of these pairs as threshold.
The share of mates above it has no rank condition and no non-mated searches: it is a true accept rate over pairs at a
number of false pairs a probe, **not** TPIR at an FPIR (:mod:`facebench.metrics.openset`), although tables print it so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError
from facebench.metrics.checks import as_rate
from facebench.metrics.mates import Mates
from facebench.metrics.products import as_sides, exact_products, score_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench.metrics.products import Singles


@dataclass(frozen=True, slots=True)
class PooledPairPoint:
    """The share of mates above the pooled non-mate pairs; not an identification rate.

    Attributes:
        tar: ``accepted / probes``, in [0, 1].
        threshold: Score of the last allowed pair; accept at ``score > threshold``.
        accepted: Probes whose mate scores above it.
        probes: Probes in all.
        allowed: Non-mate pairs at or above the threshold: ``ceil(probes * pairs_per_probe)``.
        pairs: Non-mate pairs in all.
        pairs_per_probe: What was aimed at; ``ijb_1n.py`` calls it FAR.
    """

    tar: float
    threshold: float
    accepted: int
    probes: int
    allowed: int
    pairs: int
    pairs_per_probe: float


def pooled_pair_tar(
    probes: npt.ArrayLike,
    gallery: npt.ArrayLike,
    probe_subjects: npt.ArrayLike,
    gallery_subjects: npt.ArrayLike,
    *,
    pairs_per_probe: Sequence[float] = (0.01, 0.1),
    device: str = "cpu",
) -> tuple[PooledPairPoint, ...]:
    """Returns ``ijb_1n.py``'s "tpr at far" for several rates; see the module for what it is and is not.

    Memory beyond the input: a block of scores as for :func:`facebench.metrics.search`, and the highest pairs.

    Args:
        probes: One vector a probe, of unit length, shape ``(P, D)``.
        gallery: One vector an entry of the joined galleries, shape ``(G, D)``.
        probe_subjects: Subject of each probe, integers or strings, shape ``(P,)``.
        gallery_subjects: Subject of each entry, of the same kind, shape ``(G,)``.
        pairs_per_probe: Non-mate pairs allowed for each probe, each above 0 and at most 1.
        device: Where to multiply, in torch's words.

    Raises:
        MetricError: If vectors are not finite, shapes or rates are not as described, a probe has no mate, or there are
            fewer non-mate pairs than allowed.
    """
    queries, entries = as_sides(probes, gallery, ("probes", "gallery"))
    mates = Mates.of(probe_subjects, gallery_subjects, len(queries), len(entries))
    if not mates.counts.all():
        raise MetricError(
            f"pooled pairs need a mate for every probe; found {np.count_nonzero(mates.counts == 0)} of {len(queries)} "
            "without; join the galleries"
        )
    rates = [as_rate(rate, "pairs_per_probe") for rate in pairs_per_probe]
    allowed = [math.ceil(len(queries) * rate) for rate in rates]
    pairs = len(queries) * len(entries) - int(mates.counts.sum())
    if not allowed or min(allowed) < 1 or max(allowed) > pairs:
        raise MetricError(f"between 1 and {pairs} non-mate pairs can be allowed; found {allowed} for {rates}")
    best, rivals = _mates_and_rivals(queries, entries, mates, max(allowed), device)
    accepted = [int(np.count_nonzero(best > rivals[count - 1])) for count in allowed]
    return tuple(
        PooledPairPoint(hits / best.size, float(rivals[count - 1]), hits, best.size, count, pairs, rate)
        for hits, count, rate in zip(accepted, allowed, rates, strict=True)
    )


def _mates_and_rivals(
    probes: Singles, gallery: Singles, mates: Mates, keep: int, device: str
) -> tuple[Singles, Singles]:
    """Score of each probe's best mate, and the ``keep`` highest scores of non-mates, falling."""
    import torch

    best = np.empty(len(probes), dtype=np.float32)
    rivals = np.empty(0, dtype=np.float32)
    with exact_products():
        for rows, scores in score_blocks(probes, gallery, device):
            probe, column = mates.within(rows)
            cells = torch.from_numpy(probe).to(scores.device), torch.from_numpy(column).to(scores.device)
            starts = np.flatnonzero(np.append(True, probe[1:] != probe[:-1]))
            best[rows] = np.maximum.reduceat(scores[cells].cpu().numpy(), starts)
            scores[cells] = -torch.inf
            enough = float(rivals[-1]) if rivals.size == keep else -torch.inf
            further = scores[scores > enough].cpu().numpy()
            rivals = _highest(np.concatenate([rivals, further]), keep)
    return best, rivals


def _highest(scores: Singles, keep: int) -> Singles:
    """The highest scores, falling."""
    if scores.size > keep:
        scores = np.partition(scores, scores.size - keep)[scores.size - keep :]
    return np.sort(scores)[::-1]
