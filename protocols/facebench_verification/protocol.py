"""The verification protocol: from embeddings of pairs to accuracy, ROC figures and their uncertainty."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import DataError, Evaluation, MetricError
from facebench.metrics import LIKELIHOOD_RULE, likelihood_scores, unit_blocks
from facebench_verification.curves import histogram, roc
from facebench_verification.faces import PairFaces
from facebench_verification.layouts import demo_layout
from facebench_verification.numbers import Comparison, measure, measure_scores
from facebench_verification.opening import open_set
from facebench_verification.videos import VideoFaces

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset, Metric
    from facebench_verification.numbers import Mirror
    from facebench_verification.options import VerificationOptions
    from facebench_verification.pairs import Pairs
    from facebench_verification.sources import Place

_RULES = {
    "score": "cosine similarity of fused embeddings; squared Euclidean distance of unit vectors is 2 - 2 x cosine",
    "accuracy": "reference: InsightFace verification.py: squared distance, thresholds 0 to 4 in steps of 0.01, accept "
    "at distance < t, first maximum over the other folds, mean over folds. strict: threshold is the best score itself",
    "accuracy-std": "population standard deviation over folds (ddof 0), the +- of InsightFace's tables; "
    "the standard error is a third of it for ten folds",
    "tar@far": "over all pairs. reference: ROC point of nearest FAR, collinear points dropped (scikit-learn); may "
    "overshoot the target. strict: largest FAR not above the target",
    "val@far": "InsightFace verification.py: threshold fitted on the other folds on a 0.001 grid, interpolated as in "
    "scipy before 1.9; not comparable with tar@far, which is over all pairs",
    "eer": "root of 1 - x = TAR(x) on the linearly interpolated ROC",
    "auc": "trapezoid over all ROC points, ties count half",
}

PA = (
    f"{LIKELIHOOD_RULE}. Mirror images are not used. accuracy by the strict rule only and no val@far, for the "
    "reference's thresholds are squared distances from 0 to 4, which this score is not"
)


class Verification:
    """A verification set.

    Args:
        place: Where it lies.
        options: What the user set.
        folds: How many runs of consecutive pairs form the folds, where the list itself does not say.
    """

    def __init__(self, place: Place, options: VerificationOptions, *, folds: int = 10) -> None:
        self.place, self.options, self._folds = place, options, folds

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """The faces that the pairs name, each once.

        Raises:
            DatasetMissing: When lists or pictures are not below the root.
            DataError: When they are damaged, the list names an absent picture, or it cannot be evaluated.
            ConfigError: When options contradict one another.
        """
        if root is None:
            drawn, pairs = demo_layout(self.place.name)
            return self.opened("demo", pairs, drawn, listed_in="demo pairs")
        found = open_set(self.place, root, self.options, images=images, every=self.every_picture)
        self._check(found.pairs, found.listed_in)
        return self.opened(self.place.name, found.pairs, found.source, listed_in=found.listed_in)

    every_picture = False
    """Whether pictures are needed that the list does not name."""
    likelihood_rule = PA
    """How the score ``pa`` is made, in words."""

    def opened(
        self, name: str, pairs: Pairs, source: FaceDataset | None, *, listed_in: Path | str
    ) -> PairFaces | VideoFaces:
        """The faces of a list."""
        return PairFaces(name, pairs, source, listed_in=listed_in)

    def _check(self, pairs: Pairs, listed_in: Path) -> None:
        """Refuses pairs that cannot be evaluated: better told now than after the training."""
        groups = (
            [pairs] if pairs.group is None else [pairs.rows(pairs.group == name) for name in np.unique(pairs.group)]
        )
        for part in groups:
            count, same, folds = len(part), int(part.same.sum()), part.folds or self._folds
            if not 0 < same < count:
                kind = "the same person" if same else "two people"
                raise DataError(f"{listed_in}: all {count} pairs show {kind}; verification needs both kinds")
            if not 2 <= folds <= count:
                raise DataError(f"{listed_in}: {count} pairs in {folds} folds; at least 2 folds of one pair are needed")

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Accuracy over folds, ROC metrics, intervals.

        Where embeddings have confidences, a second score ``pa`` follows; where these cannot be used, a warning.

        Peak memory: three float64 copies of the embeddings, and two of the pairs' vectors: 6,000 pairs of 512 values
        take about 150 MiB.

        Raises:
            DataError: When a face has no embedding.
            MetricError: When metrics cannot be computed, as with pairs of one kind only.
        """
        if not isinstance(faces, PairFaces | VideoFaces):
            raise TypeError(f"expected the faces of this protocol, found {type(faces).__name__}")
        mirror = self.options.mirror
        if mirror != "none" and embeddings.mirrored is None:
            raise MetricError(
                f"mirror fusion {mirror!r} needs embeddings of the mirrored faces, which are not there; "
                f"embed them, or set protocol.{self.place.name}.mirror=none"
            )
        comparison = self.compare(embeddings, faces, mirror=mirror)
        single = self.compare(embeddings, faces, mirror="none") if mirror != "none" else None
        found = self.judge(comparison, single, faces.pairs, seed=seed)
        found = replace(
            found,
            counts=_counts(faces.pairs) | dict(found.counts),
            rules=_RULES | {"mirror": _mirror_words(mirror)} | dict(found.rules),
            warnings=(*_warnings(faces.pairs), *found.warnings),
            scores=self.kept(comparison, faces.pairs),
        )
        return found if embeddings.confidence is None else self._with_likelihood(found, embeddings, faces, seed=seed)

    def _with_likelihood(
        self, found: Evaluation, embeddings: Embeddings, faces: PairFaces | VideoFaces, *, seed: int
    ) -> Evaluation:
        """The evaluation with the score ``pa``, or with a warning why it has none."""
        try:
            scores = self.likelihoods(embeddings, faces)
        except MetricError as error:
            return replace(found, warnings=(*found.warnings, f"the score pa is missing: {error}"))
        likely = Comparison.by_likelihood(scores, faces, folds=faces.pairs.folds or self._folds)
        return replace(
            found,
            metrics=(*found.metrics, *self.judge_likelihood(likely, faces.pairs, seed=seed)),
            rules=dict(found.rules) | {"pa": self.likelihood_rule},
            scores=dict(found.scores) | {"pa": self.kept(likely, faces.pairs)["score"]},
        )

    def likelihoods(self, embeddings: Embeddings, faces: PairFaces | VideoFaces) -> npt.NDArray[np.float64]:
        """The score ``pa`` of each pair, (N,), of embeddings with confidences.

        Raises:
            MetricError: When confidences cannot be used, or a block of an embedding has no direction.
        """
        rows = embeddings.rows(faces.keys)
        sure = np.asarray(embeddings.confidence)[rows]
        vectors = unit_blocks(embeddings.vectors[rows], sure.shape[1])
        return likelihood_scores(vectors, sure, faces.first, faces.second)

    def compare(self, embeddings: Embeddings, faces: PairFaces | VideoFaces, *, mirror: Mirror) -> Comparison:
        """All pairs, compared."""
        rows = embeddings.rows(faces.keys)
        plain = embeddings.vectors[rows].astype(np.float64)
        mirrored = None if embeddings.mirrored is None else embeddings.mirrored[rows].astype(np.float64)
        return Comparison.of(plain, mirrored, faces, folds=faces.pairs.folds or self._folds, mirror=mirror)

    def kept(self, comparison: Comparison, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
        """Arrays of what was evaluated, a value a pair, for comparing methods and choosing thresholds."""
        found = _scores(comparison, pairs)
        fold = self.fold(comparison, pairs)
        return found if fold is None else found | {"fold": fold}

    def fold(self, comparison: Comparison, _pairs: Pairs) -> npt.NDArray[np.int64] | None:
        """Fold of each pair as its accuracy has it, (N,), in each group by itself; None where there are none."""
        return fold_numbers(comparison)

    def judge(self, comparison: Comparison, single: Comparison | None, pairs: Pairs, *, seed: int) -> Evaluation:
        """Metrics and figures of the comparison, and what differs from other sets in counts, rules and warnings.

        Args:
            comparison: With mirrors fused as the user wants.
            single: Without mirrors; None when that is what the user wants.
            pairs: What was compared.
            seed: Of the bootstrap.
        """
        measured = measure(comparison, far=self.options.far, samples=self.options.samples, seed=seed)
        metrics = measured.metrics
        if single is not None:
            metrics = (*metrics, *single.accuracies(rules=("reference",)))
        return Evaluation(
            metrics=metrics,
            curves=(roc(comparison), histogram(comparison, measured.threshold)),
            folds=measured.folds,
            rules={"folds": fold_words(comparison)},
            warnings=_about_folds(comparison),
        )

    def judge_likelihood(self, likely: Comparison, pairs: Pairs, *, seed: int) -> tuple[Metric, ...]:
        """The metrics by the score ``pa``.

        Args:
            likely: The pairs, compared by it.
            pairs: What was compared.
            seed: Of the bootstrap.
        """
        scored = measure_scores(likely, far=self.options.far, samples=self.options.samples, seed=seed)
        return (*likely.accuracies(rules=("strict",)), *scored)


def fold_words(comparison: Comparison) -> str:
    """How the folds were made."""
    runs = "runs of consecutive pairs" if comparison.fold is None else "folds as the list gives them"
    return f"{comparison.folds} {runs}"


def fold_numbers(comparison: Comparison) -> npt.NDArray[np.int64]:
    """Fold of each pair, (N,), also where folds are runs of consecutive pairs."""
    if comparison.fold is not None:
        return comparison.fold.astype(np.int64)
    runs = np.array_split(np.arange(len(comparison.same)), comparison.folds)
    return np.repeat(np.arange(comparison.folds, dtype=np.int64), [len(run) for run in runs])


def _counts(pairs: Pairs) -> dict[str, int]:
    same = int(pairs.same.sum())
    counts = {"pairs": len(pairs), "genuine": same, "impostor": len(pairs) - same}
    if pairs.subjects is not None:
        counts["subjects"] = len(np.unique(np.concatenate(pairs.subjects)))
    return counts


def _mirror_words(mirror: str) -> str:
    return {
        "sum": "embeddings of the face and of its mirror image are added as they are, then scaled to unit length",
        "none": "mirror images are not used",
        "concat": "embeddings of the face and of its mirror image are put side by side, then scaled to unit length",
    }[mirror]


def _warnings(pairs: Pairs) -> tuple[str, ...]:
    if pairs.subjects is None:
        return ("the list does not say who is shown: intervals resample pairs and are likely too narrow",)
    return ()


def _about_folds(comparison: Comparison) -> tuple[str, ...]:
    """A warning where folds hold matched pairs only, or mismatched ones only."""
    fold = fold_numbers(comparison)
    pairs, matched = np.bincount(fold), np.bincount(fold, weights=comparison.same)
    alone = int(np.count_nonzero((pairs > 0) & ((matched == 0) | (matched == pairs))))
    if not alone:
        return ()
    return (
        f"{alone} folds hold pairs of one kind only: their accuracy is one kind of error, and its spread says "
        "little; is the list sorted by kind?",
    )


def _scores(comparison: Comparison, pairs: Pairs) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {
        "score": comparison.scores,
        "same": comparison.same,
        "first": pairs.first,
        "second": pairs.second,
    }
    if pairs.subjects is not None:
        found["first_subject"], found["second_subject"] = pairs.subjects
    if pairs.quality is not None:
        found["first_quality"], found["second_quality"] = pairs.quality
    if pairs.group is not None:
        found["group"] = pairs.group
    return found
