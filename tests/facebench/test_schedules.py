from __future__ import annotations

import pytest

from facebench.config import build_options
from facebench.errors import ConfigError, FacebenchError
from facebench.schedules import TrainerOptions, rate_at


def rates(steps, warmup=0, **chosen):
    options = TrainerOptions(learning_rate=1.0, **chosen)
    return [rate_at(step, steps=steps, warmup=warmup, chosen=options) for step in range(steps)]


def test_polynomial_falls_in_a_straight_line():
    assert rates(5) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_polynomial_of_the_second_power_falls_faster_at_first():
    assert rates(4, power=2.0) == pytest.approx([1.0, 0.5625, 0.25, 0.0625])


def test_warmup_rises_in_a_straight_line_to_the_top():
    assert rates(8, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_cosine_is_half_way_down_in_the_middle():
    found = rates(10, schedule="cosine")
    assert found[0] == 1 and found[5] == pytest.approx(0.5) and found == sorted(found, reverse=True)


def test_steps_divide_by_ten_at_their_share_of_the_training():
    assert rates(4, schedule="step", milestones=(0.5, 0.75)) == pytest.approx([1, 1, 0.1, 0.01])


def test_constant_stays():
    assert rates(3, schedule="constant") == [1, 1, 1]


@pytest.mark.parametrize("milestones", [(0.5, 0.4), (0.0,), (1.0,), (0.5, 0.5)])
def test_milestones_must_rise_inside_the_training(milestones):
    with pytest.raises(ConfigError, match="milestones must rise"):
        build_options(TrainerOptions, {"milestones": milestones}, "trainer")


@pytest.mark.parametrize("values", [{"epochs": -1}, {"batch_size": 1}, {"optimizer": "sdg"}, {"momentom": 0.9}])
def test_wrong_values_are_refused(values):
    with pytest.raises(FacebenchError, match=next(iter(values))):
        build_options(TrainerOptions, values, "trainer")
