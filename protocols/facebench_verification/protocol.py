"""The verification protocol: from embeddings of pairs to accuracy, ROC figures and their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from facebench import DataError, Evaluation, MetricError
from facebench.datasets import PackImages, open_images
from facebench_verification.curves import histogram, roc
from facebench_verification.demo import demo_faces, demo_pairs
from facebench_verification.faces import PairFaces
from facebench_verification.numbers import Comparison, measure
from facebench_verification.pairs import read_pairs
from facebench_verification.sources import look, pairs_of_pack

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset
    from facebench_verification.options import VerificationOptions
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


class Verification:
    """A verification set.

    Args:
        place: Where it lies.
        options: What the user set.
        folds: How many runs of consecutive pairs form the folds, where the list itself does not say.
    """

    def __init__(self, place: Place, options: VerificationOptions, *, folds: int) -> None:
        self._place, self._options, self._folds = place, options, folds

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """The faces that the pairs name, each once.

        Raises:
            DatasetMissing: When lists or pictures are not below the root.
            DataError: When they are damaged, the list names an absent picture, or it cannot be evaluated.
        """
        if root is None:
            drawn = demo_faces()
            return PairFaces("demo", demo_pairs(drawn), drawn, listed_in="demo pairs")
        chosen = self._options
        found = look(self._place, root, pairs=chosen.pairs, images=chosen.images, need_images=images)
        if found.pack is not None:
            pack = PackImages(found.pack)
            faces = PairFaces(self._place.name, pairs_of_pack(pack), pack, listed_in=found.pack)
            return self._usable(faces, found.pack)
        if found.pairs is None:
            raise RuntimeError("look() found neither a pack nor a list and did not say so")
        source = open_images(found.images) if found.images is not None else None
        faces = PairFaces(self._place.name, read_pairs(found.pairs), source, listed_in=found.pairs)
        return self._usable(faces, found.pairs)

    def _usable(self, faces: PairFaces, listed_in: Path) -> PairFaces:
        """The faces, if their pairs can be evaluated: better told now than after the training."""
        count, same, folds = len(faces.pairs), int(faces.pairs.same.sum()), faces.pairs.folds or self._folds
        if not 0 < same < count:
            kind = "the same person" if same else "two people"
            raise DataError(f"{listed_in}: all {count} pairs show {kind}; verification needs both kinds")
        if not 2 <= folds <= count:
            raise DataError(f"{listed_in}: {count} pairs in {folds} folds; at least 2 folds of one pair are needed")
        return faces

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Accuracy over folds, ROC metrics, intervals.

        Peak memory: three float64 copies of the embeddings, and two of the pairs' vectors: 6,000 pairs of 512 values
        take about 150 MiB.

        Raises:
            DataError: When a face has no embedding.
            MetricError: When metrics cannot be computed, as with pairs of one kind only.
        """
        if not isinstance(faces, PairFaces):
            raise TypeError(f"expected the faces of this protocol, found {type(faces).__name__}")
        rows = embeddings.rows(faces.keys)
        plain = embeddings.vectors[rows].astype(np.float64)
        mirrored = None if embeddings.mirrored is None else embeddings.mirrored[rows].astype(np.float64)
        mirror = self._options.mirror
        if mirror != "none" and mirrored is None:
            raise MetricError(
                f"mirror fusion {mirror!r} needs embeddings of the mirrored faces, which are not there; "
                f"embed them, or set protocol.{self._place.name}.mirror=none"
            )
        folds = faces.pairs.folds or self._folds
        comparison = Comparison.of(plain, mirrored, faces, folds=folds, mirror=mirror)
        measured = measure(comparison, far=self._options.far, samples=self._options.samples, seed=seed)
        metrics = measured.metrics
        if mirror != "none":
            single = Comparison.of(plain, mirrored, faces, folds=folds, mirror="none")
            metrics = (*metrics, *single.accuracies(rules=("reference",)))
        return Evaluation(
            metrics=metrics,
            curves=(roc(comparison), histogram(comparison, measured.threshold)),
            folds=measured.folds,
            counts=_counts(faces),
            rules=_RULES | {"mirror": _mirror_words(mirror), "folds": f"{folds} runs of consecutive pairs"},
            warnings=_warnings(faces),
            scores=_scores(comparison, faces),
        )


def _counts(faces: PairFaces) -> dict[str, int]:
    same = int(faces.pairs.same.sum())
    counts = {"pairs": len(faces.pairs), "genuine": same, "impostor": len(faces.pairs) - same}
    if faces.pairs.subjects is not None:
        counts["subjects"] = len(np.unique(np.concatenate(faces.pairs.subjects)))
    return counts


def _mirror_words(mirror: str) -> str:
    return {
        "sum": "embeddings of the face and of its mirror image are added as they are, then scaled to unit length",
        "none": "mirror images are not used",
        "concat": "embeddings of the face and of its mirror image are put side by side, then scaled to unit length",
    }[mirror]


def _warnings(faces: PairFaces) -> tuple[str, ...]:
    if faces.pairs.subjects is None:
        return ("the list does not say who is shown: intervals resample pairs and are likely too narrow",)
    return ()


def _scores(comparison: Comparison, faces: PairFaces) -> dict[str, npt.NDArray[np.generic]]:
    found = {
        "score": comparison.scores,
        "same": comparison.same,
        "first": faces.pairs.first,
        "second": faces.pairs.second,
    }
    if faces.pairs.subjects is not None:
        found["first_subject"], found["second_subject"] = faces.pairs.subjects
    return cast("dict[str, npt.NDArray[np.generic]]", found)
