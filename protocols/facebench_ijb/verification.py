"""The 1:1 part: scores of listed pairs of templates, and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench.measures import auc_metric, det_figure, eer_metric, histogram_figure, roc_figure, spelt, tar_metric
from facebench.metrics import operating_points, roc_curve, score_pairs
from facebench_ijb.uncertainty import pair_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from facebench import Curve, Metric
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
        tar_metric(point, interval=spread.tar(rule, index), mirror=mirror)
        for group in (targets[: len(first)], targets[len(first) :])
        for rule, found in points.items()
        for index, point in enumerate(found)
        if point.target in group
    ]
    curve = roc_curve(genuine, impostor)
    metrics += [
        eer_metric(curve, mirror=mirror, interval=spread.eer),
        auc_metric(genuine, impostor, mirror=mirror, interval=spread.auc),
    ]
    marked = points["reference"][0]
    marks = {f"FAR {spelt(marked.target)}": marked.threshold}
    scored = {"impostor": impostor, "genuine": genuine}
    histogram = histogram_figure(scored, marks=marks, x_label="cosine similarity of templates")
    curves = (roc_figure(curve), det_figure(curve), histogram)
    return Verified(tuple(metrics), curves, scores)
