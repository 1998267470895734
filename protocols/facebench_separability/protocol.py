"""The separability protocol: from embeddings of labelled faces to how far their identities are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ConfigError, Evaluation, Metric
from facebench.metrics.frechet import frechet_distance, moments
from facebench.metrics.identities import identity_means
from facebench_separability import leakage
from facebench_separability.figures import figures
from facebench_separability.numbers import side_metrics
from facebench_separability.opening import demo_faces, open_faces
from facebench_separability.parts import BESIDE, DATA, REFERENCE, judged, parts_of
from facebench_separability.sides import PairScores, Shown, Side
from facebench_separability.telling import WORDS, counts_of, rules_of, scores_of, warnings_of
from facebench_separability.thresholds import threshold_metrics, thresholds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from facebench import Embeddings, FaceDataset
    from facebench_separability.leakage import Nearest
    from facebench_separability.options import SeparabilityOptions
    from facebench_separability.thresholds import Threshold

_SUFFIXES = {DATA: "", BESIDE: "-beside"}
_SOURCES = {DATA: "the-set-itself", BESIDE: "beside"}


class Separability:
    """Whether the identities of a set are apart, and whether the faces of each hold together.

    Args:
        options: What the user set.

    Attributes:
        in_all_processes: Several processes share the comparison of all identities, so each of them must evaluate.
    """

    in_all_processes = True

    def __init__(self, options: SeparabilityOptions) -> None:
        self._options = options

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """Labelled faces of real people, with those of the reference where one is named.

        Args:
            root: The user's data root; None for drawn faces.
            images: No matter: pictures are not read before they are embedded.

        Raises:
            DatasetMissing: When nothing is where the options or LFW's usual places say.
            DataError: When what is there cannot be read, or does not say who is shown.
            ConfigError: When a reference is named but no data root.
        """
        chosen = self._options
        if root is None:
            if chosen.reference:
                raise ConfigError("protocol.separability.reference needs a data root; drawn faces have none")
            return judged(demo_faces())
        reference = open_faces(root, chosen.reference, option="reference") if chosen.reference else None
        data = open_faces(root, chosen.data, option="data")
        return judged(data, reference=reference, images=chosen.reference_images)

    def faces_of(
        self, data: FaceDataset, /, *, reference: FaceDataset | None = None, beside: FaceDataset | None = None
    ) -> FaceDataset:
        """The faces to embed for judging ``data``; the returned set knows which is which.

        Args:
            data: Labelled faces, such as generated ones.
            reference: Faces that ``data`` should not repeat, such as those a generator learned from.
            beside: Real people, as ``faces`` opens them; of more people or faces than ``data`` has, as many are taken.

        Raises:
            DataError: When fewer than two identities can be told apart.
        """
        return judged(data, beside=beside, reference=reference, images=self._options.reference_images)

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Counts of separate identities, closeness within and between them, leakage, and all of it of real people.

        Embeddings may be memory-mapped and are read in blocks. Peak memory beyond them, for N identities of D
        dimensions: three times the identity means, 4 N D bytes each, for the largest of the parts and once for the
        others; 0.1 GB of blocks; 40 bytes a pair of faces (``pairs``) and, for intervals, as much again. Of 20,000
        identities and 512 dimensions that is about 0.3 GB. A pass that takes minutes is laid aside in the embeddings'
        folder, and taken up again.

        Raises:
            DataError: When a face has no embedding.
            MetricError: When embeddings have no direction, or the device cannot be used.
        """
        options, rows = self._options, parts_of(faces)
        shown = {part: Shown.of(embeddings, faces, where) for part, where in rows.items()}
        scores = {
            part: PairScores.of(embeddings, shown[part].groups, most=options.pairs, seed=seed)
            for part in WORDS
            if part in rows
        }
        yardstick = BESIDE if BESIDE in scores else DATA
        thresholds = thresholds_of(options.fixed, options.fmr, scores[yardstick])
        levels = [one.value for one in thresholds if one.value is not None]
        sides = {
            part: Side.of(embeddings, shown[part], own, thresholds=levels, options=options, part=part)
            for part, own in scores.items()
        }
        leaks = self._leaks(embeddings, shown, sides)
        source, impostors = _SOURCES[yardstick], scores[yardstick].impostor.size
        return Evaluation(
            metrics=(
                *self._measured(sides, thresholds, seed),
                *threshold_metrics(thresholds, source, impostors),
                *_frechet(embeddings, shown),
                *_alternating(
                    [leakage.metrics(found, thresholds, suffix=_SUFFIXES[part]) for part, found in leaks.items()]
                ),
            ),
            curves=tuple(figures(sides, leaks, thresholds, prefixes=options.prefixes)),
            counts=counts_of(shown, sides),
            rules=rules_of(shown, options),
            warnings=tuple(text for text in warnings_of(faces, shown, sides, thresholds) if text),
            scores=scores_of(sides[DATA]),
        )

    def _measured(self, sides: Mapping[str, Side], thresholds: Sequence[Threshold], seed: int) -> list[Metric]:
        """Each metric of the judged set, followed by that of real people."""
        samples = self._options.samples
        return _alternating(
            [
                side_metrics(side, thresholds, judged=sides[DATA], suffix=_SUFFIXES[part], samples=samples, seed=seed)
                for part, side in sides.items()
            ]
        )

    def _leaks(
        self, embeddings: Embeddings, shown: Mapping[str, Shown], sides: Mapping[str, Side]
    ) -> dict[str, dict[str, Nearest]]:
        """The nearest reference identities of each side; none without a reference."""
        if REFERENCE not in shown:
            return {}
        reference = shown[REFERENCE]
        means = identity_means(embeddings.vectors, reference.groups, how=self._options.means).vectors
        names, device = reference.people.names, self._options.device
        return {
            part: leakage.leaks(embeddings, side.shown, side.centres, means, names, device=device)
            for part, side in sides.items()
        }


def _frechet(embeddings: Embeddings, shown: Mapping[str, Shown]) -> list[Metric]:
    """How unlike the embeddings of the parts are; of real people and the reference as a yardstick."""
    if len(shown) < 2:
        return []
    found = {part: moments(embeddings.vectors, rows=one.groups.rows) for part, one in shown.items()}
    pairs = [(DATA, BESIDE), (DATA, REFERENCE), (BESIDE, REFERENCE)]
    return [
        Metric(
            name=f"frechet-distance{_SUFFIXES[one]}",
            value=frechet_distance(found[one], found[other]),
            unit="1",
            higher_is_better=False if one == DATA else None,
            rule=other,
            score="raw embeddings",
            detail={"faces": found[one].count, f"faces ({other})": found[other].count, "space": "evaluated network"},
        )
        for one, other in pairs
        if one in found and other in found
    ]


def _alternating(lists: Sequence[Sequence[Metric]]) -> list[Metric]:
    """The first of each list, then the second of each, and so on."""
    return [metric for row in zip(*lists, strict=True) for metric in row]
