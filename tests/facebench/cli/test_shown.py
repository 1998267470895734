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


def test_what_was_measured_beside_has_a_column():
    metrics = (
        Metric(name="eer", value=0.01),
        Metric(name="eer-beside", value=0.25),
        Metric(name="eer", value=0.02, rule="strict"),
        Metric(name="eer-beside", value=None, reason="too few", rule="strict"),
        Metric(name="auc", value=0.9),
        Metric(name="alone-beside", value=0.5),
    )
    lines = list(shown(toy_result().model_copy(update={"metrics": metrics})))
    table = [line.split() for line in lines[2:7]]
    assert table == [
        ["metric", "value", "beside", "95", "%", "interval", "rule"],
        ["eer", "1.000", "%", "25.000", "%", "reference"],
        ["eer", "2.000", "%", "-", "strict"],
        ["auc", "90.000", "%", "reference"],
        ["alone-beside", "50.000", "%", "reference"],
    ]
    assert "  eer-beside: too few" in lines


def test_without_any_there_is_no_such_column():
    lines = list(shown(toy_result()))
    assert "beside" not in lines[2]
