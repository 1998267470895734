"""The 1:1 part: scores of listed pairs of templates, and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench.measures import auc_metric, det_figure, eer_metric, histogram_figure, roc_figure, spelt, tar_metric
from facebench.metrics import operating_points, roc_curve
from facebench_ijb.uncertainty import pair_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebench import Curve, Metric
    from facebench_ijb.lists import Ints, Pairs
    from facebench_ijb.uncertainty import Floats

_SCORES = {"cosine": "cosine similarity of templates", "pa": "uncertainty-guided score of templates"}


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """What the 1:1 part found.

    Attributes:
        metrics: TAR at each FAR by both rules, then EER and AUC.
        curves: ROC, DET and histogram.
        scores: Score of each pair, float32 (P,) for cosines, float64 for ``pa``.
    """

    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...]
    scores: Floats


def verify(
    scores: Floats,
    pairs: Pairs,
    *,
    far: Sequence[float],
    headline: float,
    mirror: str,
    score: str,
    subjects: Ints | None,
    samples: int,
    seed: int,
) -> Verified:
    """Sums the scores of the listed pairs up.

    Memory beyond the input, for P pairs: about 60 bytes a pair, most of it for the curve and the equal error rate: one
    GB for IJB-C; half as much again for scores in float64.

    Args:
        scores: Score of each pair, (P,), higher is more alike.
        pairs: Template numbers.
        far: False accept rates, (K,).
        headline: The one that comes first, where it is among them.
        mirror: How mirrors were fused, to be told with each metric.
        score: What the scores are, likewise.
        subjects: Number of each template's subject, (T,), for intervals; None resamples templates.
        samples: Bootstrap replicates; 0 leaves the intervals out.
        seed: Of the bootstrap.

    Raises:
        MetricError: When there are pairs of one kind only.
    """
    genuine, impostor = scores[pairs.same], scores[~pairs.same]
    ordered = sorted(dict.fromkeys(far))
    first = [rate for rate in ordered if rate == headline]
    targets = [*first, *(rate for rate in ordered if rate != headline)]
    spread = pair_intervals(scores, pairs, targets=targets, subjects=subjects, samples=samples, seed=seed)
    points = {rule: operating_points(genuine, impostor, targets=targets, rule=rule) for rule in ("reference", "strict")}
    metrics = [
        tar_metric(point, interval=spread.tar(rule, index), unit=score, mirror=mirror, score=score)
        for group in (targets[: len(first)], targets[len(first) :])
        for rule, found in points.items()
        for index, point in enumerate(found)
        if point.target in group
    ]
    curve = roc_curve(genuine, impostor)
    metrics += [
        eer_metric(curve, interval=spread.eer, unit=score, mirror=mirror, score=score),
        auc_metric(genuine, impostor, interval=spread.auc, mirror=mirror, score=score),
    ]
    marked = points["reference"][0]
    marks = {f"FAR {spelt(marked.target)}": marked.threshold}
    scored = {"impostor": impostor, "genuine": genuine}
    histogram = histogram_figure(scored, marks=marks, x_label=_SCORES[score])
    curves = (roc_figure(curve), det_figure(curve), histogram)
    return Verified(tuple(metrics), curves, scores)
