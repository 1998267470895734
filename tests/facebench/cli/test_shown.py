from __future__ import annotations

import pytest

from facebench.cli.shown import shown
from facebench.results import Metric
from facebench.testing.toys import toy_result


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.99125, "fraction", "99.125 %"),
        (4.23, "1", "4.2300"),
        (130.93849, "1", "130.9385"),
        (0.0, "1", "0.0000"),
        (0.001, "1", "0.0010"),
        (4.234e-05, "1", "4.234e-05"),
        (-3.5e-4, "1", "-0.00035"),
    ],
)
def test_small_numbers_do_not_look_like_0(value, unit, words):
    result = toy_result().model_copy(update={"metrics": (Metric(name="measure", value=value, unit=unit),)})
    (line,) = (line for line in shown(result) if "measure" in line)
    assert line.split("  ")[2].strip() == words
