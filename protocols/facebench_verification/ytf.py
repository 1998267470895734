"""YouTube Faces: videos against videos, in ten folds of 250 + 250 pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebench.metrics import likelihood_scores, pool_blocks
from facebench_verification.numbers import Comparison
from facebench_verification.protocol import PA, Verification
from facebench_verification.videos import VideoFaces, pool

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, Evaluation, FaceDataset
    from facebench_verification.faces import PairFaces
    from facebench_verification.numbers import Mirror
    from facebench_verification.options import VideoOptions
    from facebench_verification.pairs import Pairs
    from facebench_verification.sources import Place

_POOLING = {
    "mean": "a video's vector is the mean of its frames' raw embeddings",
    "unit-mean": "a video's vector is the mean of its frames' fused embeddings, each scaled to unit length",
}


class VideoVerification(Verification):
    """Verification of videos.

    Args:
        place: Where the set lies.
        options: What the user set.
    """

    every_picture = True
    likelihood_rule = (
        f"{PA}. A video's blocks are the means of its frames' blocks, weighted by confidence, with the least of their "
        "variances (PFE)"
    )

    def __init__(self, place: Place, options: VideoOptions) -> None:
        super().__init__(place, options)
        self._video = options

    def opened(
        self, name: str, pairs: Pairs, source: FaceDataset | None, *, listed_in: Path | str
    ) -> PairFaces | VideoFaces:
        """The frames of all listed videos."""
        return VideoFaces(name, pairs, source, frames=self._video.frames, listed_in=listed_in)

    def compare(self, embeddings: Embeddings, faces: PairFaces | VideoFaces, *, mirror: Mirror) -> Comparison:
        """All pairs of videos, compared by their pooled vectors."""
        if not isinstance(faces, VideoFaces):
            return super().compare(embeddings, faces, mirror=mirror)
        pooled = pool(embeddings, faces, mirror=mirror, how=self._video.pooling)
        folds = faces.pairs.folds or 10
        found = Comparison.of(pooled.plain, pooled.mirrored, faces, folds=folds, mirror=mirror)
        return replace(found, norm=pooled.norm)

    def likelihoods(self, embeddings: Embeddings, faces: PairFaces | VideoFaces) -> npt.NDArray[np.float64]:
        """As for pictures, by vectors pooled from the blocks of all frames with their confidences as weights.

        Raises:
            DataError: When a video has no embedding.
            MetricError: When confidences cannot be used, or a block has no direction.
        """
        if not isinstance(faces, VideoFaces):
            return super().likelihoods(embeddings, faces)
        members = faces.members(embeddings)
        video = np.repeat(np.arange(len(members)), [len(rows) for rows in members])
        confidence = np.asarray(embeddings.confidence)
        pooled = pool_blocks(embeddings.vectors, confidence, video, rows=np.concatenate(members))
        return likelihood_scores(pooled.vectors, pooled.confidence, faces.first, faces.second)

    def judge(self, comparison: Comparison, single: Comparison | None, pairs: Pairs, *, seed: int) -> Evaluation:
        """As for pictures, with the rule of pooling."""
        found = super().judge(comparison, single, pairs, seed=seed)
        frames = f"at most {self._video.frames} frames, evenly spread" if self._video.frames else "all frames"
        return replace(
            found,
            counts=dict(found.counts) | {"videos": len(pairs.keys)},
            rules=dict(found.rules) | {"pooling": f"{_POOLING[self._video.pooling]}; {frames}"},
        )
