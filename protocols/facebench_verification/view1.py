"""LFW view 1: a threshold chosen on one half (DevTrain) and tested on the other (DevTest)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import DataError, Evaluation, Interval
from facebench.metrics import wilson
from facebench_verification.curves import histogram, roc
from facebench_verification.faces import PairFaces
from facebench_verification.lists.view1 import TEST, TRAIN
from facebench_verification.numbers import measure_norm, measure_scores, metric, threshold_metric
from facebench_verification.protocol import Verification

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset, Metric
    from facebench_verification.numbers import Comparison, FoldRule
    from facebench_verification.options import VerificationOptions
    from facebench_verification.pairs import Pairs
    from facebench_verification.sources import Place
    from facebench_verification.videos import VideoFaces

_RULES = {
    "accuracy": "threshold chosen on the pairs of DevTrain, accuracy on those of DevTest. reference: squared distance, "
    "thresholds 0 to 4 in steps of 0.01, accept at distance < t, the first best. strict: the best score itself",
    "accuracy@best-threshold": "the same, but with the threshold that is best on DevTest itself: optimistic by design, "
    "and not comparable with the accuracy of other protocols",
    "tar@far": "over the pairs of DevTest. reference: ROC point of nearest FAR, collinear points dropped "
    "(scikit-learn); may overshoot the target. strict: largest FAR not above the target",
}
_UNTRAINED = (
    "no pictures or embeddings for all of pairsDevTrain.txt: no threshold could be chosen on other people, and the "
    "only accuracy is that at the threshold which is best on the tested pairs themselves"
)


class View1(Verification):
    """LFW view 1. Where the pictures or embeddings of DevTrain are not all there, DevTest is evaluated alone.

    Args:
        place: Where it lies.
        options: What the user set.
    """

    def __init__(self, place: Place, options: VerificationOptions) -> None:
        super().__init__(place, options, folds=2)  # the two halves

    def opened(
        self, name: str, pairs: Pairs, source: FaceDataset | None, *, listed_in: Path | str
    ) -> PairFaces | VideoFaces:
        """The faces of both halves, or of DevTest alone."""
        if pairs.group is None:
            raise DataError(f"{listed_in}: {self.place.name} needs pairsDevTest.txt; for other pairs there is 'pairs'")
        if source is not None and not _all_in(pairs.rows(pairs.group == TRAIN).keys, source.keys):
            pairs = pairs.rows(pairs.group == TEST)
        try:
            return PairFaces(name, pairs, source, listed_in=listed_in)
        except DataError as error:
            hint = f"; name others with protocol.{self.place.name}.images, and .landmarks if they are not aligned"
            raise DataError(f"{error}{hint}") from None

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Accuracy on DevTest, ROC metrics, intervals.

        Raises:
            DataError: When a face of DevTest has no embedding.
            MetricError: When metrics cannot be computed.
        """
        if isinstance(faces, PairFaces) and faces.pairs.group is not None and not _all_in(faces.keys, embeddings.keys):
            test = faces.pairs.rows(faces.pairs.group == TEST)
            faces = PairFaces(faces.name, test, None, listed_in="pairsDevTest.txt")
        return super().evaluate(embeddings, faces, seed=seed)

    def kept(self, comparison: Comparison, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        """Only the pairs of DevTest: what a threshold was fitted to says nothing about how well it does."""
        test = np.asarray(pairs.group) == TEST
        return super().kept(comparison.only(test), pairs.rows(test))

    def fold(self, _comparison: Comparison, _pairs: Pairs) -> None:
        """DevTest has no folds."""
        return

    def judge(self, comparison: Comparison, single: Comparison | None, pairs: Pairs, *, seed: int) -> Evaluation:
        """Accuracy at a threshold of DevTrain if there is one, and at the best of DevTest."""
        if pairs.group is None:
            raise TypeError("expected the pairs of view 1, which have groups")
        train, test = pairs.group == TRAIN, pairs.group == TEST
        tested = comparison.only(test)
        metrics: list[Metric] = []
        wanted: list[tuple[Comparison | None, FoldRule]] = [
            (comparison, "reference"),
            (comparison, "strict"),
            (single, "reference"),
        ]
        for compared, rule in wanted:
            if compared is not None:
                metrics.extend(_accuracies(compared, train, test, rule))
        metrics.extend(measure_scores(tested, far=self.options.far, samples=self.options.samples, seed=seed))
        metrics.append(measure_norm(comparison))
        threshold = next(one.value for one in metrics if one.name.startswith("threshold"))
        return Evaluation(
            metrics=tuple(metrics),
            curves=(roc(tested), histogram(tested, float(threshold or 0.0))),
            counts={"pairs to choose a threshold on": int(train.sum()), "pairs to test on": int(test.sum())},
            rules=_RULES | {"folds": "none: DevTrain and DevTest share nobody"},
            warnings=() if train.any() else (_UNTRAINED,),
        )

    def judge_likelihood(self, likely: Comparison, pairs: Pairs, *, seed: int) -> tuple[Metric, ...]:
        """As for cosines."""
        train, test = np.asarray(pairs.group) == TRAIN, np.asarray(pairs.group) == TEST
        scored = measure_scores(likely.only(test), far=self.options.far, samples=self.options.samples, seed=seed)
        return (*_accuracies(likely, train, test, "strict"), *scored)


_OPTIMISTIC = "accuracy@best-threshold"


def _accuracies(
    compared: Comparison, train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_], rule: FoldRule
) -> list[Metric]:
    """Accuracy on DevTest at a threshold of DevTrain if there is one, and at its own best."""
    own = compared.only(test)
    fair = _accuracy(compared.only(train), own, rule, "accuracy") if train.any() else []
    return [*fair, *_accuracy(own, own, rule, _OPTIMISTIC)]


def _accuracy(chosen_on: Comparison, tested_on: Comparison, rule: FoldRule, name: str) -> list[Metric]:
    """Accuracy on one set of pairs at the threshold that is best on another (or on itself), and that threshold."""
    # Two folds: the threshold of the second is chosen on the first.
    half = np.arange(len(chosen_on.same) + len(tested_on.same)) >= len(chosen_on.same)
    found = tested_on.fitted(
        np.concatenate([chosen_on.distances, tested_on.distances]),
        np.concatenate([chosen_on.same, tested_on.same]),
        half.astype(np.int64),
        rule,
    )
    value, distance, count = found.folds[1], found.thresholds[1], len(tested_on.same)
    # At the threshold that suits these very pairs best there is no sampling left that an interval could describe.
    interval = None if chosen_on is tested_on else _interval(round(value * count), count)
    return [
        metric(
            tested_on,
            name,
            value,
            rule=rule,
            interval=interval,
            detail={"pairs": count},
        ),
        threshold_metric(tested_on, name.replace("accuracy", "threshold"), distance, rule=rule),
    ]


def _interval(right: int, count: int) -> Interval:
    found = wilson(right, count)
    method = f"{found.method}, pairs taken as independent"
    return Interval(low=found.low, high=found.high, level=found.level, method=method, samples=found.samples)


def _all_in(keys: object, have: object) -> bool:
    return bool(np.isin(np.asarray(keys, dtype=np.str_), np.asarray(have, dtype=np.str_)).all())
