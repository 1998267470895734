"""The Gaussian-uniform mixture against the released code's values and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facebench_topofr.mixture import _uniform, fit

ENTROPIES = np.array([0.05, 0.10, 0.02, 3.0, 0.2, 0.15, 5.5, 0.01, 0.4, 1.2])
MIXED = np.concatenate([np.abs(np.random.default_rng(0).normal(0, 0.3, 90)), np.linspace(0.5, 8, 38)])
some = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 12))


def test_what_the_released_code_computes():
    found = fit(ENTROPIES, variant="reference")
    easy = [0.950803, 0.910750, 0.946488, 0, 0.957359, 0.880937, 0, 0.940737, 0.927635, 0]
    np.testing.assert_allclose(1 - found.hard, easy, atol=6e-7)
    assert found.share == 0.5
    assert found.variance == pytest.approx(0.010329, abs=6e-7)
    assert found.density == pytest.approx(0.165421, abs=6e-7)
    assert found.steps == 11


def test_the_symmetric_variant():
    found = fit(ENTROPIES)
    hard = [0.036745, 0.041044, 0.035621, 1, 0.063525, 0.049298, 1, 0.035463, 0.299705, 1]
    np.testing.assert_allclose(found.hard, hard, atol=6e-7)
    assert found.share == 0.5
    assert found.variance == pytest.approx(0.006959, abs=6e-7)
    assert found.density == pytest.approx(0.164159, abs=6e-7)
    assert found.nats == pytest.approx(found.variance * np.mean(ENTROPIES**2))


def test_symmetric_is_the_reference_on_both_signs():
    both = fit(np.repeat(ENTROPIES, 2), variant="reference")
    np.testing.assert_allclose(both.hard[::2], fit(ENTROPIES).hard, atol=1e-9)
    np.testing.assert_allclose(both.hard[1::2], fit(ENTROPIES).hard, atol=1e-9)


def test_the_reference_depends_on_the_order_and_the_symmetric_variant_does_not():
    order = np.random.default_rng(1).permutation(len(MIXED))
    np.testing.assert_allclose(fit(MIXED[order]).hard, fit(MIXED).hard[order], atol=1e-9)
    moved = fit(MIXED[order], variant="reference").hard - fit(MIXED, variant="reference").hard[order]
    assert np.abs(moved).max() > 0.05


@settings(deadline=None)
@given(some)
def test_harder_with_entropy_and_always_a_probability(entropies):
    found = fit(entropies)
    assert np.isfinite(found.hard).all() and found.hard.min() >= 0 and found.hard.max() <= 1
    # Entropies that differ by less than float64 can carry through may change places in the last bit.
    assert (np.diff(found.hard[np.argsort(entropies)]) >= -4 * np.finfo(np.float64).eps).all()
    assert 0 <= found.share <= 0.5


@settings(deadline=None)
@given(some)
def test_the_reference_survives_whatever_comes(entropies):
    found = fit(entropies, variant="reference")
    assert np.isfinite(found.hard).all() and found.hard.min() >= 0 and found.hard.max() <= 1


@pytest.mark.parametrize("variant", ["symmetric", "reference"])
@pytest.mark.parametrize("entropies", [np.zeros(8), np.full(8, 3.0), np.array([2.0])], ids=["zero", "equal", "single"])
def test_constant_entropies(entropies, variant):
    found = fit(entropies, variant=variant)
    assert np.isfinite(found.hard).all() and np.isfinite([found.share, found.variance, found.density]).all()


@pytest.mark.parametrize("hard", [np.array([0.9, 0.9, 0.0]), np.zeros(3)], ids=["one-sided", "none"])
def test_moments_that_belong_to_no_uniform_part_have_the_least_density(hard):
    # 3 C2 - C1^2 is below 0 where the hard faces lie on one side and outweigh the easy ones; its root would be NaN.
    x = np.array([1.0, 1.1, -2.1])
    assert _uniform(x, x * x, hard, 0.2, "reference") == 0.001


@pytest.mark.parametrize("variant", ["symmetric", "reference"])
def test_what_is_not_finite_stays_so(variant):
    assert np.isnan(fit(np.array([0.1, np.nan, 2.0]), variant=variant).hard).all()


def test_its_argument_is_left_alone():
    entropies = ENTROPIES.copy()
    for variant in ("symmetric", "reference"):
        fit(entropies, variant=variant)
    np.testing.assert_array_equal(entropies, ENTROPIES)


def test_densities_are_those_of_the_posterior():
    found = fit(MIXED)
    easy, hard = found.densities(MIXED)
    np.testing.assert_allclose(hard / (easy + hard), found.hard, atol=1e-6)
    places = np.linspace(0, 30, 300_001)
    assert np.trapezoid(found.densities(places)[0], places) == pytest.approx(found.share, rel=1e-4)
