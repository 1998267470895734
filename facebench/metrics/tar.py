"""True accept rate at a target false accept rate, by every rule in use, the rule always named.

A finite set of impostors cannot realise every target, and implementations part on what to do then. Each rule below is
a function from scores and targets to thresholds; the counts at ``score >= threshold`` follow from the threshold alone.

========================  ===============================================================  ==========================
rule                      threshold                                                        whose tables
========================  ===============================================================  ==========================
``reference``             ROC point whose FAR is nearest the target, collinear points      InsightFace, CVLface,
                          dropped; may lie above the target                                AdaFace, MagFace
``nearest-all-points``    the same on all ROC points                                       hardly anyone's
``strict``                largest accepted set whose FAR does not exceed the target        ISO reading; the safe one
``kth-impostor``          the k-th largest impostor score, k = round(target x impostors)   PFE
========================  ===============================================================  ==========================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.errors import UnknownName
from facebench.metrics.checks import as_rate, as_sets
from facebench.metrics.roc import curve_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from facebench.metrics.checks import ScoreSets
    from facebench.metrics.roc import Roc

_MARGIN = 1024


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold does to both kinds of comparison.

    Attributes:
        tar: True accept rate, ``accepted_genuine / genuine``, in [0, 1].
        far: The false accept rate that this threshold really has, in [0, 1]; not the target.
        threshold: Accept at ``score >= threshold``; always finite.
        accepted_genuine: Genuine comparisons accepted.
        genuine: Genuine comparisons in all.
        accepted_impostors: Impostor comparisons accepted.
        impostors: Impostor comparisons in all.
        target: The false accept rate that was asked for.
        rule: The rule that chose the threshold.
        resolved: False if the target is below ``1 / impostors``, the smallest rate above 0 that these impostors can
            show; such a value says more about one comparison than about the method.
    """

    tar: float
    far: float
    threshold: float
    accepted_genuine: int
    genuine: int
    accepted_impostors: int
    impostors: int
    target: float
    rule: str
    resolved: bool


def tar_at_far(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, target: float, rule: str = "reference"
) -> OperatingPoint:
    """Returns the operating point for one target false accept rate.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``.
        target: The false accept rate to aim at, in [0, 1].
        rule: ``"reference"``, ``"nearest-all-points"``, ``"strict"`` or ``"kth-impostor"``; see the module.

    Raises:
        MetricError: If scores are not finite numbers, a class is missing, or the target is not a rate.
        UnknownName: If there is no such rule.
    """
    return operating_points(genuine, impostor, targets=[target], rule=rule)[0]


def operating_points(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, targets: Sequence[float], rule: str = "reference"
) -> tuple[OperatingPoint, ...]:
    """Returns the operating points for several targets, in their order, from one selection.

    Only the scores near the top are sorted: 15.6 million impostors and targets up to 0.1 take a partition of the
    impostors and a sort of about a fifth of them. Memory beyond the input: about three copies of the impostors.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``.
        targets: False accept rates to aim at, each in [0, 1].
        rule: See :func:`tar_at_far`.

    Raises:
        MetricError: If scores are not finite numbers, a class is missing, or a target is not a rate.
        UnknownName: If there is no such rule.
    """
    if rule not in TAR_RULES:
        raise UnknownName("threshold rule", rule, TAR_RULES)
    sets = as_sets(genuine, impostor)
    rates = [as_rate(target) for target in targets]
    thresholds = TAR_RULES[rule](sets, rates) if rates else []
    return tuple(_measure(sets, threshold, target, rule) for threshold, target in zip(thresholds, rates, strict=True))


def _measure(sets: ScoreSets, threshold: float, target: float, rule: str) -> OperatingPoint:
    """Counts what a threshold accepts."""
    true = int(np.count_nonzero(sets.genuine >= threshold))
    false = int(np.count_nonzero(sets.impostor >= threshold))
    return OperatingPoint(
        tar=true / sets.genuine.size,
        far=false / sets.impostor.size,
        threshold=threshold,
        accepted_genuine=true,
        genuine=sets.genuine.size,
        accepted_impostors=false,
        impostors=sets.impostor.size,
        target=target,
        rule=rule,
        resolved=1 / sets.impostor.size <= target,
    )


def _nearest(sets: ScoreSets, targets: Sequence[float], *, drop_collinear: bool) -> list[float]:
    """The point of smallest |FAR - target|; the larger FAR of two equally near, the highest TAR at that FAR.

    It is scikit-learn's curve read from its far end, and the first minimum taken, as InsightFace's tables do. With
    collinear points dropped the point may lie on either side of the target, sometimes well above it.
    """
    roc = _head(sets, max(targets), drop_collinear=drop_collinear)
    far = roc.false_accepts / sets.impostor.size
    highest = max(sets.genuine.max(), sets.impostor.max())
    thresholds = []
    for target in targets:
        above = min(int(np.searchsorted(far, target, side="left")), far.size - 1)
        under = max(above - 1, 0)
        nearest = far[above] if abs(far[above] - target) <= abs(far[under] - target) else far[under]
        chosen = int(np.searchsorted(far, nearest, side="right")) - 1
        thresholds.append(float(roc.thresholds[chosen]) if chosen else _just_above(highest))
    return thresholds


def _head(sets: ScoreSets, reach: float, *, drop_collinear: bool) -> Roc:
    """The part of the curve from its start to a point with FAR >= ``reach``, without sorting what lies beyond.

    A collinear run can hide points over any distance, so the part is enlarged until a kept point reaches far enough.
    The last point of a part is kept only because it is the last: it may lie beyond ``reach``, never decide.
    """
    count = sets.impostor.size
    depth = 2 * int(np.ceil(reach * count)) + _MARGIN
    while depth < count:
        cut = np.partition(sets.impostor, count - depth)[count - depth]
        part = curve_of(
            sets.genuine[sets.genuine >= cut], sets.impostor[sets.impostor >= cut], drop_collinear=drop_collinear
        )
        if part.false_accepts[-2] / count >= reach:
            return part
        depth *= 4
    return curve_of(sets.genuine, sets.impostor, drop_collinear=drop_collinear)


def _strict(sets: ScoreSets, targets: Sequence[float]) -> list[float]:
    """The smallest observed score whose FAR does not exceed the target.

    With k allowed false accepts it is the smallest score above the (k + 1)-th largest impostor, ties rejected together
    (bob.measure's ``far_threshold`` allows the same impostors but sets its threshold at an impostor score and thereby
    loses the genuine scores between two impostors).
    """
    genuine, impostor = sets
    count = impostor.size
    allowed = [most_allowed(target, count) for target in targets]
    depth = min(max(allowed) + 1, count)
    top = np.partition(impostor, count - depth)[count - depth :]
    top.sort()
    ordered = np.sort(genuine)
    thresholds = []
    for most in allowed:
        if most >= count:
            thresholds.append(float(min(top[0], ordered[0])))
            continue
        refused = top[-1 - most]
        above = [
            float(scores[place])
            for scores in (top, ordered)
            if (place := int(np.searchsorted(scores, refused, side="right"))) < scores.size
        ]
        thresholds.append(min(above, default=_just_above(refused)))
    return thresholds


def most_allowed(target: float, count: int) -> int:
    """The largest k with ``k / count <= target``, safe from the rounding of ``target * count``."""
    most = int(target * count)
    if (most + 1) / count <= target:
        return most + 1
    return most if most / count <= target else most - 1


def _kth_impostor(sets: ScoreSets, targets: Sequence[float]) -> list[float]:
    """The k-th largest impostor score, k = round(target x impostors), or the largest + 1e-5 if k is 0 (PFE).

    Impostors equal to the threshold are all accepted, so the FAR may exceed the target.
    """
    count = sets.impostor.size
    ranks = [round(target * count) for target in targets]
    places = sorted({count - max(rank, 1) for rank in ranks})
    ordered = np.partition(sets.impostor, places)
    largest = sets.impostor.max()
    # Where 1e-5 is lost in the precision of the score, the next larger number keeps the sense of the rule.
    beyond = max(float(largest + largest.dtype.type(1e-5)), _just_above(largest))
    return [float(ordered[count - rank]) if rank else beyond for rank in ranks]


def _just_above(score: np.floating[Any]) -> float:
    """The next number above ``score`` in its own precision: a finite threshold that rejects it."""
    return float(np.nextafter(score, score.dtype.type(np.inf)))


TAR_RULES: Mapping[str, Callable[[ScoreSets, Sequence[float]], list[float]]] = {
    "reference": partial(_nearest, drop_collinear=True),
    "nearest-all-points": partial(_nearest, drop_collinear=False),
    "strict": _strict,
    "kth-impostor": _kth_impostor,
}
"""The rules by name."""
