"""How a number is shown: fractions in percent, with as many digits as published tables have.

One place decides this for both formats, because ranks depend on it: values that look the same share a rank.
"""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebench import Interval

MOST_DECIMALS = 6
# Marks that turn the direction of text around, with which a name could pass for another one.
TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(value: float, unit: str, *, decimals: int = 2) -> str:
    """The value in words that fit a table.

    Args:
        value: In the metric's unit.
        unit: ``fraction`` is shown in percent without a percent sign; anything else as it is.
        decimals: Decimals of a percentage. There are more where so few would make a small rate look like 0 or a large
            one like 100 without being it.

    Returns:
        Such as ``99.450``, ``0.0021``, ``12,408`` or ``3.141``.
    """
    if unit == "fraction":
        percent = 100 * value
        return f"{percent:.{max(decimals, *(_needed(gap) for gap in (percent, 100 - percent)))}f}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    return f"{value:.4g}"


def _needed(gap: float) -> int:
    """Decimals that show a percentage's distance from 0 or 100 as something, up to a limit; 0 for no distance."""
    if abs(gap) < 10.0**-MOST_DECIMALS:
        return 0
    return min(MOST_DECIMALS, max(0, -math.floor(math.log10(abs(gap)))))


def decimals_of(name: str) -> int:
    """Decimals of a metric in percent: accuracies and areas of good methods differ in the third."""
    return 3 if name.startswith(("accuracy", "auc")) else 2


def as_ranked(value: float, unit: str, *, decimals: int) -> float:
    """The value as a reader of the table sees it."""
    return float(shown(value, unit, decimals=decimals).replace(",", ""))


def bounds(interval: Interval, unit: str) -> str:
    """The interval's ends, and its level where that is not the usual 95 %."""
    level = "" if interval.level == 0.95 else f" ({100 * interval.level:g} %)"
    return f"[{shown(interval.low, unit)}, {shown(interval.high, unit)}]{level}"


def method_of(interval: Interval) -> str:
    """How an interval was found, in words."""
    return f"{100 * interval.level:g} % interval, {words(interval.method)}, {interval.samples:,} samples"


def number(value: float | str) -> str:
    """A number beside the point, such as a count or a threshold."""
    if isinstance(value, str):
        return words(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def words(text: str) -> str:
    """A stranger's text on one line, without invisible control characters."""
    kept = (
        " " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
        if letter not in TURNING and unicodedata.category(letter) != "Cs"
    )
    return " ".join("".join(kept).split())
