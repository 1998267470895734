"""Error versus discard: how fast errors vanish as comparisons of the lowest quality are left out.

A quality estimate is worth as much as the errors it predicts (Grother and Tabassi, 2007; the error-versus-discard
characteristic of ISO/IEC 29794-1). The quality of a comparison is the smaller of its two images', for one bad image
spoils it. MagFace and its successors take the length of the feature as quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import ScoreSets, as_rate, as_scores, split
from facebench.metrics.tar import TAR_RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


DiscardRule = Literal["fixed", "reference"]
"""When and how the threshold is chosen; see :func:`error_versus_discard`."""


@dataclass(frozen=True, slots=True, eq=False)
class ErrorDiscard:
    """A curve of L discard levels.

    Attributes:
        discarded: Share of comparisons left out, ``floor(fraction * N) / N``, shape ``(L,)``.
        fnmr: False non-match rate of what remains, in [0, 1], shape ``(L,)``; NaN where no genuine comparison (or, by
            the rule ``reference``, no impostor) remains.
        fmr: False match rate of what remains, shape ``(L,)``; NaN where no impostor remains.
        genuine: Genuine comparisons that remain, shape ``(L,)``.
        impostors: Impostor comparisons that remain, shape ``(L,)``.
        thresholds: Threshold of each level, shape ``(L,)``; NaN where there is none.
        target: The false match rate aimed at.
        rule: ``"fixed"`` or ``"reference"``.
    """

    discarded: npt.NDArray[np.float64]
    fnmr: npt.NDArray[np.float64]
    fmr: npt.NDArray[np.float64]
    genuine: npt.NDArray[np.int64]
    impostors: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.float64]
    target: float
    rule: str

    @property
    def area(self) -> float:
        """Trapezoid area under ``fnmr`` over ``discarded``, up to the first level without a value; lower is better."""
        lost = np.flatnonzero(np.isnan(self.fnmr))
        end = int(lost[0]) if lost.size else self.fnmr.size
        return float(np.trapezoid(self.fnmr[:end], self.discarded[:end]))


def error_versus_discard(
    scores: npt.ArrayLike,
    same: npt.ArrayLike,
    *,
    qualities: tuple[npt.ArrayLike, npt.ArrayLike],
    target: float = 1e-3,
    fractions: Sequence[float] | None = None,
    rule: DiscardRule = "fixed",
) -> ErrorDiscard:
    """Returns the false non-match rate as comparisons of the lowest quality are discarded.

    Rule ``"fixed"`` chooses the threshold once, on all comparisons, as the largest accepted set with FMR <= target
    (``strict``), and keeps it: errors can then vanish only because erring comparisons are gone. Rule ``"reference"`` is
    MagFace's ``eval_quality.py``: at each level the threshold is the (1 + floor((n - 1) target))-th largest of the n
    impostors that remain, and a score must exceed it. Comparisons of equal quality go in their order.

    Args:
        scores: Shape ``(N,)``, higher is more alike.
        same: True or 1 where a pair shows one person, shape ``(N,)``.
        qualities: Quality of the first and of the second image of each pair, two arrays of shape ``(N,)``, higher is
            better.
        target: False match rate to aim at, in [0, 1].
        fractions: Shares of comparisons to discard, each in [0, 1); None for 0, 0.05, ..., 0.95.
        rule: When the threshold is chosen.

    Raises:
        MetricError: If scores, flags, qualities, target or fractions are not as described, or a class is missing.
        UnknownName: If there is no such rule.
    """
    if rule not in ("fixed", "reference"):
        raise UnknownName("discard rule", rule, ("fixed", "reference"))
    sets = split(scores, same)
    checked, flags = as_scores(scores), np.asarray(same).astype(np.bool_)
    aim = as_rate(target)
    wanted = np.arange(20) * 0.05 if fractions is None else fractions
    shares = np.array([as_rate(share, "fractions") for share in wanted])
    if not shares.size or shares.max() >= 1:
        raise MetricError(f"fractions must hold at least one share below 1; found {shares.tolist()}")
    sides = [as_scores(side, "qualities") for side in qualities]
    if any(side.size != checked.size for side in sides):
        sizes = " and ".join(str(side.size) for side in sides)
        raise MetricError(f"one quality an image is needed; found {sizes} for {checked.size} pairs")
    order = np.argsort(np.minimum(*sides), kind="stable")
    fixed = TAR_RULES["strict"](sets, [aim])[0]
    levels = []
    for dropped in (int(share * checked.size) for share in shares):
        kept = order[dropped:]
        remaining = ScoreSets(checked[kept][flags[kept]], checked[kept][~flags[kept]])
        levels.append((dropped / checked.size, *_level(remaining, fixed if rule == "fixed" else None, aim)))
    discarded, fnmr, fmr, genuine, impostors, thresholds = (np.array(column) for column in zip(*levels, strict=True))
    return ErrorDiscard(discarded, fnmr, fmr, genuine, impostors, thresholds, aim, rule)


def _level(sets: ScoreSets, fixed: float | None, target: float) -> tuple[float, float, int, int, float]:
    """FNMR, FMR, both counts and the threshold at one level."""
    genuine, impostors = sets
    if fixed is not None:
        fnmr, fmr = _share(genuine < fixed), _share(impostors >= fixed)
        return fnmr, fmr, genuine.size, impostors.size, fixed
    if not impostors.size:
        return np.nan, np.nan, genuine.size, 0, np.nan
    place = impostors.size - 1 - int((impostors.size - 1) * target)
    threshold = float(np.partition(impostors, place)[place])
    return _share(genuine <= threshold), _share(impostors > threshold), genuine.size, impostors.size, threshold


def _share(holds: npt.NDArray[np.bool_]) -> float:
    """Mean of flags; NaN if there are none."""
    return float(np.mean(holds)) if holds.size else np.nan
