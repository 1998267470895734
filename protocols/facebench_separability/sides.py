"""What is measured of one set of faces, in the same way of the judged set and of the one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench.metrics.facepairs import genuine_pairs, impostor_pairs, pair_similarities
from facebench.metrics.identities import Groups, identity_means, within_identities
from facebench.metrics.separability import neighbours
from facebench.metrics.tar import most_allowed
from facebench_separability.keeping import PassFile
from facebench_separability.opening import People

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset
    from facebench.metrics.facepairs import FacePairs
    from facebench.metrics.identities import WithinIdentities
    from facebench.metrics.separability import Neighbours
    from facebench_separability.options import SeparabilityOptions

    Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Whom the embeddings of a part show.

    Attributes:
        people: The identities in order of their names.
        groups: Their rows among the embeddings.
    """

    people: People
    groups: Groups

    @classmethod
    def of(cls, embeddings: Embeddings, faces: FaceDataset, rows: range) -> Shown:
        """Finds the embeddings of some faces.

        Raises:
            DataError: When a face has none.
        """
        keys = np.asarray(faces.keys[rows.start : rows.stop], dtype=np.str_)
        people = People.of(keys, faces.labels[rows.start : rows.stop])  # type: ignore[arg-type]
        return cls(people, Groups.of(people.number, rows=embeddings.rows(keys[people.order])))


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Similarities of pairs of faces.

    Attributes:
        genuine: Of pairs of one person, (G,).
        impostor: Of pairs of two people, (I,).
        genuine_pairs: Who is in them.
        impostor_pairs: Who is in them.
    """

    genuine: Singles
    impostor: Singles
    genuine_pairs: FacePairs
    impostor_pairs: FacePairs

    @classmethod
    def of(cls, embeddings: Embeddings, groups: Groups, *, most: int, seed: int) -> PairScores:
        """Scores all pairs, or a sample of each kind."""
        random = np.random.default_rng((seed, most))
        pairs = [make(groups, most=most, generator=random) for make in (genuine_pairs, impostor_pairs)]
        scores = [pair_similarities(embeddings.vectors, one.first, one.second) for one in pairs]
        return cls(scores[0], scores[1], pairs[0], pairs[1])

    def above(self, threshold: float) -> float:
        """Share of impostor pairs above a threshold."""
        return float(np.mean(self.impostor > threshold))

    def threshold(self, rate: float) -> float | None:
        """The lowest similarity that at most such a share of impostor pairs is above; None where they are too few."""
        count = self.impostor.size
        most = most_allowed(rate, count) if count else 0
        if most < 1:
            return None
        return float(np.partition(self.impostor, count - 1 - most)[count - 1 - most])


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """All that is measured of one set.

    Attributes:
        shown: Whom it shows.
        scores: Of pairs of its faces.
        centres: Mean of each identity, of any length, float32 (N, D).
        near: How near identities are to one another.
        within: How near the faces of an identity are to one another.
    """

    shown: Shown
    scores: PairScores
    centres: Singles
    near: Neighbours
    within: WithinIdentities

    @property
    def count(self) -> int:
        """N."""
        return len(self.centres)

    @classmethod
    def of(
        cls,
        embeddings: Embeddings,
        shown: Shown,
        scores: PairScores,
        *,
        thresholds: Sequence[float],
        options: SeparabilityOptions,
        part: str,
    ) -> Side:
        """Measures a set.

        Args:
            embeddings: Of all faces.
            shown: Whom the set shows.
            scores: Of pairs of its faces.
            thresholds: Cosines, each above which two identities are not separate.
            options: What the user set.
            part: Which part it is, to name what is kept of it.
        """
        how = options.means
        centres = identity_means(embeddings.vectors, shown.groups, how=how).vectors
        folder = embeddings.folder
        keep = None if folder is None else PassFile(folder, part, how, list(thresholds), len(centres))
        near = neighbours(centres, thresholds, device=options.device, keep=keep)
        within = within_identities(embeddings.vectors, shown.groups, thresholds=thresholds, how=how)
        return cls(shown, scores, centres, near, within)
