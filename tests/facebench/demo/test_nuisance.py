from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench.demo import NUISANCE_PARAMETERS, Nuisance, identity_parameters, nuisance_parameters
from facebench.errors import ConfigError

MANY = np.arange(4000)


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, NUISANCE_PARAMETERS.index(name)]


def test_an_image_depends_on_its_own_numbers_alone():
    alone = nuisance_parameters([5], [2])
    crowd = nuisance_parameters([9, 5, 5], [2, 3, 2])
    assert np.array_equal(crowd[2], alone[0])
    assert not np.array_equal(crowd[0], crowd[2])
    assert not np.array_equal(crowd[1], crowd[2])
    assert not np.array_equal(nuisance_parameters([5], [2], seed=3), alone)


def test_nuisance_knows_nothing_of_identity():
    people = identity_parameters(MANY).astype(np.float64)
    values = nuisance_parameters(MANY, np.zeros_like(MANY), nuisance=Nuisance(occlusion=0.5)).astype(np.float64)
    varied = values[:, values.std(axis=0) > 0]
    both = np.corrcoef(people.T, varied.T)[: people.shape[1], people.shape[1] :]
    assert np.abs(both).max() < 0.09


def test_none_is_a_passport_picture():
    values = nuisance_parameters(MANY[:50], MANY[:50], nuisance=Nuisance.none())
    for name in ("yaw", "pitch", "roll", "light-x", "exposure", "smile", "age", "blur", "noise", "glasses"):
        assert not column(values, name).any(), name
    assert (column(values, "occlusion-kind") == -1).all()
    assert (column(values, "coarseness") == 112).all()


def test_probabilities_and_ranges_are_kept():
    chosen = Nuisance(occlusion=0.3, glasses=0.2, low_resolution=0.4, resolution=(10, 20))
    values = nuisance_parameters(MANY, MANY, nuisance=chosen)
    kinds = column(values, "occlusion-kind")
    assert (kinds >= 0).mean() == pytest.approx(0.3, abs=0.03)
    assert set(kinds[kinds >= 0]) == {0.0, 1.0, 2.0, 3.0}
    assert column(values, "glasses").mean() == pytest.approx(0.2, abs=0.03)
    assert not column(values, "glasses")[kinds == 0].any()  # never spectacles under sunglasses
    sides = column(values, "coarseness")
    coarse = sides[sides < 112]
    assert len(coarse) / len(sides) == pytest.approx(0.4, abs=0.03)
    assert (coarse.min(), coarse.max()) == (10, 20)


def test_a_turn_goes_either_way():
    yaw = column(nuisance_parameters(MANY, MANY, nuisance=Nuisance(pose=0.0, turn=45.0)), "yaw")
    assert np.allclose(np.abs(yaw), np.pi / 4, atol=1e-6)
    assert (yaw > 0).mean() == pytest.approx(0.5, abs=0.03)


def test_strengths_scale_what_they_name():
    weak, strong = (nuisance_parameters(MANY, MANY, nuisance=Nuisance(pose=p, age=p / 2)) for p in (0.5, 1.0))
    for name in ("yaw", "pitch", "age"):
        assert np.allclose(2 * column(weak, name), column(strong, name))
    assert np.array_equal(column(weak, "light-x"), column(strong, "light-x"))


@pytest.mark.parametrize(
    "change",
    [
        {"pose": -0.1},
        {"occlusion": 1.5},
        {"turn": 80.0},
        {"age": 2.0},
        {"blur": 9.0},
        {"resolution": (40, 20)},
        {"resolution": (2, 20)},
    ],
)
def test_nuisance_out_of_range_is_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(Nuisance(), **change)


def test_presets_are_ordered():
    easy, normal, hard = Nuisance.easy(), Nuisance(), Nuisance.hard()
    for name in ("pose", "light", "expression", "age", "misalignment", "occlusion", "blur", "noise", "low_resolution"):
        assert getattr(easy, name) <= getattr(normal, name) <= getattr(hard, name), name


def test_lists_of_different_length_are_refused():
    with pytest.raises(ConfigError, match="2 identities and 1 images"):
        nuisance_parameters([1, 2], [0])
