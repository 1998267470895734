from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench import Interval
from facebench_leaderboard.numbers import as_ranked, bounds, decimals_of, number, shown, words


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.9945, 3, "99.450"),
        (0.9945, 2, "99.45"),
        (0.0, 2, "0.00"),
        (1.0, 3, "100.000"),
        (0.99996, 2, "99.996"),
        (0.0000213, 2, "0.002"),
        (0.00000001, 2, "0.000001"),
        (-0.25, 2, "-25.00"),
    ],
)
def test_fractions_are_percent(value: float, decimals: int, text: str) -> None:
    assert shown(value, "fraction", decimals=decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12408.0, "12,408"), (3.14159, "3.142"), (12345.678, "12,345.7"), (0.0, "0"), (0.31249, "0.3125")],
)
def test_other_units_stay_as_they_are(value: float, text: str) -> None:
    assert shown(value, "cosine") == text


@given(st.floats(0, 1))
def test_only_0_and_1_look_like_it(value: float) -> None:
    seen = as_ranked(value, "fraction", decimals=2)
    assert abs(seen - 100 * value) <= 0.005 + 1e-9
    if 1e-8 < value < 1 - 1e-8:
        assert 0 < seen < 100


@given(st.floats(0, 1), st.floats(0, 1))
def test_order_survives_rounding(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert as_ranked(low, "fraction", decimals=2) <= as_ranked(high, "fraction", decimals=2)


def test_accuracies_have_three_decimals() -> None:
    assert decimals_of("accuracy") == 3
    assert decimals_of("tar@far=1e-4") == 2


def test_bounds_name_only_unusual_levels() -> None:
    usual = Interval(low=0.98, high=0.99, method="Wilson", samples=10)
    assert bounds(usual, "fraction") == "[98.00, 99.00]"
    assert bounds(usual.model_copy(update={"level": 0.9}), "fraction") == "[98.00, 99.00] (90 %)"


def test_words_are_one_line_without_tricks() -> None:
    assert words("a\nb\x00c\u2028d  e") == "a b c d e"
    assert words("\u202egnp\u202c.exe") == "gnp.exe"
    assert words("顔 é ✓") == "顔 é ✓"


def test_numbers_beside_the_point() -> None:
    assert number(3000) == "3,000"
    assert number(0.00012345678) == "0.000123457"
    assert number("a\nb") == "a b"
