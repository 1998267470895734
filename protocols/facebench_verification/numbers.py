"""The numbers of a verification set, as named metrics with interval and rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench import Metric, MetricError
from facebench.measures import auc_metric, dprime_metric, eer_metric, interval_of, spelt, tar_metric
from facebench.metrics import (
    bootstrap_intervals,
    fold_accuracy,
    fold_interval,
    fuse,
    operating_points,
    pair_distances,
    roc_curve,
    unit,
    val_at_far,
    xnorm,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from facebench import Interval
    from facebench.metrics import FoldAccuracy
    from facebench_verification.faces import Compared

Mirror = Literal["sum", "none", "concat"]
FoldRule = Literal["reference", "strict"]
Score = Literal["cosine", "pa"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """All pairs, compared with one fusion of mirrors.

    Attributes:
        distances: Squared Euclidean distance of unit vectors, float64 (N,), 0 to 4; for ``pa`` its negative.
        same: (N,).
        subjects: Who is on either side, or None.
        folds: Runs of consecutive pairs.
        mirror: The fusion.
        norm: Mean length of the embeddings before fusion, over all pictures of all pairs, mirrors included; 0 for
            ``pa``, which knows no lengths.
        fold: Fold of each pair, (N,), where folds are no runs of consecutive pairs.
        score: What the pairs are compared by.
    """

    distances: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    subjects: tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]] | None
    folds: int
    mirror: Mirror
    norm: float
    fold: npt.NDArray[np.int64] | None = None
    score: Score = "cosine"

    @classmethod
    def of(
        cls,
        plain: npt.NDArray[np.float64],
        mirrored: npt.NDArray[np.float64] | None,
        faces: Compared,
        *,
        folds: int,
        mirror: Mirror,
    ) -> Comparison:
        """Compares the pairs of a set; ``plain`` and ``mirrored`` are float64 (F, D), a row for each face."""
        vectors = unit(fuse(plain, None if mirror == "none" else mirrored, how=mirror))
        # The reference averages over the two pictures of every pair, so a face counts as often as it is compared.
        both = np.concatenate([faces.first, faces.second])
        return cls(
            distances=pair_distances(vectors[faces.first], vectors[faces.second]),
            same=faces.pairs.same,
            subjects=faces.pairs.subjects,
            folds=folds,
            mirror=mirror,
            norm=xnorm(plain[both], None if mirrored is None else mirrored[both]),
            fold=faces.pairs.fold,
        )

    @classmethod
    def by_likelihood(cls, scores: npt.NDArray[np.float64], faces: Compared, *, folds: int) -> Comparison:
        """The pairs of a set by URL's score ``pa``, float64 (N,), of the faces as they are."""
        pairs = faces.pairs
        return cls(-scores, pairs.same, pairs.subjects, folds, mirror="none", norm=0.0, fold=pairs.fold, score="pa")

    def only(self, chosen: npt.NDArray[np.bool_]) -> Comparison:
        """Some of the pairs."""
        return replace(
            self,
            distances=self.distances[chosen],
            same=self.same[chosen],
            subjects=None if self.subjects is None else (self.subjects[0][chosen], self.subjects[1][chosen]),
            fold=None if self.fold is None else self.fold[chosen],
        )

    @property
    def folding(self) -> int | npt.NDArray[np.int64]:
        """How many runs, or the fold of each pair."""
        return self.folds if self.fold is None else self.fold

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """Cosine similarities, or the values of ``pa``, (N,)."""
        return 1.0 - self.distances / 2.0 if self.score == "cosine" else -self.distances

    def threshold(self, distance: float) -> tuple[float, dict[str, float]]:
        """A threshold as a score, and what to tell beside it."""
        if self.score == "cosine":
            return 1.0 - distance / 2.0, {"squared distance": distance}
        return -distance, {}

    @property
    def genuine(self) -> npt.NDArray[np.float64]:
        """Scores of the same person."""
        return self.scores[self.same]

    @property
    def impostor(self) -> npt.NDArray[np.float64]:
        """Scores of two people."""
        return self.scores[~self.same]

    def accuracy(self, rule: FoldRule) -> FoldAccuracy:
        """Accuracy over folds."""
        return self.fitted(self.distances, self.same, self.folding, rule)

    def fitted(
        self,
        distances: npt.NDArray[np.float64],
        same: npt.NDArray[np.bool_],
        folding: int | npt.NDArray[np.int64],
        rule: FoldRule,
    ) -> FoldAccuracy:
        """Accuracy over folds of distances as this comparison has them.

        Those of ``pa`` have no fixed range; they are moved into that of squared distances, which changes no decision
        of the rule ``strict``, and thresholds are moved back.
        """
        if self.score == "cosine":
            return fold_accuracy(distances, same, folds=folding, rule=rule)
        low, width = float(distances.min()), float(np.ptp(distances)) / 4.0 or 1.0
        found = fold_accuracy(np.minimum((distances - low) / width, 4.0), same, folds=folding, rule="strict")
        thresholds = tuple(low + width * threshold for threshold in found.thresholds)
        return replace(found, thresholds=thresholds, best_threshold=low + width * found.best_threshold)

    def accuracies(self, *, rules: Sequence[FoldRule]) -> tuple[Metric, ...]:
        """Accuracy, its spread and its threshold by each rule."""
        return tuple(metric for rule in rules for metric in _accuracy_metrics(self, self.accuracy(rule)))


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics, per-fold values, and the reference's mean threshold as a cosine."""

    metrics: tuple[Metric, ...]
    folds: Mapping[str, Sequence[float]]
    threshold: float


def measure(comparison: Comparison, *, far: Sequence[float], samples: int, seed: int) -> Measured:
    """All metrics of a comparison.

    Args:
        comparison: The compared pairs.
        far: False accept rates for TAR and VAL.
        samples: Bootstrap replicates; 0 leaves the intervals out.
        seed: Of the bootstrap.

    Raises:
        MetricError: When a metric cannot be computed.
    """
    reference, strict = comparison.accuracy("reference"), comparison.accuracy("strict")
    metrics = [
        *comparison.accuracies(rules=("reference", "strict")),
        *measure_scores(comparison, far=far, samples=samples, seed=seed),
        *(_val(comparison, target) for target in far),
        measure_norm(comparison),
    ]
    folds = {
        "accuracy": reference.folds,
        "accuracy (strict)": strict.folds,
        "threshold (squared distance)": reference.thresholds,
    }
    return Measured(tuple(metrics), folds, 1.0 - reference.best_threshold / 2.0)


def measure_scores(comparison: Comparison, *, far: Sequence[float], samples: int, seed: int) -> list[Metric]:
    """The metrics that need no folds: AUC, EER, d' and TAR@FAR by both rules, with intervals.

    Args and errors are those of ``measure``.
    """
    spread = _Spread.of(comparison, far=far, samples=samples, seed=seed)
    genuine, impostor, score = comparison.genuine, comparison.impostor, comparison.score
    more = {"mirror": comparison.mirror, "score": score}
    metrics = [
        auc_metric(genuine, impostor, interval=spread.auc, **more),
        eer_metric(roc_curve(genuine, impostor), interval=spread.eer, unit=score, **more),
        dprime_metric(genuine, impostor, **more),
    ]
    for rule in ("reference", "strict"):
        points = operating_points(genuine, impostor, targets=far, rule=rule)
        metrics += [
            tar_metric(point, interval=spread.tar(rule, at), unit=score, **more) for at, point in enumerate(points)
        ]
    return metrics


def measure_norm(comparison: Comparison) -> Metric:
    """Mean length of the raw embeddings."""
    return metric(comparison, "xnorm", comparison.norm, unit="norm", higher_is_better=None)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Bootstrap intervals, or their absence."""

    auc: Interval | None = None
    eer: Interval | None = None
    tars: Mapping[str, tuple[Interval | None, ...]] | None = None

    @classmethod
    def of(cls, comparison: Comparison, *, far: Sequence[float], samples: int, seed: int) -> _Spread:
        if not samples:
            return cls()
        found = bootstrap_intervals(
            comparison.scores,
            comparison.same,
            subjects=comparison.subjects,
            generator=np.random.default_rng(seed),
            targets=far,
            samples=samples,
        )
        tars = {"reference": found.tar_reference, "strict": found.tar_strict}
        return cls(
            auc=interval_of(found.auc),
            eer=interval_of(found.eer),
            tars={rule: tuple(map(interval_of, estimates)) for rule, estimates in tars.items()},
        )

    def tar(self, rule: str, index: int) -> Interval | None:
        return self.tars[rule][index] if self.tars else None


def rate_interval(folds: Sequence[float]) -> Interval | None:
    """The t interval of a mean of rates over folds, cut off where rates end; None where all folds agree."""
    found = interval_of(fold_interval(folds))
    return found and found.model_copy(update={"low": max(found.low, 0.0), "high": min(found.high, 1.0)})


def metric(comparison: Comparison, name: str, value: float | None, **more: object) -> Metric:
    """A metric of a comparison, under the comparison's score and fusion of mirrors."""
    kept = {"mirror": comparison.mirror, "score": comparison.score}
    return Metric.model_validate({"name": name, "value": value, **kept, **more})


def _accuracy_metrics(comparison: Comparison, found: FoldAccuracy) -> list[Metric]:
    accuracy = metric(
        comparison,
        "accuracy",
        found.mean,
        rule=found.rule,
        interval=rate_interval(found.folds),
        detail={"standard error": found.standard_error, "folds": len(found.folds)},
    )
    std = metric(comparison, "accuracy-std", found.std, rule=found.rule, higher_is_better=None)
    threshold = threshold_metric(comparison, "threshold", found.best_threshold, rule=found.rule)
    return [accuracy, std, threshold]


def threshold_metric(comparison: Comparison, name: str, distance: float, *, rule: str) -> Metric:
    """A threshold, given as a distance of the comparison, in terms of its score."""
    value, detail = comparison.threshold(distance)
    return metric(comparison, name, value, rule=rule, unit=comparison.score, higher_is_better=None, detail=detail)


def _val(comparison: Comparison, target: float) -> Metric:
    name = f"val@far={spelt(target)}"
    impostors = int((~comparison.same).sum())
    training = impostors - impostors // comparison.folds
    if target * training < 1:
        reason = f"FAR {spelt(target)} is below what {training:,} impostor pairs of the other folds resolve"
        return metric(comparison, name, None, reason=reason)
    try:
        found = val_at_far(comparison.distances, comparison.same, target=target, folds=comparison.folding)
    except MetricError as error:  # a fold without either kind, as in a list that is sorted by kind
        return metric(comparison, name, None, reason=str(error))
    detail = {"std": found.val_std, "far": found.far}
    return metric(comparison, name, found.val, interval=rate_interval(found.folds), detail=detail)
