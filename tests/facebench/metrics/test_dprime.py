from __future__ import annotations

import numpy as np
import pytest

from facebench.errors import MetricError
from facebench.metrics import dprime, split

NAMES = ["distinct", "ties", "perfect", "inverted", "runs", "scores_ties", "scores_fine"]


@pytest.mark.parametrize("name", NAMES)
def test_golden_decidability(score_cases, name):
    case = score_cases[name]
    expected = case.expected["pyeer"]["decidability"]
    assert dprime(*split(case.scores, case.labels)) == pytest.approx(expected, rel=1e-12)


def test_constant_scores_have_none(score_cases):
    case = score_cases["all_equal"]
    with pytest.raises(MetricError, match="scores that vary"):
        dprime(*split(case.scores, case.labels))


def test_scale_shift_and_sign_do_not_matter():
    draw = np.random.default_rng(1)
    genuine, impostor = draw.normal(2, 1, 500), draw.normal(0, 1, 700)
    value = dprime(genuine, impostor)
    assert value == pytest.approx(2, abs=0.2)
    assert dprime(3 * genuine + 7, 3 * impostor + 7) == pytest.approx(value)
    assert dprime(-genuine, -impostor) == pytest.approx(value)


def test_float32_sums_do_not_drift():
    draw = np.random.default_rng(2)
    genuine, impostor = (1000 + draw.normal(m, 1, 20000) for m in (1, 0))
    wide = dprime(genuine.astype(np.float32).astype(np.float64), impostor.astype(np.float32).astype(np.float64))
    assert dprime(genuine.astype(np.float32), impostor.astype(np.float32)) == pytest.approx(wide, rel=1e-9)
