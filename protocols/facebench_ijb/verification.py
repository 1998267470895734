"""The 1:1 part: scores of listed pairs of templates, and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import Metric
from facebench.metrics import auc, crossing, operating_points, roc_curve, score_pairs
from facebench_ijb.curves import det, histogram, roc
from facebench_ijb.spelling import spelt
from facebench_ijb.uncertainty import pair_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from facebench import Curve, Interval
    from facebench.metrics import OperatingPoint
    from facebench_ijb.lists import Ints, Pairs


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """What the 1:1 part found.

    Attributes:
        metrics: TAR at each FAR by both rules, then EER and AUC.
        curves: ROC, DET and histogram.
        scores: Cosine of each pair, float32 (P,).
    """

    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...]
    scores: npt.NDArray[np.float32]


def verify(
    vectors: npt.NDArray[np.float32],
    pairs: Pairs,
    *,
    far: Sequence[float],
    headline: float,
    mirror: str,
    subjects: Ints | None,
    samples: int,
    seed: int,
) -> Verified:
    """Compares the listed pairs.

    Memory beyond the input, for P pairs: about 60 bytes a pair, most of it for the curve and the equal error rate: one
    GB for IJB-C.

    Args:
        vectors: Unit vectors of templates, (T, D).
        pairs: Template numbers.
        far: False accept rates, (K,).
        headline: The one that comes first, where it is among them.
        mirror: How mirrors were fused, to be told with each metric.
        subjects: Number of each template's subject, (T,), for intervals; None resamples templates.
        samples: Bootstrap replicates; 0 leaves the intervals out.
        seed: Of the bootstrap.

    Raises:
        MetricError: When there are pairs of one kind only.
    """
    scores = score_pairs(vectors, pairs.first, pairs.second)
    genuine, impostor = scores[pairs.same], scores[~pairs.same]
    ordered = sorted(dict.fromkeys(far))
    first = [rate for rate in ordered if rate == headline]
    targets = [*first, *(rate for rate in ordered if rate != headline)]
    spread = pair_intervals(scores, pairs, targets=targets, subjects=subjects, samples=samples, seed=seed)
    points = {rule: operating_points(genuine, impostor, targets=targets, rule=rule) for rule in ("reference", "strict")}
    metrics = [
        _tar(point, spread.tar(rule, index), mirror)
        for group in (targets[: len(first)], targets[len(first) :])
        for rule, found in points.items()
        for index, point in enumerate(found)
        if point.target in group
    ]
    curve = roc_curve(genuine, impostor)
    equal = crossing(curve)
    metrics += [
        Metric(
            name="eer",
            value=equal.value,
            higher_is_better=False,
            rule=equal.rule,
            mirror=mirror,
            interval=spread.eer,
            detail={"far": equal.far, "frr": equal.frr, "threshold (cosine)": equal.threshold},
        ),
        Metric(name="auc", value=auc(genuine, impostor), mirror=mirror, interval=spread.auc),
    ]
    marked = points["reference"][0]
    curves = (roc(curve), det(curve), histogram(genuine, impostor, {f"FAR {spelt(marked.target)}": marked.threshold}))
    return Verified(tuple(metrics), curves, scores)


def _tar(point: OperatingPoint, spread: Interval | None, mirror: str) -> Metric:
    name = f"tar@far={spelt(point.target)}"
    if not point.resolved:
        reason = f"FAR {spelt(point.target)} is below what {point.impostors:,} impostor pairs resolve"
        return Metric(name=name, value=None, rule=point.rule, mirror=mirror, reason=reason)
    return Metric(
        name=name,
        value=point.tar,
        rule=point.rule,
        mirror=mirror,
        interval=spread,
        detail={
            "far": point.far,
            "threshold (cosine)": point.threshold,
            "accepted genuine": point.accepted_genuine,
            "genuine": point.genuine,
            "accepted impostors": point.accepted_impostors,
            "impostors": point.impostors,
        },
    )
