"""Small things that metrics of both parts share: rates as names spell them, intervals as results store them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import Interval

if TYPE_CHECKING:
    from facebench.metrics import IntervalEstimate


def spelt(rate: float) -> str:
    """``1e-3``: a rate the way metric names spell it."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def interval(estimate: IntervalEstimate) -> Interval:
    """An estimate as results store it."""
    return Interval(
        low=estimate.low, high=estimate.high, level=estimate.level, method=estimate.method, samples=estimate.samples
    )
