"""Open-set identification: a searched person may not be enrolled, so a threshold decides whom to believe.

The threshold is set by the non-mated searches, those of people outside the gallery: a share of them, the false positive
identification rate, may raise an alarm. Implementations part on every step, and ``rule`` names whose way is followed.
With n non-mated searches, the best score of each, and a target rate:

==============  ===============================  =============================================  =======  =============
rule            false alarms allowed             threshold                                      accept   ties
==============  ===============================  =============================================  =======  =============
``reference``   ``max(int(n * target), 1)``      the score of the last of them                  ``>``    lost
``pfe``         ``round(n * target)``            the score of the last of them; the largest     ``>=``   later column
                                                 + 1e-5 if none is allowed
``bob``         the most with rate <= target     the lowest score that keeps the rate, equal    ``>=``   lost
                                                 ones together
``strict``      the most with rate <= target     the lowest score above the first refused one   ``>=``   lost
==============  ===============================  =============================================  =======  =============

``reference`` is InsightFace's ``ijb_evals.py`` (``evaluation_1N``), ``pfe`` the ``DIR_FAR`` of PFE, AdaFace and
CVLface, ``bob`` bob.measure's ``far_threshold`` with ``detection_identification_rate``. Since ``reference`` accepts
only above its threshold, its false alarms stay one below those allowed; those of ``pfe`` may exceed the target.
``strict`` never exceeds it and is never below ``bob``, which loses the mates between two non-mated scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import ScoreSets, as_rate
from facebench.metrics.identification import later_first, mated_searches, ties_lost
from facebench.metrics.tar import TAR_RULES, most_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from facebench.metrics.identification import Search

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenSetPoint:
    """True positive identification rate at a false positive identification rate.

    Attributes:
        tpir: ``hits / mated``, in [0, 1]; 1 - FNIR.
        fpir: ``false_alarms / non_mated`` that the threshold really has; not the target.
        threshold: What a score is held against; by ``>`` for the rule ``reference``, else by ``>=``.
        hits: Mated searches whose mate is among the first ``rank`` and accepted.
        mated: Mated searches.
        false_alarms: Non-mated searches whose best score is accepted.
        non_mated: Non-mated searches.
        allowed: False alarms that the rule sets out to allow.
        target: The false positive identification rate aimed at.
        rank: How far down the mate may be.
        rule: See the module.
        resolved: False if the target is below ``1 / non_mated``, the smallest rate above 0 that can be shown.
    """

    tpir: float
    fpir: float
    threshold: float
    hits: int
    mated: int
    false_alarms: int
    non_mated: int
    allowed: int
    target: float
    rank: int
    rule: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class MeanOpenSetPoint:
    """The mean over galleries that the same probes were searched in.

    Attributes:
        tpir: Mean of the galleries' TPIR, each counting once whatever its number of probes.
        galleries: The point of each gallery.
        target: The false positive identification rate aimed at.
        rule: See the module.
        resolved: Whether every gallery resolves the target.
    """

    tpir: float
    galleries: tuple[OpenSetPoint, ...]
    target: float
    rule: str
    resolved: bool


def tpir_at_fpir(search: Search, target: float, *, rule: str = "reference", rank: int = 1) -> OpenSetPoint:
    """Returns the true positive identification rate at a false positive identification rate, for one gallery.

    Args:
        search: Of mated and non-mated probes in one gallery.
        target: The false positive identification rate to aim at, in [0, 1].
        rule: ``"reference"``, ``"pfe"``, ``"bob"`` or ``"strict"``; see the module.
        rank: The mate must be among this many first; published tables mean 1.

    Raises:
        MetricError: If there is no mated or no non-mated search, or target or rank are out of range.
        UnknownName: If there is no such rule.
    """
    if rule not in TPIR_RULES:
        raise UnknownName("identification rule", rule, TPIR_RULES)
    aim = as_rate(target)
    mated_searches(search, rank)
    mates, alarms = search.mate_scores[search.mated], search.rival_scores[~search.mated]
    if not alarms.size:
        raise MetricError(
            "an open set needs probes whose subjects are not in the gallery; found none; rank_rate needs none"
        )
    chosen = TPIR_RULES[rule]
    threshold, allowed = chosen.threshold(ScoreSets(mates, alarms), aim)
    first = chosen.position(search)[search.mated] < rank
    hits = int(np.count_nonzero(first & chosen.accepts(mates, threshold)))
    false = int(np.count_nonzero(chosen.accepts(alarms, threshold)))
    return OpenSetPoint(
        tpir=hits / mates.size,
        fpir=false / alarms.size,
        threshold=threshold,
        hits=hits,
        mated=mates.size,
        false_alarms=false,
        non_mated=alarms.size,
        allowed=allowed,
        target=aim,
        rank=rank,
        rule=rule,
        resolved=1 / alarms.size <= aim,
    )


def mean_tpir_at_fpir(
    searches: Sequence[Search], target: float, *, rule: str = "reference", rank: int = 1
) -> MeanOpenSetPoint:
    """Returns the mean over galleries of :func:`tpir_at_fpir`, as IJB-B's and IJB-C's tables have it.

    Args:
        searches: The same probes searched in each gallery, at least one.
        target: The false positive identification rate to aim at in each, in [0, 1].
        rule: See the module.
        rank: The mate must be among this many first.

    Raises:
        MetricError: If there is no search, or one lacks mated or non-mated probes.
        UnknownName: If there is no such rule.
    """
    if not searches:
        raise MetricError("a mean over galleries needs at least one search; found none")
    points = tuple(tpir_at_fpir(one, target, rule=rule, rank=rank) for one in searches)
    mean = sum(point.tpir for point in points) / len(points)
    return MeanOpenSetPoint(mean, points, points[0].target, rule, all(point.resolved for point in points))


def _ijb_threshold(sets: ScoreSets, target: float) -> tuple[float, int]:
    """By ``evaluation_1N``: the last of the allowed false alarms, which itself is then refused."""
    allowed = max(int(sets.impostor.size * target), 1)
    return float(np.sort(sets.impostor)[-allowed]), allowed


def _pfe_threshold(sets: ScoreSets, target: float) -> tuple[float, int]:
    """By ``DIR_FAR``: the last of the allowed false alarms, which is accepted with all that equal it."""
    return TAR_RULES["kth-impostor"](sets, [target])[0], round(sets.impostor.size * target)


def _bob_threshold(sets: ScoreSets, target: float) -> tuple[float, int]:
    """By ``far_threshold``: the lowest non-mated score at which the rate does not exceed the target."""
    allowed = most_allowed(target, sets.impostor.size)
    scores = np.sort(sets.impostor)
    if allowed < scores.size:
        scores = scores[scores > scores[-1 - allowed]]
    if scores.size:
        return float(scores[0]), allowed
    return float(np.nextafter(sets.impostor.max(), sets.impostor.dtype.type(np.inf))), allowed


def _strict_threshold(sets: ScoreSets, target: float) -> tuple[float, int]:
    """As :func:`facebench.metrics.tar_at_far` by its rule ``strict``."""
    return TAR_RULES["strict"](sets, [target])[0], most_allowed(target, sets.impostor.size)


@dataclass(frozen=True, slots=True)
class OpenSetRule:
    """How an implementation picks a threshold and uses it.

    Attributes:
        threshold: From mate scores, best scores of non-mated searches and the target: threshold and allowed alarms.
        position: Position of the mate, from 0.
        accepts: Whether scores pass a threshold.
    """

    threshold: Callable[[ScoreSets, float], tuple[float, int]]
    position: Callable[[Search], Ints]
    accepts: Callable[[Any, float], Any] = np.greater_equal


TPIR_RULES: Mapping[str, OpenSetRule] = {
    "reference": OpenSetRule(_ijb_threshold, ties_lost, np.greater),
    "pfe": OpenSetRule(_pfe_threshold, later_first),
    "bob": OpenSetRule(_bob_threshold, ties_lost),
    "strict": OpenSetRule(_strict_threshold, ties_lost),
}
"""The open-set rules by name."""
