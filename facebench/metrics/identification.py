"""Identification: each probe is searched in a gallery of enrolled people.

:func:`search` compares every probe with every gallery entry, in blocks, and keeps a few numbers of each search. From
them :func:`rank_rate` answers how often the mate comes out among the first k (a closed set), and
:mod:`facebench.metrics.openset` how often it comes out first and above a threshold.

Where scores are equal the implementations part, and ``rule`` names whose way is followed:

=========================  ========================================  ============================================
rule                       of equal scores                           whose tables
=========================  ========================================  ============================================
``reference``, ``pfe``     the later column comes first              ``argsort`` reversed: InsightFace's
                                                                     ``ijb_evals.py``, PFE, AdaFace, CVLface
``stable``                 the earlier column comes first            a stable sort
``bob``, ``strict``        every non-mate comes before the mate      bob.measure; the safe one
=========================  ========================================  ============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.mates import Mates
from facebench.metrics.products import as_sides, exact_products, score_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt
    import torch

    from facebench.metrics.products import Singles

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What came of searching P probes in a gallery of G entries.

    Non-mates are the gallery entries of other subjects than the probe's.

    Attributes:
        mate_scores: Score of the best mate, shape ``(P,)``, float32; -inf for a probe whose subject is not enrolled.
        mate_columns: Its gallery column, the last of equal ones; -1 if there is none. Shape ``(P,)``.
        rival_scores: Score of the best non-mate, shape ``(P,)``, float32; -inf if all entries are mates.
        above: Non-mates strictly above the best mate, shape ``(P,)``; G without a mate.
        level: Non-mates equal to it, shape ``(P,)``.
        level_later: Those of them in a later column than the mate, shape ``(P,)``.
        mates: How many mates each probe has, shape ``(P,)``.
        entries: G.
        top_columns: The best entries of each probe, mates included, best first, shape ``(P, top)``.
        top_scores: Their scores, shape ``(P, top)``, float32.
    """

    mate_scores: Singles
    mate_columns: Ints
    rival_scores: Singles
    above: Ints
    level: Ints
    level_later: Ints
    mates: Ints
    entries: int
    top_columns: Ints
    top_scores: Singles

    @property
    def mated(self) -> npt.NDArray[np.bool_]:
        """Whether each probe has a mate in the gallery, shape ``(P,)``."""
        return self.mates > 0


@dataclass(frozen=True, slots=True)
class RankRate:
    """How often the mate was among the first.

    Attributes:
        rate: ``hits / mated``, in [0, 1].
        hits: Mated searches whose mate is among the first ``rank``.
        mated: Mated searches; others take no part.
        rank: How many of the first count.
        rule: Who wins ties; see the module.
    """

    rate: float
    hits: int
    mated: int
    rank: int
    rule: str


def search(
    probes: npt.ArrayLike,
    gallery: npt.ArrayLike,
    probe_subjects: npt.ArrayLike,
    gallery_subjects: npt.ArrayLike,
    *,
    top: int = 0,
    device: str = "cpu",
) -> Search:
    """Returns the outcome of searching every probe in a gallery, by dot product.

    Of several mates only the best counts. The whole score matrix never exists: memory beyond the input is a block of at
    most 32 MiB, or of 256 probes up to 256 MiB, and half as much again while counts are made.

    Args:
        probes: One vector a probe, of unit length for cosine similarity, shape ``(P, D)``.
        gallery: One vector an entry, shape ``(G, D)``.
        probe_subjects: Subject of each probe, integers or strings, shape ``(P,)``.
        gallery_subjects: Subject of each entry, of the same kind, shape ``(G,)``.
        top: How many of the best entries to keep for each probe; equal scores in order of their columns, except that
            which of those equal to the last one get in is left open.
        device: Where to multiply, in torch's words.

    Raises:
        MetricError: If vectors are not finite, shapes do not agree, ``top`` exceeds G, or the device cannot be used.
    """
    queries, entries = as_sides(probes, gallery, ("probes", "gallery"))
    mates = Mates.of(probe_subjects, gallery_subjects, len(queries), len(entries))
    if not 0 <= top <= len(entries):
        raise MetricError(f"top must lie between 0 and the {len(entries)} gallery entries; found {top}")
    count = len(queries)
    found = Search(
        mate_scores=np.full(count, -np.inf, dtype=np.float32),
        mate_columns=np.full(count, -1),
        rival_scores=np.empty(count, dtype=np.float32),
        above=np.full(count, len(entries)),
        level=np.zeros(count, dtype=np.int64),
        level_later=np.zeros(count, dtype=np.int64),
        mates=mates.counts,
        entries=len(entries),
        top_columns=np.empty((count, top), dtype=np.int64),
        top_scores=np.empty((count, top), dtype=np.float32),
    )
    with exact_products():
        for rows, scores in score_blocks(queries, entries, device):
            if top:
                found.top_scores[rows], found.top_columns[rows] = _best(scores, top)
            _set_mates_aside(scores, mates, rows, found)
            found.rival_scores[rows] = scores.amax(dim=1).cpu().numpy()
            _count_rivals(scores, rows, found)
    return found


def rank_rate(searches: Search | Sequence[Search], k: int, *, rule: str = "reference") -> RankRate:
    """Returns how often the best mate is among the first k.

    Several searches are those of the same probes in disjoint galleries: their hits and their mated searches are added.
    Where every probe has its mate in exactly one of them, as in IJB-B and IJB-C, that is hits over all probes.

    Args:
        searches: One search or several.
        k: How many of the first count, at least 1.
        rule: ``"reference"``, ``"pfe"``, ``"bob"``, ``"strict"`` or ``"stable"``; they differ in ties alone.

    Raises:
        MetricError: If k is below 1 or there is no mated search.
        UnknownName: If there is no such rule.
    """
    if rule not in RANK_RULES:
        raise UnknownName("rank rule", rule, RANK_RULES)
    several = mated_searches(searches, k)
    hits = sum(int(np.count_nonzero(RANK_RULES[rule](one)[one.mated] < k)) for one in several)
    mated = sum(int(np.count_nonzero(one.mated)) for one in several)
    return RankRate(hits / mated, hits, mated, k, rule)


def _best(scores: torch.Tensor, top: int) -> tuple[Singles, Ints]:
    """The best scores of each row and their columns, equal ones by column."""
    values, columns = (part.cpu().numpy() for part in scores.topk(top, dim=1))
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)


def _set_mates_aside(scores: torch.Tensor, mates: Mates, rows: slice, found: Search) -> None:
    """Notes the best mate of each probe and overwrites all mates by -inf, so that only rivals are left."""
    import torch

    probe, column = mates.within(rows)
    if not probe.size:
        return
    cells = torch.from_numpy(probe).to(scores.device), torch.from_numpy(column).to(scores.device)
    values = scores[cells].cpu().numpy()
    scores[cells] = -torch.inf
    starts = np.flatnonzero(np.append(True, probe[1:] != probe[:-1]))
    owners = probe[starts]
    best = np.maximum.reduceat(values, starts)
    repeated = np.repeat(best, mates.counts[rows][owners])
    found.mate_scores[rows][owners] = best
    found.mate_columns[rows][owners] = np.maximum.reduceat(np.where(values == repeated, column, -1), starts)


def _count_rivals(scores: torch.Tensor, rows: slice, found: Search) -> None:
    """Counts non-mates above and level with the mate; most searches have none, which their best rival tells."""
    import torch

    mate, column = found.mate_scores[rows], found.mate_columns[rows]
    mated = column >= 0
    found.above[rows][mated] = 0
    beaten = np.flatnonzero(mated & (found.rival_scores[rows] >= mate))
    step = max(1, len(scores) // 8)
    for start in range(0, beaten.size, step):
        some = beaten[start : start + step]
        part = scores[torch.from_numpy(some).to(scores.device)]
        limit = torch.from_numpy(mate[some]).to(scores.device)[:, None]
        found.above[rows][some] = _count(part > limit)
        level = part == limit
        found.level[rows][some] = _count(level)
        tied = np.flatnonzero(found.level[rows][some])
        if tied.size:
            places = torch.arange(part.shape[1], device=scores.device)
            own = torch.from_numpy(column[some[tied]]).to(scores.device)[:, None]
            later = level[torch.from_numpy(tied).to(scores.device)] & (places > own)
            found.level_later[rows][some[tied]] = _count(later)


def _count(holds: torch.Tensor) -> Ints:
    """How many of each row hold. Adding them as floats is many times faster, and exact for so few."""
    import torch

    exact = torch.float32 if holds.shape[1] < 1 << 24 else torch.float64
    counts: Ints = holds.to(exact).sum(dim=1).to(torch.int64).cpu().numpy()
    return counts


def mated_searches(searches: Search | Sequence[Search], k: int) -> Sequence[Search]:
    """Checks a rank and that there is something to rank."""
    several = [searches] if isinstance(searches, Search) else searches
    if k < 1:
        raise MetricError(f"a rank is at least 1; found {k}")
    if not any(one.mated.any() for one in several):
        raise MetricError("identification needs probes whose subjects are in the gallery; found none")
    return several


def later_first(search: Search) -> Ints:
    """Position of the mate where of equal scores the later column comes first."""
    return search.above + search.level_later


def _earlier_first(search: Search) -> Ints:
    """Position of the mate where of equal scores the earlier column comes first."""
    return search.above + search.level - search.level_later


def ties_lost(search: Search) -> Ints:
    """Position of the mate where every non-mate equal to it comes first."""
    return search.above + search.level


RANK_RULES: Mapping[str, Callable[[Search], Ints]] = {
    "reference": later_first,
    "pfe": later_first,
    "bob": ties_lost,
    "strict": ties_lost,
    "stable": _earlier_first,
}
"""Position of the best mate among the gallery, from 0, by rule."""
