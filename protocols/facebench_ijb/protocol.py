"""The Janus protocols: from embeddings of pictures to templates, verified one to one and searched one to many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import DatasetMissing, Evaluation, MetricError
from facebench.datasets import open_images
from facebench.metrics import score_pairs
from facebench_ijb.demo import DemoPictures, demo_lists
from facebench_ijb.faces import LooseCrops, TemplateFaces
from facebench_ijb.identification import identify
from facebench_ijb.likelihood import likelihood_rule, pair_likelihoods
from facebench_ijb.nist import read_nist
from facebench_ijb.options import SplitOptions
from facebench_ijb.pooling import flags, template_vectors
from facebench_ijb.release import read_release
from facebench_ijb.sources import ReleaseFiles, look
from facebench_ijb.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Curve, Embeddings, FaceDataset, Metric
    from facebench_ijb.lists import Lists, Pairs
    from facebench_ijb.options import TemplateOptions
    from facebench_ijb.sources import Benchmark, NistFiles
    from facebench_ijb.uncertainty import Floats
    from facebench_ijb.verification import Verified

_RULES = {
    "template": "pictures of one media (a still, or the frames of a video) are averaged, media are added, the template "
    "is scaled to unit length (InsightFace eval_ijbc.py, ijb_evals.py)",
    "score": "cosine similarity of templates",
}
_VERIFICATION = {
    "tar@far": "over the listed pairs. reference: ROC point of nearest FAR, collinear points dropped (scikit-learn, "
    "InsightFace's tables); may overshoot the target. strict: largest FAR not above the target",
    "eer": "root of 1 - x = TAR(x) on the linearly interpolated ROC",
    "auc": "trapezoid over all ROC points, ties count half",
}
_IDENTIFICATION = {
    "rank-k": "hits of all galleries over all mated searches. reference: of equal scores the later gallery entry comes "
    "first (ijb_evals.py). strict: a mate that ties with another entry loses. joined galleries: one search in all of "
    "them, as ijb_1n.py has it",
    "tpir@fpir": "mean of the galleries; the mate must be first and above a threshold set by the best scores of the "
    "gallery's non-mated probes. reference: ijb_evals.py (the last of max(int(n x FPIR), 1) false alarms, accept "
    "above). strict: FPIR never above the target",
    "pooled-pair-tar": "what ijb_1n.py prints: share of mates above the score of the last of ceil(probes x rate) "
    "non-mate pairs, all pooled over both galleries; no rank condition and no non-mated probes: not TPIR at an FPIR",
}


class Janus:
    """One of the benchmarks.

    Args:
        benchmark: Which, and where it lies.
        options: What the user set.
    """

    def __init__(self, benchmark: Benchmark, options: TemplateOptions) -> None:
        self._benchmark, self._options = benchmark, options

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """The pictures that the lists name, each once.

        Raises:
            DatasetMissing: When lists or pictures are not below the root.
            DataError: When they are damaged or do not agree; the message names file and line.
        """
        if root is None:
            drawn = DemoPictures()
            return TemplateFaces(demo_lists(drawn), drawn, aligner="drawn aligned")
        options = self._options
        split = options.split if isinstance(options, SplitOptions) else 1
        found = look(self._benchmark, root, split=split)
        own = self._chosen(root) if images and options.images else None
        if not isinstance(found, ReleaseFiles):
            if images and own is None:
                own = self._aligned(found)
            return TemplateFaces(
                read_nist(self._benchmark, found), own, aligner="by whoever made the pictures or embeddings"
            )
        release = read_release(self._benchmark, found)
        if not images or own is not None:
            return TemplateFaces(release.lists, own, aligner="by whoever made the pictures or embeddings")
        if found.crops is None or found.points is None or release.points is None:
            lacking = found.members.parent.parent / "loose_crop" if found.crops is None else found.missing[0]
            raise DatasetMissing(self._benchmark.name, [lacking], self._benchmark.how_to_get)
        crops = LooseCrops(found.crops, release.files, release.lists.rows.keys, release.points, listed_in=found.points)
        aligner = (
            "similarity transform of the release's five points to ArcFace's 112x112 template, bilinear (facebench)"
        )
        return TemplateFaces(release.lists, crops, aligner=aligner)

    def _aligned(self, found: NistFiles) -> FaceDataset:
        """Pictures that somebody has aligned, beside NIST's lists."""
        for path in found.pictures:
            if path.exists():
                return open_images(path)
        name = self._benchmark.name
        raise DatasetMissing(
            f"{name} (aligned pictures)",
            found.pictures,
            "NIST's lists have boxes and no landmarks, so pictures cannot be aligned here; align them to 112x112, keep "
            f"their names, and put them there or name them with --set protocol.{name}.images=PATH",
        )

    def _chosen(self, root: Path) -> FaceDataset:
        path = (root / self._options.images).expanduser()
        if not path.exists():
            raise DatasetMissing(self._benchmark.name, [path], "correct the option that names it")
        return open_images(path)

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """TAR at FAR, ROC and DET; ranks and TPIR at FPIR; the 1:1 part by the score ``pa`` too, given confidences.

        Peak memory beyond the embeddings, which may be memory-mapped: the templates, 200 MB to pool them, 400 MB to
        score and 60 bytes a pair: 1.5 GB for IJB-C, and more for intervals.

        Raises:
            DataError: When a face has no embedding.
            MetricError: When metrics cannot be computed.
        """
        if not isinstance(faces, TemplateFaces):
            raise TypeError(f"expected the faces of this protocol, found {type(faces).__name__}")
        lists, options, name = faces.lists, self._options, self._benchmark.name
        vectors = template_vectors(embeddings, lists.rows, options, name=name)
        metrics: tuple[Metric, ...] = ()
        curves: tuple[Curve, ...] = ()
        rules = _RULES | flags(lists.rows, options) | {"aligner": faces.aligner}
        warnings = [*lists.warnings, *self._remarks(lists)]
        scores: dict[str, npt.NDArray[np.generic]] = {}
        likely: Verified | None = None
        if lists.pairs is not None:
            cosines = score_pairs(vectors, lists.pairs.first, lists.pairs.second)
            verified = self._verified(cosines, lists.pairs, lists, seed, score="cosine")
            metrics, curves, scores = verified.metrics, verified.curves, _pair_scores(lists, verified)
            rules |= _VERIFICATION
            if embeddings.confidence is not None:
                likely, missing = self._likely(embeddings, lists.pairs, lists, seed)
                warnings += missing
        if lists.probes is not None:
            identified = identify(
                vectors,
                lists.galleries,
                lists.probes,
                fpir=options.fpir,
                mirror=options.mirror,
                samples=options.samples,
                seed=seed,
            )
            metrics, curves = (*metrics, *identified.metrics), (*curves, *identified.curves)
            scores = scores or dict(identified.scores)
            warnings += identified.warnings
            rules |= _IDENTIFICATION
        if likely is not None:
            metrics, scores = (*metrics, *likely.metrics), scores | {"pa": likely.scores}
            rules |= {"pa": likelihood_rule(options.pa_templates)}
        return Evaluation(
            metrics=metrics, curves=curves, counts=_counts(lists), rules=rules, warnings=tuple(warnings), scores=scores
        )

    def _likely(
        self, embeddings: Embeddings, pairs: Pairs, lists: Lists, seed: int
    ) -> tuple[Verified | None, list[str]]:
        """The 1:1 part by the score ``pa``, or a warning why there is none."""
        try:
            scores = pair_likelihoods(embeddings, lists.rows, pairs, how=self._options.pa_templates)
        except MetricError as error:
            return None, [f"the score pa is missing: {error}"]
        return self._verified(scores, pairs, lists, seed, score="pa"), []

    def _verified(self, scores: Floats, pairs: Pairs, lists: Lists, seed: int, *, score: str) -> Verified:
        options = self._options
        return verify(
            scores,
            pairs,
            far=options.far,
            headline=self._benchmark.headline,
            mirror=options.mirror if score == "cosine" else "none",
            score=score,
            subjects=lists.people,
            samples=options.samples,
            seed=seed,
        )

    def _remarks(self, lists: Lists) -> list[str]:
        """What a reader should know of the lists themselves."""
        said = []
        if lists.contradictions:
            said.append(
                f"{lists.contradictions} pairs are labelled otherwise than the lists of subjects have it; labels decide"
            )
        if lists.pairs is not None and lists.people is None:
            said.append("labels contradict each other: intervals resample templates, not people, and are too narrow")
        if isinstance(self._options, SplitOptions) and lists.name != "demo":
            said.append(f"split {self._options.split} of ten: published IJB-A numbers are means over all of them")
        counted = _counts(lists) | {"pictures": len(lists.rows.keys)}
        official = self._benchmark.official if lists.name != "demo" and lists.rows.faceness is not None else {}
        for what, count in official.items():
            if what in counted and counted[what] != count:
                said.append(f"these lists have {counted[what]:,} {what}, the published ones {count:,}: not comparable")
        return said


def _counts(lists: Lists) -> dict[str, int]:
    rows = lists.rows
    couples = np.unique(np.stack([rows.template, rows.media], axis=1), axis=0)
    counts = {"templates": len(rows.ids), "media": len(couples), "rows": len(rows.face)}
    if (lists.subjects >= 0).all():
        counts["subjects"] = len(np.unique(lists.subjects))
    if lists.pairs is not None:
        same = int(lists.pairs.same.sum())
        counts |= {"pairs": len(lists.pairs.same), "genuine": same, "impostor": len(lists.pairs.same) - same}
    for side in lists.galleries:
        counts[f"gallery {side.name}"] = len(side.templates)
    if lists.probes is not None:
        counts["probes"] = len(lists.probes.templates)
    return counts


def _pair_scores(lists: Lists, verified: Verified) -> dict[str, npt.NDArray[np.generic]]:
    """What is kept of each pair: cosine, label, template ids and subjects."""
    pairs = lists.pairs
    if pairs is None:
        return {}
    ids = lists.rows.ids.astype(np.int32 if int(lists.rows.ids[-1]) < 2**31 else np.int64)
    found = {
        "score": verified.scores,
        "same": pairs.same,
        "first": ids[pairs.first],
        "second": ids[pairs.second],
    }
    if lists.people is not None:
        people = lists.people.astype(np.int32)
        found |= {"first_subject": people[pairs.first], "second_subject": people[pairs.second]}
    return found
