"""Pure functions from scores to numbers: the part of facebench that must never be wrong.

A tour, from embeddings to a table row:

* :func:`fuse`, :func:`unit`, :func:`xnorm` and :func:`pair_distances` turn embeddings into squared distances.
* :func:`fold_accuracy`, :func:`val_at_far` and :func:`mean_fold_roc` evaluate pairs by cross-validated folds, as LFW,
  CFP-FP, AgeDB-30, CALFW and CPLFW are.
* :func:`split` parts scores by truth; all below take the genuine and the impostor scores, higher being more alike.
* :func:`tar_at_far` and :func:`operating_points` give the true accept rate at a false accept rate, by a named rule.
* :func:`roc_curve`, :func:`auc`, :func:`equal_error_rate` (or :func:`crossing`, from a curve) and :func:`dprime` sum a
  pair of score sets up.
* :func:`wilson`, :func:`fold_interval` and :func:`bootstrap_intervals` say how far to trust any of it.

Every function states the rule it follows and whose rule that is; what cannot be computed raises
:class:`~facebench.errors.MetricError`. Nothing here keeps state, reads files or draws random numbers of its own.

>>> from facebench.metrics import split, tar_at_far
>>> sets = split([0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3], [1, 1, 0, 1, 0, 1, 0, 0])
>>> tar_at_far(*sets, target=0.25, rule="strict").tar
0.75
"""

from __future__ import annotations

from facebench.metrics.bootstrap import BootstrapIntervals, bootstrap_intervals
from facebench.metrics.checks import ScoreSets, split
from facebench.metrics.dprime import dprime
from facebench.metrics.eer import EER_RULES, EqualErrorRate, crossing, equal_error_rate
from facebench.metrics.folds import FoldAccuracy, FoldRoc, ValAtFar, fold_accuracy, mean_fold_roc, val_at_far
from facebench.metrics.intervals import IntervalEstimate, fold_interval, wilson
from facebench.metrics.roc import Roc, auc, roc_curve
from facebench.metrics.tar import TAR_RULES, OperatingPoint, operating_points, tar_at_far
from facebench.metrics.vectors import fuse, pair_distances, unit, xnorm

__all__ = [
    "EER_RULES",
    "TAR_RULES",
    "BootstrapIntervals",
    "EqualErrorRate",
    "FoldAccuracy",
    "FoldRoc",
    "IntervalEstimate",
    "OperatingPoint",
    "Roc",
    "ScoreSets",
    "ValAtFar",
    "auc",
    "bootstrap_intervals",
    "crossing",
    "dprime",
    "equal_error_rate",
    "fold_accuracy",
    "fold_interval",
    "fuse",
    "mean_fold_roc",
    "operating_points",
    "pair_distances",
    "roc_curve",
    "split",
    "tar_at_far",
    "unit",
    "val_at_far",
    "wilson",
    "xnorm",
]
