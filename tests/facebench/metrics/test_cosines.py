from __future__ import annotations

from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_separability import exact

from facebench.errors import MetricError, UnknownName
from facebench.metrics import cosines
from facebench.metrics.cosines import Side, as_thresholds, directions, has_bfloat16, screens


@st.composite
def vectors(draw):
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 3, 16, 512]))
    scale = draw(st.sampled_from([1e-300, 1e-30, 1.0, 1e30, 1e300]))
    return scale * random.standard_normal(shape)


@settings(max_examples=100, deadline=None)
@given(vectors(), st.integers(1, 4))
def test_directions_are_of_unit_length_and_on_the_grid(some, rows):
    found = directions(some)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    steps = found.astype(np.float64) * 2**26
    np.testing.assert_array_equal(steps, np.rint(steps))
    scaled = some / np.abs(some).max(axis=1, keepdims=True)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(found, scaled, rtol=0, atol=2.0**-24)
    with patch.object(cosines, "_ROWS", rows):
        np.testing.assert_array_equal(directions(some), found)
    np.testing.assert_array_equal(np.concatenate([directions(row[None]) for row in some]), found)


def test_a_score_is_the_exact_sum_in_any_order():
    draw = np.random.default_rng(0)
    found = directions(draw.standard_normal((6, 512)))
    wide = found.astype(np.float64)
    for first in range(6):
        for second in range(6):
            pairs = zip(found[first].tolist(), found[second].tolist(), strict=True)
            whole = sum(Fraction(a) * Fraction(b) for a, b in pairs)
            order = draw.permutation(512)
            assert Fraction(np.cumsum((wide[first] * wide[second])[order])[-1].item()) == whole
            assert Fraction((wide @ wide.T)[first, second].item()) == whole
    assert np.array_equal(exact(found), (wide @ wide.T).astype(np.float32))


def test_cosines_of_directions_are_those_of_the_vectors():
    some = np.random.default_rng(1).standard_normal((50, 512))
    unit = some / np.linalg.norm(some, axis=1, keepdims=True)
    assert np.abs(exact(some) - unit @ unit.T).max() < 1e-7


def test_directions_leave_their_input_alone():
    some = directions(np.random.default_rng(0).standard_normal((4, 8)))
    before = some.copy()
    assert not np.shares_memory(directions(some), some)
    np.testing.assert_array_equal(some, before)


@pytest.mark.parametrize("wrong", [np.zeros((2, 0)), np.zeros(3), [["a"]], [[np.inf, 1]]])
def test_what_is_no_set_of_vectors_is_refused(wrong):
    with pytest.raises(MetricError, match="probes"):
        directions(wrong, "probes")


def test_vectors_without_direction_are_counted():
    some = np.ones((5, 2))
    some[[1, 4]] = 0
    with patch.object(cosines, "_ROWS", 2), pytest.raises(MetricError, match="found 2 of 5, the first is row 1"):
        directions(some)


def test_thresholds():
    assert as_thresholds([0.4, 1]).tolist() == [np.float32(0.4), 1]
    assert as_thresholds(()).shape == (0,)
    for wrong in ([np.nan], [np.inf], 0.4, [[0.4]]):
        with pytest.raises(MetricError, match="thresholds"):
            as_thresholds(wrong)


def test_screens(monkeypatch):
    for there in (False, True):
        monkeypatch.setattr(cosines, "has_bfloat16", lambda device, there=there: there)
        assert [screens(name, "cpu") for name in ("auto", "bfloat16", "never")] == [there, True, False]
    with pytest.raises(UnknownName, match="screen"):
        screens("float16", "cpu")


def test_units_for_bfloat16(monkeypatch):
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for answers, expected in (((False, False), False), ((True, False), True), ((False, True), True)):
        for ask, answer in zip(asks, answers, strict=True):
            monkeypatch.setattr(torch.cpu, ask, lambda answer=answer: answer, raising=False)
        assert has_bfloat16("cpu") is expected
        assert not has_bfloat16("mps")
    for ask in asks:
        monkeypatch.delattr(torch.cpu, ask)
    assert not has_bfloat16("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_bfloat16("cuda:0")


def test_a_side_knows_what_rounding_took():
    found = directions(np.random.default_rng(0).standard_normal((9, 32)))
    assert Side.of(found, "cpu", screened=False).half is None
    with patch.object(cosines, "_ROWS", 4):
        side = Side.of(found, "cpu", screened=True)
    lost = np.linalg.norm(found.astype(np.float64) - side.half.double().numpy(), axis=1)
    assert side.lost == pytest.approx(lost.max())
    assert 0 < side.lost < 2.0**-8
