"""From the discrepancies of many batches to metrics that say what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.measures import interval_of
from facebench.metrics import fold_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import Interval
    from facebench.metrics.discrepancy import Discrepancy

    Numbers = npt.NDArray[np.float64]

QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}
LARGEST_SCALE, LEAST_SHARED = 0.5, 0.5


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a batch, and how results spell it.

    Attributes:
        field: In ``facebench.metrics.discrepancy.Discrepancy``.
        name: Of the metric, before ``@size``.
        rule: Where one name has several.
        unit: Of the metric.
        higher_is_better: Its direction; None for neither.
    """

    field: str
    name: str
    rule: str = "reference"
    unit: str = "1"
    higher_is_better: bool | None = False


MEASURES = (
    Measure("isa_sorted", "discrepancy"),
    Measure("isa_symmetric", "discrepancy", "symmetric"),
    Measure("isa_at_best_scale", "discrepancy-scale-free", "best-multiplier"),
    Measure("isa_by_maximum", "discrepancy-scale-free", "own-maximum"),
    Measure("isa_by_mean", "discrepancy-scale-free", "mean-edge"),
    Measure("shared_edges", "shared-edges", unit="fraction", higher_is_better=True),
    Measure("rank_correlation", "distance-correlation", "spearman", higher_is_better=True),
    Measure("wasserstein1", "wasserstein", "literal-p1"),
    Measure("wasserstein2", "wasserstein", "literal-p2"),
    Measure("bottleneck", "bottleneck", "literal"),
    Measure("scale", "best-multiplier", "least-squares", higher_is_better=None),
)
DRAWN = tuple(one for one in MEASURES if one.field in ("isa_sorted", "isa_at_best_scale", "shared_edges"))


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The batches of one size.

    Attributes:
        size: Faces in each.
        values: Of each measure's field, (B,), NaN where a batch has none.
        repeated: Batches with two equal pictures.
        reason: Why there are none; empty if there are.
    """

    size: int
    values: dict[str, Numbers]
    repeated: int = 0
    reason: str = ""

    @classmethod
    def of(cls, size: int, found: Sequence[Discrepancy], *, repeated: int) -> Batches:
        """What was found in each batch."""
        columns = {one.field: [getattr(batch, one.field) for batch in found] for one in MEASURES}
        return cls(size, {name: np.array(values, dtype=np.float64) for name, values in columns.items()}, repeated)

    @property
    def count(self) -> int:
        """B."""
        return len(self.values[MEASURES[0].field]) if self.values else 0

    def mean(self, field: str) -> float:
        """Mean over the batches."""
        return float(self.values[field].mean())


def metrics(batches: Batches, *, score: str) -> list[Metric]:
    """Mean of every measure over the batches of one size, the training loss's value and its spread first.

    Args:
        batches: Of one size.
        score: Between which vectors distances are.
    """
    found = [_metric(one, batches, score) for one in MEASURES]
    headline = MEASURES[0]
    if batches.count > 1:
        spread = float(batches.values[headline.field].std(ddof=1))
        name = f"{headline.name}@{batches.size}-std"
        found.insert(1, Metric(name=name, value=spread, unit=headline.unit, higher_is_better=False, score=score))
    return found


def _metric(one: Measure, batches: Batches, score: str) -> Metric:
    name = f"{one.name}@{batches.size}"
    values = batches.values.get(one.field)
    reason = batches.reason
    if values is not None and np.isnan(values).any():
        missing = int(np.isnan(values).sum())
        reason = f"in {missing} of {len(values)} batches all distances of a space are equal"
    if values is None or reason:
        return Metric(
            name=name,
            value=None,
            unit=one.unit,
            higher_is_better=one.higher_is_better,
            rule=one.rule,
            score=score,
            reason=reason,
        )
    detail: dict[str, int | float | str] = {"batches": len(values)}
    if len(values) > 1:
        detail["standard deviation"] = float(values.std(ddof=1))
        detail |= {name: float(np.quantile(values, at)) for name, at in QUANTILES.items()}
    if one.field == "shared_edges":
        detail["chance"] = 2 / batches.size
    return Metric(
        name=name,
        value=float(values.mean()),
        unit=one.unit,
        higher_is_better=one.higher_is_better,
        rule=one.rule,
        score=score,
        interval=_interval(values),
        detail=detail,
    )


def _interval(values: Numbers) -> Interval | None:
    """How well the batches drawn tell the mean over all that could be drawn from this set."""
    found = interval_of(fold_interval(values)) if len(values) > 1 else None
    method = "Student t over batches of this fixed set"
    return None if found is None else found.model_copy(update={"method": method})


def scale_warning(batches: Batches) -> str:
    """What to say where the embeddings have the scale of the pictures and not their structure; empty if they do not.

    The raw discrepancy is below that of a network that maps all faces to one point, sum a^2 / n, exactly where the best
    multiplier is above 1/2: sum (a - b)^2 < sum a^2 means sum b^2 < 2 sum a b. No embedding of the usual length comes
    near; one that was multiplied by a small number does, whatever it shows. Half of the edges in common is what a
    random linear projection of the pictures reaches.
    """
    if not batches.count:
        return ""
    scale, shared = batches.mean("scale"), batches.mean("shared_edges")
    if scale < LARGEST_SCALE or shared >= LEAST_SHARED:
        return ""
    raw, best = batches.mean("isa_sorted"), batches.mean("isa_at_best_scale")
    return (
        f"discrepancy@{batches.size} is small ({raw:.3g}, {best:.3g} at the best multiplier {scale:.3g}) because the "
        f"embeddings are no longer than the pictures' distances, not because they keep structure: "
        f"{100 * shared:.1f} % of the edges are shared, {200 / batches.size:.1f} % by chance; "
        "read the scale-free numbers"
    )


def warnings(batches: Batches, total: int) -> list[str]:
    """What a reader must know of the batches of one size.

    Args:
        batches: Of one size.
        total: Faces they were drawn from.
    """
    said = [scale_warning(batches)]
    if batches.repeated:
        said.append(
            f"{batches.repeated} of {batches.count} batches of {batches.size} faces hold equal pictures; their edges "
            "of no length are shared by any two spaces"
        )
    if batches.count == 1:
        said.append(f"all {total:,} faces are the one batch of {batches.size}: no spread, no interval")
    elif batches.count and 2 * batches.size > total:
        said.append(
            f"batches of {batches.size} of {total:,} faces share most of them: they differ less than batches of fresh "
            "faces would"
        )
    return [text for text in said if text]
