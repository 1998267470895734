"""The TinyFace protocol: from embeddings of probes and gallery to rank-k rates and mean average precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError, Evaluation, MetricError
from facebench.metrics import LIKELIHOOD_RULE, fuse, likelihood_blocks, retrieve, unit, unit_blocks
from facebench_tinyface.demo import demo_faces
from facebench_tinyface.faces import UNKNOWN, TinyFaces
from facebench_tinyface.lists import DISTRACTOR
from facebench_tinyface.numbers import Searches, cmc, measure
from facebench_tinyface.opening import open_faces

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset
    from facebench.metrics import Retrieval
    from facebench_tinyface.lists import Listed
    from facebench_tinyface.options import TinyFaceOptions

OFFICIAL = {"probes": 3_728, "mates": 4_443, "distractors": 153_428}
_ROWS = 4096  # fused at a time: 8 MiB of 512 float32 values
_RULES = {
    "score": "cosine similarity of fused embeddings, the order of Euclidean distances of unit vectors",
    "rank-k": "share of probes with at least one mate among the first k of the whole gallery; equal scores stand in "
    "the order of the gallery, mates before distractors, as a stable sort leaves them",
    "map": "reference: the data set's own scoring script, the trapezoid under precision and recall. usual: precision "
    "at each mate, averaged. The two differ, and only the first stands in published tables",
    "interval": "people with probes are drawn with replacement, each with all of their probes; the gallery stays",
}
_MIRROR = {
    "sum": "embeddings of the face and of its mirror image are added as they are, then scaled to unit length",
    "none": "mirror images are not used",
}


class TinyFace:
    """TinyFace's closed-set identification.

    Args:
        options: What the user set.
    """

    def __init__(self, options: TinyFaceOptions) -> None:
        if min(options.ranks) < 1:
            raise MetricError(f"ranks count from 1; found {min(options.ranks)} in protocol.tinyface.ranks")
        self._options = options

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """Probes, mates and distractors.

        Raises:
            DatasetMissing: When lists, pictures or distractors are not below the root.
            DataError: When lists are damaged, contradict one another, or name an absent picture.
        """
        if root is None:
            return demo_faces(distractors=self._options.distractors == "on")
        return open_faces(root, self._options, images=images)

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Rank-k rates, mean average precision, intervals; all of it by the score ``pa`` too, given confidences.

        Peak memory: the fused gallery and probes in float32 and what ``facebench.metrics.retrieve`` states; 157,871
        pictures of 512 values take 0.4 GiB beside the embeddings. The 3,728 x 157,871 scores are never all held.

        Raises:
            DataError: When a face has no embedding, or no distractor has one.
            MetricError: When mirror fusion is asked for and mirrored embeddings are not there, or one has no direction.
        """
        if not isinstance(faces, TinyFaces):
            raise TypeError(f"expected the faces of this protocol, found {type(faces).__name__}")
        mirror = self._options.mirror
        if mirror == "sum" and embeddings.mirrored is None:
            raise MetricError(
                "mirror fusion 'sum' needs embeddings of the mirrored faces, which are not there; embed them, or set "
                "protocol.tinyface.mirror=none"
            )
        others = self._distractors(embeddings, faces)
        probes, gallery = faces.probes, np.concatenate([faces.gallery.keys, others])
        owners = np.concatenate([faces.gallery.ids, np.full(len(others), UNKNOWN, dtype=np.int64)])
        found = retrieve(
            _fused(embeddings, probes.keys, mirror=mirror),
            probes.ids,
            _fused(embeddings, gallery, mirror=mirror),
            owners,
        )
        searches = _searches(found, probes.ids, mirror=mirror)
        counts = {"probes": len(probes), "mates": len(faces.gallery), "distractors": len(others)}
        evaluation = Evaluation(
            metrics=measure(searches, ranks=self._options.ranks, samples=self._options.samples, seed=seed),
            curves=(cmc(searches),),
            counts={**counts, "people": len(np.unique(probes.ids))},
            rules=_RULES | {"mirror": _MIRROR[mirror]},
            warnings=(*faces.warnings, *self._warnings(faces, counts)),
            scores={
                "probe": probes.keys,
                "subject": probes.ids,
                "place": searches.place,
                "average_precision": searches.reference,
            },
        )
        if embeddings.confidence is None:
            return evaluation
        return self._with_likelihood(evaluation, embeddings, probes, (gallery, owners), seed=seed)

    def _with_likelihood(
        self,
        evaluation: Evaluation,
        embeddings: Embeddings,
        probes: Listed,
        gallery: tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]],
        *,
        seed: int,
    ) -> Evaluation:
        """The evaluation with the score ``pa``, or with a warning why it has none; the gallery is keys and owners."""
        try:
            queries, entries = (_blocks(embeddings, keys) for keys in (probes.keys, gallery[0]))
            scorer = likelihood_blocks(queries.confidence, entries.confidence)
            found = retrieve(queries.vectors, probes.ids, entries.vectors, gallery[1], scorer=scorer)
        except MetricError as error:
            return replace(evaluation, warnings=(*evaluation.warnings, f"the score pa is missing: {error}"))
        searches = _searches(found, probes.ids, mirror="none", score="pa")
        measured = measure(searches, ranks=self._options.ranks, samples=self._options.samples, seed=seed)
        kept = {"pa_place": searches.place, "pa_average_precision": searches.reference}
        return replace(
            evaluation,
            metrics=(*evaluation.metrics, *measured),
            rules=dict(evaluation.rules) | {"pa": f"{LIKELIHOOD_RULE}. Mirror images are not used"},
            scores=dict(evaluation.scores) | kept,
        )

    def _distractors(self, embeddings: Embeddings, faces: TinyFaces) -> npt.NDArray[np.str_]:
        """Keys of the distractors: listed by the faces, or else whatever has an embedding and the right folder."""
        if faces.distractors is not None:
            return faces.distractors
        others = np.sort(embeddings.keys[np.char.startswith(embeddings.keys, f"{DISTRACTOR}/")])
        if not len(others):
            raise DataError(
                f"no embedding has a key '{DISTRACTOR}/NAME' and no folder lists the distractors; embed them, or set "
                "protocol.tinyface.distractors=off, which is comparable with no published figure"
            )
        return others

    def _warnings(self, faces: TinyFaces, counts: dict[str, int]) -> list[str]:
        if self._options.distractors == "off":
            return [
                f"the gallery holds the {counts['mates']:,} mates only, no distractors: easier than TinyFace and not "
                "comparable with published figures"
            ]
        if not faces.official:
            return []
        return [
            f"{counts[name]:,} {name}, TinyFace has {count:,}: not comparable with published figures"
            for name, count in OFFICIAL.items()
            if counts[name] != count
        ]


def _fused(embeddings: Embeddings, keys: npt.NDArray[np.str_], *, mirror: str) -> npt.NDArray[np.float32]:
    """Unit vectors of the faces, float32 (N, D), fused block by block so that only one copy of the gallery arises."""
    rows = embeddings.rows(keys)
    fused = np.empty((len(rows), embeddings.vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        plain = embeddings.vectors[some]
        mirrored = embeddings.mirrored[some] if mirror == "sum" and embeddings.mirrored is not None else None
        fused[start : start + _ROWS] = unit(fuse(plain, mirrored, how="none" if mirrored is None else "sum"))
    return fused


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Embeddings in unit blocks, float32 (N, D), with their confidences, (N, K)."""

    vectors: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]


def _blocks(embeddings: Embeddings, keys: npt.NDArray[np.str_]) -> _Blocks:
    """Unit blocks of the faces as they are, made run by run so that only one copy of the gallery arises."""
    rows = embeddings.rows(keys)
    confidence = np.asarray(embeddings.confidence)[rows]
    vectors = np.empty((len(rows), embeddings.vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        vectors[part] = unit_blocks(embeddings.vectors[rows[part]], confidence.shape[1])
    return _Blocks(vectors, confidence)


def _searches(found: Retrieval, ids: npt.NDArray[np.int64], *, mirror: str, score: str = "cosine") -> Searches:
    """What the numbers need of a retrieval; every probe has a mate, as the lists' reader made sure."""
    return Searches(
        ids=ids,
        place=found.positions[found.offsets[:-1]],
        reference=found.average_precision(rule="trapezoid"),
        usual=found.average_precision(rule="usual"),
        gallery=found.entries,
        mirror=mirror,
        score=score,
    )
