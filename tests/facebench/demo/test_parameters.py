from __future__ import annotations

import numpy as np
import pytest

from facebench.demo import IDENTITY_PARAMETERS, identity_parameters
from facebench.demo.nuisance import NUISANCE_TABLE
from facebench.demo.parameters import IDENTITY_TABLE, mix
from facebench.errors import ConfigError


def test_many_named_parameters():
    assert len(IDENTITY_PARAMETERS) >= 40
    names = [parameter.name for parameter in (*IDENTITY_TABLE, *NUISANCE_TABLE)]
    assert len(names) == len(set(names))
    for parameter in (*IDENTITY_TABLE, *NUISANCE_TABLE):
        assert parameter.low < parameter.high
        assert parameter.meaning


def test_mix_is_the_splitmix_finaliser():
    # First two outputs of SplitMix64 seeded with 0, computed here with Python integers.
    mask = 2**64 - 1

    def step(state: int) -> int:
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    states = [golden, 2 * golden & mask]
    assert step(golden) == 0xE220A8397B1DCDAF  # published first output
    assert mix(np.array(states, dtype=np.uint64)).tolist() == [step(state) for state in states]


def test_a_person_depends_on_number_and_seed_alone():
    alone = identity_parameters([7])
    crowd = identity_parameters([3, 7, 100_000, 7])
    assert np.array_equal(crowd[1], alone[0])
    assert np.array_equal(crowd[3], alone[0])
    assert not np.array_equal(crowd[0], crowd[1])
    assert not np.array_equal(identity_parameters([7], seed=1), alone)


def test_values_fill_their_range_and_are_independent():
    values = identity_parameters(np.arange(4000)).astype(np.float64)
    low = np.array([parameter.low for parameter in IDENTITY_TABLE])
    high = np.array([parameter.high for parameter in IDENTITY_TABLE])
    unit = (values - low) / (high - low)
    assert unit.min() >= -1e-6
    assert unit.max() <= 1 + 1e-6
    draws = np.array([parameter.draws for parameter in IDENTITY_TABLE])
    assert np.allclose(unit.mean(axis=0), 0.5, atol=0.03)
    assert np.allclose(unit.var(axis=0), 1 / 12 / draws, rtol=0.12)
    between = np.corrcoef(unit.T) - np.eye(unit.shape[1])
    assert np.abs(between).max() < 0.08  # five deviations of 1 / sqrt(4000)
    neighbours = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in unit.T]
    assert np.abs(neighbours).max() < 0.08


@pytest.mark.parametrize("wrong", [[-1], [0.5], [[1, 2]], ["7"]])
def test_identities_are_counted_from_zero(wrong):
    with pytest.raises(ConfigError, match="identities must be a list of integers"):
        identity_parameters(wrong)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="seed must be 0 or more"):
        identity_parameters([1], seed=-1)


def test_nobody_is_an_empty_table():
    assert identity_parameters([]).shape == (0, len(IDENTITY_PARAMETERS))
