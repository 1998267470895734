from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facebench.errors import MetricError
from facebench.metrics import auc, split
from facebench.metrics.checks import as_level, as_matrix, as_rate, as_scores


def test_split_parts_by_truth():
    genuine, impostor = split([0.5, 0.25, 0.75], [1, 0, 1])
    assert genuine.tolist() == [0.5, 0.75]
    assert impostor.tolist() == [0.25]


def test_float32_is_kept_and_not_copied():
    scores = np.array([1, 2], dtype=np.float32)
    assert as_scores(scores) is scores
    assert as_scores([1, 2]).dtype == np.float64
    assert as_scores(np.array([1, 2], dtype=np.float16)).dtype == np.float64


def test_nan_names_how_many_and_where():
    with pytest.raises(MetricError, match=r"found 2 of 4 .* first at index 1"):
        split([0.1, np.nan, 0.3, np.inf], [1, 0, 1, 0])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "empty"),
        ([[0.1, 0.2]], [[1, 0]], "one-dimensional"),
        ([0.1, 0.2], [1], "match the 2 scores"),
        ([0.1, 0.2], [1, 2], "found 2 at index 1"),
        ([0.1, 0.2], ["a", "b"], "booleans or 0 and 1"),
        ([0.1, 0.2], [1, 1], "found 2 genuine and 0 impostor"),
        ([0.1, 0.2], [False, False], "found 0 genuine and 2 impostor"),
        ([True, False], [1, 0], "real numbers"),
        ([1j, 0.2], [1, 0], "real numbers"),
    ],
)
def test_split_refuses(scores, labels, message):
    with pytest.raises(MetricError, match=message):
        split(scores, labels)


def test_labels_as_floats():
    assert split([0.5, 0.25], [1.0, 0.0]).genuine.tolist() == [0.5]
    with pytest.raises(MetricError, match="index 0"):
        split([0.5, 0.25], [np.nan, 0.0])


def test_two_sets_name_the_bad_one():
    with pytest.raises(MetricError, match="impostor scores must be finite"):
        auc([0.1], [np.nan])
    with pytest.raises(MetricError, match="found 0 genuine and 1 impostor"):
        auc([], [0.1])


def test_matrix_of_large_numbers_is_not_accused():
    huge = np.full((2, 3), np.finfo(np.float32).max, dtype=np.float32)
    assert as_matrix(huge) is huge
    huge = huge.copy()
    huge[1, 2] = np.nan
    with pytest.raises(MetricError, match="row 1"):
        as_matrix(huge)


@pytest.mark.parametrize("shape", [(3,), (0, 4), (4, 0), (1, 2, 3)])
def test_matrix_shapes(shape):
    with pytest.raises(MetricError, match="shape"):
        as_matrix(np.zeros(shape))


def test_rates_and_levels():
    assert as_rate(0) == 0.0
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(MetricError, match="between 0 and 1"):
            as_rate(bad)
    for bad in (0.0, 1.0, 95.0):
        with pytest.raises(MetricError, match="strictly"):
            as_level(bad)


def test_import_is_light():
    code = (
        "import sys, facebench.metrics; "
        "sys.exit(','.join({'pandas', 'sklearn', 'torch', 'scipy.stats', 'scipy.interpolate'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
