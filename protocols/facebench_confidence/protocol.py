"""The confidence protocol: from the confidences of clean and damaged faces to what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Evaluation, MetricError
from facebench_confidence import blocks, numbers
from facebench_confidence.faces import DamagedFaces
from facebench_confidence.figures import figures
from facebench_confidence.ladders import rungs_of
from facebench_confidence.opening import demo_faces, open_faces

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset
    from facebench_confidence.numbers import Confidences
    from facebench_confidence.options import ConfidenceOptions

_RULES = {
    "confidence": "inverse variance of each of K equal blocks of the embedding, of the unmirrored face; its natural "
    "logarithm, mean over the blocks, is one number a picture. Predicted scales differ from method to method and no "
    "number here depends on them, but for the spread, which is in logarithms",
    "ladders": "blur: Gaussian, standard deviation in pixels of a picture of 112 x 112. occlusion: black blocks of a "
    "7 x 7 grid, in an order drawn for each face, so that a stronger level hides all that a weaker one hides. The "
    "clean picture is the foot of both",
    "spearman-blur, spearman-occlusion": "reference: Spearman's correlation of level and confidence over all faces and "
    "levels together, ties at their middle rank; -1 is best. within-face: that of each face with its own levels, "
    "averaged; a face whose confidence never changes counts 0",
    "spearman-blur-means, spearman-occlusion-means": "Spearman's correlation of level and the mean over the faces at "
    "that level: -1 where the mean falls from each level to the next",
    "confidence-spread": "standard deviation over all pictures; a network that is equally sure of everything has none",
    "block-correlation": "over pairs of clean faces of different people: Pearson correlation of the cosine within "
    "block k with that within block l; mean absolute value over k != l. The paper (0.57 for K = 16 without "
    "decorrelation) does not say what it correlates, so that a comparison with its value is a comparison of orders of "
    "magnitude",
    "block-correlation-values": "over clean faces: Pearson correlation of two values of different blocks, blocks "
    "scaled to unit length; mean absolute value",
    "chance": "what the same blocks reach when each takes the faces in another random order, mean of ten; correlations "
    "are judged against it, since an absolute value is never 0 and resampling would raise it",
    "interval": "people are drawn with replacement, each with all their faces at all levels",
}


class Confidence:
    """Confidences on clean and damaged faces.

    Args:
        options: What the user set.
    """

    def __init__(self, options: ConfidenceOptions) -> None:
        self._options = options

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """Clean faces, and each of them at every level of both ladders.

        Args:
            root: The user's data root; None for drawn faces.
            images: No matter: which faces there are is known from the pictures alone.

        Raises:
            DatasetMissing: When nothing is where the options or LFW's usual places say.
            DataError: When what is there cannot be read, or holds fewer than three pictures.
        """
        options = self._options
        if root is None:
            source = demo_faces(limit=options.faces, seed=options.seed)
        else:
            source = open_faces(root, options.images, limit=options.faces, seed=options.seed)
        return DamagedFaces(source, rungs_of(options.blur, options.occlusion), seed=options.seed)

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Correlations of confidence and damage, and of the embedding's blocks with one another.

        Peak memory: 32 MiB of bootstrap; for the blocks, 8 K bytes for each pair of at most 1,000 clean faces, 64 MB
        for K = 16, beside their embeddings.

        Raises:
            DataError: When a face has no embedding.
            MetricError: When there are no confidences, or one is not positive.
        """
        if not isinstance(faces, DamagedFaces):
            raise TypeError(f"expected the faces of this protocol, found {type(faces).__name__}")
        rows = embeddings.rows(faces.keys)
        found = _confidences(embeddings, faces, rows)
        clean = embeddings.vectors[rows[:: len(faces.rungs)]]
        count = 0 if embeddings.confidence is None else embeddings.confidence.shape[1]
        studied = blocks.measure(clean, found.people, count=count, seed=seed)
        return Evaluation(
            metrics=(*numbers.metrics(found, samples=self._options.samples, seed=seed), *studied.metrics),
            curves=figures(found, studied.matrix),
            counts={"faces": len(found.people), "people": found.count, "levels": len(faces.rungs), "blocks": count},
            rules=_RULES,
            warnings=_warnings(found),
            scores=_scores(faces, found),
        )


def _confidences(embeddings: Embeddings, faces: DamagedFaces, rows: npt.NDArray[np.int64]) -> Confidences:
    """One number for each face at each level."""
    if embeddings.confidence is None:
        raise MetricError(
            "there are no confidences to evaluate: this protocol is for methods that predict them, such as 'url'; run "
            "one of those, or add an array 'confidence', (N, K), to the embeddings"
        )
    given = embeddings.confidence[rows].astype(np.float64)
    wrong = np.flatnonzero((given <= 0).any(axis=1))
    if len(wrong):
        raise MetricError(
            f"confidences are inverse variances, above 0; found {given[wrong[0]].min():g} for "
            f"{faces.keys[wrong[0]]!r} ({len(wrong)} of {len(given)} pictures); if they are logarithms, exponentiate"
        )
    logs = np.log(given).mean(axis=1).reshape(-1, len(faces.rungs))
    return numbers.Confidences.of(faces.rungs, logs, faces.source.labels)


def _warnings(found: Confidences) -> tuple[str, ...]:
    if np.ptp(found.logs) == 0:
        return ("all confidences are equal: the method predicts none, or was trained without them",)
    if not found.known:
        return ("the data does not say who is shown: intervals resample faces and may be too narrow",)
    return ()


def _scores(faces: DamagedFaces, found: Confidences) -> dict[str, npt.NDArray[Any]]:
    """One row a picture, so that two methods can be compared picture by picture."""
    count = len(found.people)
    return {
        "face": np.repeat(np.asarray(faces.source.keys, dtype=np.str_), len(found.rungs)),
        "subject": np.repeat(found.people, len(found.rungs)),
        "kind": np.tile(np.array([rung.kind for rung in found.rungs], dtype=np.str_), count),
        "level": np.tile(np.array([rung.level for rung in found.rungs]), count),
        "confidence": np.exp(found.logs).ravel(),
    }
