"""The equal error rate: where false accepts and false rejects balance, by the three rules in use.

Scores are finitely many, so the two rates rarely meet exactly; what happens then differs by implementation and moves
the value by points on small sets. Each rule is named in its result, with both rates at its threshold.

* ``pyeer``: thresholds are the scores, ascending. The first with FMR <= FNMR, or the one before it, whichever has the
  smaller FMR + FNMR; the value is the mean of the two rates (FVC2000, Maio et al. 2002; pyeer's ``get_eer_values``).
* ``bob``: the threshold, among midpoints between neighbouring scores, with the smallest |FAR - FRR|; the value is the
  mean of the two rates (bob.measure's ``eer_threshold``).
* ``interpolation``: the root of ``1 - x = TAR(x)``, TAR linear between the points of the full ROC curve (facenet's
  ``brentq`` line, solved in closed form).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.errors import UnknownName
from facebench.metrics.roc import roc_curve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from facebench.metrics.roc import Roc


@dataclass(frozen=True, slots=True)
class EqualErrorRate:
    """An equal error rate and the threshold it was read at.

    Attributes:
        value: The equal error rate, in [0, 1].
        far: False accept rate at ``threshold``, in [0, 1].
        frr: False reject rate at ``threshold``, in [0, 1].
        threshold: Accept at ``score >= threshold``.
        rule: ``"pyeer"``, ``"bob"`` or ``"interpolation"``.
    """

    value: float
    far: float
    frr: float
    threshold: float
    rule: str


def equal_error_rate(genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, rule: str = "interpolation") -> EqualErrorRate:
    """Returns the equal error rate of two sets of scores.

    Args:
        genuine: Scores of comparisons of one person, shape ``(G,)``, higher is more alike.
        impostor: Scores of comparisons of two people, shape ``(I,)``.
        rule: See the module.

    Raises:
        MetricError: If scores are not finite numbers, or a class is missing.
        UnknownName: If there is no such rule.
    """
    return crossing(roc_curve(genuine, impostor), rule=rule)


def crossing(roc: Roc, *, rule: str = "interpolation") -> EqualErrorRate:
    """Returns the equal error rate of a curve with all its points; saves a sort where the curve is at hand.

    Args:
        roc: A curve from :func:`~facebench.metrics.roc.roc_curve`, no collinear points dropped.
        rule: See the module.

    Raises:
        UnknownName: If there is no such rule.
    """
    if rule not in EER_RULES:
        raise UnknownName("equal error rate rule", rule, EER_RULES)
    return EER_RULES[rule](roc)


def _at(roc: Roc, point: int) -> tuple[float, float]:
    """The false accept and false reject rate of a point."""
    rejected = roc.genuine - int(roc.true_accepts[point])
    return int(roc.false_accepts[point]) / roc.impostors, rejected / roc.genuine


def _first_crossed(roc: Roc) -> int:
    """The first point, from the strict end, whose FAR is at least its FRR; the loosest point always is one.

    FAR - FRR rises strictly along the curve. It is compared as integers, over the common denominator.
    """
    return int(np.searchsorted(_balance(roc), 0, side="left"))


def _balance(roc: Roc) -> npt.NDArray[np.int64]:
    """FAR - FRR of each point, times impostors times genuine, rising strictly from negative to positive."""
    return roc.false_accepts * roc.genuine - (roc.genuine - roc.true_accepts) * roc.impostors


def _pyeer(roc: Roc) -> EqualErrorRate:
    """By pyeer's rule; where even the largest score has FMR > FNMR, pyeer answers 1 for value and both rates."""
    # The curve falls in thresholds: the first threshold, ascending, with FMR <= FNMR is the last point not above 0.
    # Point 0 lies above all scores and is no threshold of pyeer's.
    last = int(np.searchsorted(_balance(roc), 0, side="right")) - 1
    if last < 1:
        return EqualErrorRate(1.0, 1.0, 1.0, float(roc.thresholds[-1]), "pyeer")
    candidates = [last]
    if _balance(roc)[last] != 0 and last + 1 < roc.thresholds.size:
        candidates.insert(0, last + 1)
    chosen = min(candidates, key=lambda point: sum(_at(roc, point)))
    far, frr = _at(roc, chosen)
    return EqualErrorRate((far + frr) / 2, far, frr, float(roc.thresholds[chosen]), "pyeer")


def _bob(roc: Roc) -> EqualErrorRate:
    """By bob.measure's rule, on exact counts (bob adds up floats and so decides ties by their rounding).

    Of two cuts with FAR and FRR equally far apart the stricter wins, unless it accepts no impostor or nothing genuine.
    """
    balance = np.abs(_balance(roc))
    nearest = np.flatnonzero(balance == balance.min())
    stricter = int(nearest[0])
    spent = not roc.false_accepts[stricter] or not roc.true_accepts[stricter]
    chosen = int(nearest[-1]) if spent else stricter
    far, frr = _at(roc, chosen)
    threshold = float(roc.thresholds[chosen])
    if 0 < chosen < roc.thresholds.size - 1:
        below = float(roc.thresholds[chosen + 1])
        middle = below + (threshold - below) / 2
        threshold = middle if middle > below else threshold
    return EqualErrorRate((far + frr) / 2, far, frr, threshold, "bob")


def _interpolation(roc: Roc) -> EqualErrorRate:
    """By linear interpolation; the threshold and rates are those of the nearer end of the segment that crosses."""
    after = _first_crossed(roc)
    before = after - 1
    (far_before, frr_before), (far_after, frr_after) = _at(roc, before), _at(roc, after)
    gap_before, gap_after = frr_before - far_before, far_after - frr_after
    share = gap_before / (gap_before + gap_after)
    value = far_before + share * (far_after - far_before)
    chosen = before if gap_before < gap_after and before else after
    far, frr = _at(roc, chosen)
    return EqualErrorRate(value, far, frr, float(roc.thresholds[chosen]), "interpolation")


EER_RULES: Mapping[str, Callable[[Roc], EqualErrorRate]] = {
    "pyeer": _pyeer,
    "bob": _bob,
    "interpolation": _interpolation,
}
"""The rules by name."""
