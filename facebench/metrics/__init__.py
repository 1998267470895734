"""Pure functions from scores to numbers: the part of facebench that must never be wrong.

A tour, from embeddings to a table row:

* :func:`fuse`, :func:`unit`, :func:`xnorm` and :func:`pair_distances` turn embeddings into squared distances.
* :func:`fold_accuracy`, :func:`val_at_far` and :func:`mean_fold_roc` evaluate pairs by cross-validated folds, as LFW,
  CFP-FP, AgeDB-30, CALFW and CPLFW are.
* :func:`split` parts scores by truth; all below take the genuine and the impostor scores, higher being more alike.
* :func:`tar_at_far` and :func:`operating_points` give the true accept rate at a false accept rate, by a named rule.
* :func:`roc_curve`, :func:`auc`, :func:`equal_error_rate` (or :func:`crossing`, from a curve) and :func:`dprime` sum a
  pair of score sets up.
* :func:`pool` makes templates of images and :func:`score_pairs` scores a long list of pairs, as IJB-B and IJB-C do.
* :func:`search` finds probes in a gallery; :func:`rank_rate`, :func:`tpir_at_fpir` and :func:`mean_tpir_at_fpir` sum
  that up, by a named rule. :func:`retrieve` is for probes with several mates, as TinyFace has them. What
  ``ijb_1n.py`` prints is :func:`pooled_pair_tar`.
* :func:`likelihood_scores` compares, and :func:`pool_blocks` pools, embeddings in :func:`unit_blocks` with a confidence
  for each, as URL makes them; :func:`likelihood_blocks` has :func:`retrieve` search with that score.
* :func:`error_versus_discard` shows what a quality estimate is worth.
* :func:`wilson`, :func:`fold_interval`, :func:`bootstrap_intervals` and, for millions of template pairs,
  :func:`template_bootstrap` say how far to trust any of it; :func:`paired_bootstrap`, :func:`mcnemar` and :func:`holm`
  whether one method is better than another.
* :func:`spanning_tree` gives the persistent homology of dimension 0 of a batch, with its edges; :func:`persistence`
  goes higher, :func:`bottleneck` and :func:`wasserstein` compare diagrams, and :func:`discrepancy` compares two spaces
  of the same faces.

* :func:`identity_means` and :func:`within_identities` look at labelled sets, :func:`neighbours` counts identities that
  are apart by three rules in one pass, :func:`nearest_between` finds who repeats whom, :class:`GreedyFilter` admits
  only what is unlike all before, and :func:`frechet_distance` compares two sets as a whole.

Every function states the rule it follows and whose rule that is; what cannot be computed raises
:class:`~facebench.errors.MetricError`. Nothing here keeps results, reads files or draws random numbers of its own.

>>> from facebench.metrics import split, tar_at_far
>>> sets = split([0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3], [1, 1, 0, 1, 0, 1, 0, 0])
>>> tar_at_far(*sets, target=0.25, rule="strict").tar
0.75
"""

from __future__ import annotations

from facebench.metrics.blocks import (
    LIKELIHOOD_RULE,
    PooledBlocks,
    likelihood_blocks,
    likelihood_scores,
    pool_blocks,
    unit_blocks,
)
from facebench.metrics.bootstrap import BootstrapIntervals, bootstrap_intervals
from facebench.metrics.checks import ScoreSets, split
from facebench.metrics.clusters import cluster_bootstrap
from facebench.metrics.comparison import Difference, McNemar, PairedDifferences, holm, mcnemar, paired_bootstrap
from facebench.metrics.diagrams import (
    betti_curve,
    bottleneck,
    matched_bottleneck,
    matched_wasserstein,
    persistence,
    persistence_entropy,
    total_persistence,
    wasserstein,
)
from facebench.metrics.dialects import DIALECTS, DialectAccuracy, dialect_accuracy
from facebench.metrics.discard import ErrorDiscard, error_versus_discard
from facebench.metrics.discrepancy import Discrepancy, discrepancy
from facebench.metrics.distances import distance_matrix
from facebench.metrics.dprime import dprime
from facebench.metrics.eer import EER_RULES, EqualErrorRate, crossing, equal_error_rate
from facebench.metrics.facepairs import FacePairs, fisher_ratio, genuine_pairs, impostor_pairs, pair_similarities
from facebench.metrics.folds import FoldAccuracy, FoldRoc, ValAtFar, fold_accuracy, mean_fold_roc, val_at_far
from facebench.metrics.frechet import Moments, frechet_distance, moments
from facebench.metrics.homology import Tree, h0_lengths, spanning_tree, spanning_tree_of_points
from facebench.metrics.identification import RANK_RULES, RankRate, Search, rank_rate, search
from facebench.metrics.identities import (
    Groups,
    IdentityMeans,
    WithinIdentities,
    identity_means,
    mean_similarity,
    within_identities,
)
from facebench.metrics.intervals import IntervalEstimate, fold_interval, wilson
from facebench.metrics.openset import TPIR_RULES, MeanOpenSetPoint, OpenSetPoint, mean_tpir_at_fpir, tpir_at_fpir
from facebench.metrics.packing import GreedyFilter
from facebench.metrics.pooledpairs import PooledPairPoint, pooled_pair_tar
from facebench.metrics.retrieval import MeanAveragePrecision, Retrieval, retrieve
from facebench.metrics.roc import Roc, auc, roc_curve
from facebench.metrics.scoring import score_pairs
from facebench.metrics.separability import Closest, Neighbours, nearest_between, neighbours
from facebench.metrics.sweep import Keep
from facebench.metrics.tar import TAR_RULES, OperatingPoint, operating_points, tar_at_far
from facebench.metrics.template_intervals import TarIntervals, linked_subjects, template_bootstrap
from facebench.metrics.templates import Pooled, pool
from facebench.metrics.vectors import fuse, pair_distances, unit, xnorm

__all__ = [
    "DIALECTS",
    "EER_RULES",
    "LIKELIHOOD_RULE",
    "RANK_RULES",
    "TAR_RULES",
    "TPIR_RULES",
    "BootstrapIntervals",
    "Closest",
    "DialectAccuracy",
    "Difference",
    "Discrepancy",
    "EqualErrorRate",
    "ErrorDiscard",
    "FacePairs",
    "FoldAccuracy",
    "FoldRoc",
    "GreedyFilter",
    "Groups",
    "IdentityMeans",
    "IntervalEstimate",
    "Keep",
    "McNemar",
    "MeanAveragePrecision",
    "MeanOpenSetPoint",
    "Moments",
    "Neighbours",
    "OpenSetPoint",
    "OperatingPoint",
    "PairedDifferences",
    "Pooled",
    "PooledBlocks",
    "PooledPairPoint",
    "RankRate",
    "Retrieval",
    "Roc",
    "ScoreSets",
    "Search",
    "TarIntervals",
    "Tree",
    "ValAtFar",
    "WithinIdentities",
    "auc",
    "betti_curve",
    "bootstrap_intervals",
    "bottleneck",
    "cluster_bootstrap",
    "crossing",
    "dialect_accuracy",
    "discrepancy",
    "distance_matrix",
    "dprime",
    "equal_error_rate",
    "error_versus_discard",
    "fisher_ratio",
    "fold_accuracy",
    "fold_interval",
    "frechet_distance",
    "fuse",
    "genuine_pairs",
    "h0_lengths",
    "holm",
    "identity_means",
    "impostor_pairs",
    "likelihood_blocks",
    "likelihood_scores",
    "linked_subjects",
    "matched_bottleneck",
    "matched_wasserstein",
    "mcnemar",
    "mean_fold_roc",
    "mean_similarity",
    "mean_tpir_at_fpir",
    "moments",
    "nearest_between",
    "neighbours",
    "operating_points",
    "pair_distances",
    "pair_similarities",
    "paired_bootstrap",
    "persistence",
    "persistence_entropy",
    "pool",
    "pool_blocks",
    "pooled_pair_tar",
    "rank_rate",
    "retrieve",
    "roc_curve",
    "score_pairs",
    "search",
    "spanning_tree",
    "spanning_tree_of_points",
    "split",
    "tar_at_far",
    "template_bootstrap",
    "total_persistence",
    "tpir_at_fpir",
    "unit",
    "unit_blocks",
    "val_at_far",
    "wasserstein",
    "wilson",
    "within_identities",
    "xnorm",
]
