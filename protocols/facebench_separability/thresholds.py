"""The similarities above which two identities count as one: fixed ones, and one found on impostor pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import Metric
from facebench.measures import spelt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebench_separability.sides import PairScores


@dataclass(frozen=True, slots=True)
class Threshold:
    """A similarity.

    Attributes:
        name: As metrics spell it: ``0.4`` or ``fmr=1e-3``.
        value: A cosine; None when the impostor pairs are too few to find it.
        above: Share of the impostor pairs that is above it.
        reason: Why it is None.
    """

    name: str
    value: float | None
    above: float = 0.0
    reason: str = ""

    @property
    def fixed(self) -> bool:
        """Whether it is the same for every network."""
        return not self.name.startswith("fmr")


def thresholds_of(fixed: Sequence[float], fmr: float, scores: PairScores) -> list[Threshold]:
    """All thresholds of an evaluation, fixed ones first.

    Args:
        fixed: Cosines.
        fmr: Share of impostor pairs that may be above one more threshold; 0 for none such.
        scores: Pairs of faces that the network compares, if possible of real people.
    """
    found = [Threshold(f"{value:g}", value, scores.above(value)) for value in fixed]
    if fmr:
        name, value = f"fmr={spelt(fmr)}", scores.threshold(fmr)
        if value is None:
            few = f"FMR {spelt(fmr)} is below what {scores.impostor.size:,} impostor pairs resolve"
            found.append(Threshold(name, None, reason=few))
        else:
            found.append(Threshold(name, value, scores.above(value)))
    return found


def threshold_metrics(thresholds: Sequence[Threshold], source: str, pairs: int) -> list[Metric]:
    """The thresholds that were found, as metrics.

    Args:
        thresholds: All of them.
        source: Whose impostor pairs they were found on.
        pairs: How many those are.
    """
    found = []
    for one in thresholds:
        if one.fixed:
            continue
        more = {"reason": one.reason} if one.value is None else {"detail": {"fmr": one.above, "impostors": pairs}}
        name = f"threshold@{one.name}"
        found.append(Metric(name=name, value=one.value, unit="cosine", higher_is_better=None, rule=source, **more))
    return found


def warning(thresholds: Sequence[Threshold], source: str) -> str:
    """What fixed thresholds mean for this network; empty where there are none."""
    fixed = sorted((one for one in thresholds if one.fixed), key=lambda one: one.value or 0.0)
    if not fixed:
        return ""
    shares = ", ".join(f"{100 * one.above:.3g} % above {one.name}" for one in fixed)
    found = [f"; {one.name} is at {one.value:.3f}" for one in thresholds if not one.fixed and one.value is not None]
    return (
        f"thresholds {', '.join(one.name for one in fixed)} are not calibrated for this network: of the impostor pairs "
        f"of {source} there are {shares}{''.join(found)}"
    )
