"""How confidences follow the ladders: named metrics, each with an interval from people drawn with replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import Metric
from facebench.measures import interval_of
from facebench.metrics.resampling import multiplicities, percentile_intervals
from facebench_confidence.ladders import LADDERS
from facebench_confidence.ranks import pooled_spearman, row_spearman

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import Interval
    from facebench_confidence.ladders import Rung

    Doubles = npt.NDArray[np.float64]

LEVEL = 0.95
SCORE = "confidence"
_BLOCK_BYTES = 32 << 20  # of working arrays; at least one replicate is held: about 64 bytes a picture


@dataclass(frozen=True, slots=True, eq=False)
class Confidences:
    """What a network says of every face at every level.

    Attributes:
        rungs: The levels, the clean one first.
        logs: Natural logarithm of the confidence, mean over the blocks, float64 (F, len(rungs)).
        people: Who each face is, int64 (F,), from 0 on without gaps.
        known: Whether the data says who the faces are; else each counts as a person.
    """

    rungs: tuple[Rung, ...]
    logs: Doubles
    people: npt.NDArray[np.int64]
    known: bool

    @classmethod
    def of(cls, rungs: tuple[Rung, ...], logs: Doubles, labels: npt.NDArray[np.int64]) -> Confidences:
        """Faces without a label are people of their own."""
        alone = labels < 0
        who = np.where(alone, labels.max(initial=0) + 1 + np.arange(len(labels)), labels)
        return cls(rungs, logs, np.unique(who, return_inverse=True)[1].astype(np.int64), not bool(alone.all()))

    @property
    def count(self) -> int:
        """How many people there are."""
        return int(self.people.max()) + 1

    def ladder(self, kind: str) -> tuple[tuple[float, ...], Doubles]:
        """Levels of one ladder from the clean picture up, and the logarithms there, (F, L)."""
        chosen = [place for place, rung in enumerate(self.rungs) if rung.kind in ("clean", kind)]
        return tuple(self.rungs[place].level for place in chosen), self.logs[:, chosen]


def metrics(found: Confidences, *, samples: int, seed: int) -> list[Metric]:
    """Spearman correlations of both ladders, then the spread of confidences.

    Args:
        found: The confidences.
        samples: Bootstrap replicates; 0 leaves the intervals out.
        seed: Of the bootstrap.
    """
    values = _statistics(found, np.ones((1, len(found.people))))[:, 0]
    intervals = _intervals(found, samples=samples, seed=seed)
    faces = len(found.people)
    made = []
    for place, kind in enumerate(LADDERS):
        levels, logs = found.ladder(kind)
        behind: dict[str, int | float | str] = {"faces": faces, "people": found.count, "levels": len(levels)}
        flat = int(np.count_nonzero((logs == logs[:, :1]).all(axis=1)))
        for row, (name, rule) in enumerate(_named(kind), start=3 * place):
            more = {"faces without change": flat} if rule == "within-face" else {}
            made.append(_spearman(name, rule, float(values[row]), intervals[row], behind | more))
    made.sort(key=lambda metric: (metric.rule != "reference", metric.name.endswith("-means")))
    clean = found.logs[:, 0]
    detail: dict[str, int | float | str] = {
        "clean faces": float(clean.std()),
        "median of clean faces": float(np.exp(np.median(clean))),
        "lowest": float(np.exp(found.logs.min())),
        "highest": float(np.exp(found.logs.max())),
        "pictures": found.logs.size,
    }
    spread = Metric(
        name="confidence-spread",
        value=float(values[-1]),
        unit="nat",
        higher_is_better=None,
        interval=intervals[-1],
        score=SCORE,
        detail=detail,
    )
    return [*made, spread]


def _named(kind: str) -> tuple[tuple[str, str], ...]:
    """Name and rule of the statistics of one ladder, in the order of ``_statistics``."""
    return (
        (f"spearman-{kind}", "reference"),
        (f"spearman-{kind}-means", "reference"),
        (f"spearman-{kind}", "within-face"),
    )


def _spearman(
    name: str, rule: str, value: float, interval: Interval | None, detail: dict[str, int | float | str]
) -> Metric:
    absent = np.isnan(value)
    return Metric(
        name=name,
        value=None if absent else value,
        unit="1",
        higher_is_better=False,
        interval=None if absent else interval,
        rule=rule,
        score=SCORE,
        reason="all confidences are equal" if absent else None,
        detail=detail,
    )


def _statistics(found: Confidences, weights: Doubles) -> Doubles:
    """Every value under every set of weights of the faces, (R, F): (statistics, R), NaN where there is none."""
    total = weights.sum(axis=1)
    rows = []
    for kind in LADDERS:
        _, logs = found.ladder(kind)
        rows.append(pooled_spearman(logs, weights))
        rows.append(row_spearman(weights @ logs / total[:, None]))
        own = row_spearman(logs)
        # A face whose confidence never changes tells nothing of the damage; where none does, there is no correlation.
        rows.append(weights @ (own if np.isnan(own).all() else np.nan_to_num(own)) / total)
    centred = found.logs - found.logs.mean()
    mean, square = (weights @ power.mean(axis=1) / total for power in (centred, centred**2))
    rows.append(np.sqrt(np.maximum(square - mean**2, 0.0)))
    return np.stack(rows)


def _intervals(found: Confidences, *, samples: int, seed: int) -> Sequence[Interval | None]:
    """Percentile intervals of all statistics, people drawn with all their faces at all levels."""
    count = len(_statistics(found, np.ones((1, len(found.people)))))
    if not samples or found.count < 2:
        return [None] * count
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_BYTES // (64 * found.logs.size))
    parts = []
    for start in range(0, samples, block):
        drawn = multiplicities(generator, min(block, samples - start), found.count)
        parts.append(_statistics(found, drawn[:, found.people]))
    replicates = np.concatenate(parts, axis=1)
    what = "people" if found.known else "faces (people unknown)"
    method = f"bootstrap over {what}, percentile"
    return [_interval(row[np.isfinite(row)], samples, method) for row in replicates]


def _interval(replicates: Doubles, samples: int, method: str) -> Interval | None:
    """Of one statistic; None where fewer than half of the replicates have a value."""
    if 2 * len(replicates) < samples:
        return None
    return interval_of(percentile_intervals(replicates[None], LEVEL, method)[0])
