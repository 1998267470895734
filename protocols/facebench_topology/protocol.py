"""The topology protocol: from embeddings of a set to how far their shape is from that of the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import Evaluation, MetricError
from facebench.metrics import unit
from facebench.metrics.discrepancy import discrepancy
from facebench.metrics.distances import distance_matrix
from facebench_topology.figures import histogram
from facebench_topology.inputs import LARGEST, InputSpace
from facebench_topology.numbers import DRAWN, MEASURES, Batches, metrics, warnings
from facebench_topology.opening import demo_faces, open_faces
from facebench_topology.shapes import Shapes, shapes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import numpy.typing as npt

    from facebench import Curve, Embeddings, FaceDataset
    from facebench_topology.options import TopologyOptions

_RULES = {
    "input space": "the network's input as a point: 112 x 112 RGB, (pixel - 127.5) / 127.5, flattened, not mirrored; "
    f"Euclidean distances divided by the largest possible, {LARGEST:.2f}",
    "edges": "those of the minimum spanning tree, which are the bars of H0: their lengths are a in the input space and "
    "b in the latent space, each sorted; n faces have n - 1",
    "batches": "faces are drawn without replacement within a batch, batches independently; the same seed and faces "
    "give every method the same batches",
    "discrepancy": "reference: sum (a - b)^2 / n, what TopoFR's released training minimises; symmetric: its Eq. (2), "
    "the edges of both trees measured in both spaces, halved, divided by n. Multiplying all embeddings by one small "
    "number brings either to almost nothing, so neither shows structure by itself",
    "discrepancy-scale-free": "the reference's sum after the best multiplier of b, sum ab / sum b^2 "
    "(best-multiplier), with each space divided by its largest distance in the batch (own-maximum), or by its mean "
    "edge (mean-edge)",
    "shared-edges": "share of the input tree's edges that the latent tree has too; unrelated spaces share about 2/n, "
    "a random linear projection of the pictures more than half",
    "distance-correlation": "Spearman's rank correlation of the distances of all pairs of a batch",
    "wasserstein, bottleneck": "literal: TopoFR's appendix A.3, bars matched with bars and never with the diagonal, so "
    "sorted lengths with each other: (sum |a - b|^p)^(1/p) and max |a - b|; the usual definitions give smaller values "
    "where scales differ",
    "interval": "of the mean over all batches that this fixed set could give: Student t over those drawn; standard "
    "deviation and quantiles are of single batches; neither tells how other faces or another training would come out",
    "scale warning": "where the best multiplier is above 1/2, so that the discrepancy is below that of a network which "
    "maps all faces to one point, while less than half of the edges are shared",
    "homology": "Vietoris-Rips, field of two elements, of the first faces of one random order; distances in units of "
    "the space's own mean distance",
}
_SCORES = {"raw": "euclidean", "unit": "euclidean, unit vectors"}
_SPACES = {
    "raw": "embeddings as the network gives them, unmirrored; Euclidean distances, not divided by anything",
    "unit": "unmirrored embeddings scaled to unit length; Euclidean distances, not divided by anything",
}
_WORDS = {
    "isa_sorted": ("discrepancy", "Discrepancy of batches", "discrepancy, sum (a - b)^2 / n"),
    "isa_at_best_scale": (
        "discrepancy-scale-free",
        "Discrepancy of batches at the best multiplier",
        "discrepancy at the best multiplier",
    ),
    "shared_edges": ("shared-edges", "Edges in common", "share of the spanning trees' edges"),
}


class Topology:
    """Shape of the latent space against shape of the input space.

    Args:
        options: What the user set.
    """

    def __init__(self, options: TopologyOptions) -> None:
        self._options = options

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """The faces, sorted by key.

        Args:
            root: The user's data root; None for drawn faces.
            images: Pictures are needed in any case: they are the input space.

        Raises:
            DatasetMissing: When nothing is where the options or LFW's usual places say.
            DataError: When what is there cannot be read, or holds too few faces.
        """
        if root is None:
            return demo_faces()
        return open_faces(root, self._options.data, limit=self._options.limit, least=min(self._options.sizes))

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Discrepancies, shared edges and correlations over batches; homology of one sample.

        Time: 100 batches of 128 and 100 of 256 of LFW's 7,701 faces take ten seconds of one core, 1,000 of 2,048 a
        quarter of an hour. Where the batches ask for more than N^2 distances, those of the input space are measured
        once: half a minute of one core for 7,701 faces.

        Peak memory: 38 KB a face up to ``whole`` faces, then 4 N^2 bytes where all distances are measured (0.3 GB and
        0.24 GB for 7,701 faces) and 0.2 GB of blocks; beyond, 0.3 MB a face of the largest batch.

        Raises:
            DataError: When a face has no embedding, or a picture cannot be read.
        """
        options = self._options
        places = np.argsort(np.asarray(faces.keys, dtype=np.str_))  # so that the order of faces is no matter
        keys = np.asarray(faces.keys, dtype=np.str_)[places]
        latents = embeddings.vectors[embeddings.rows(keys)]
        if options.space == "unit":
            latents = unit(latents)
        sizes = [size for size in options.sizes if size <= len(keys)]
        work = sum((options.count if size < len(keys) else 1) * size * size for size in sizes)
        inputs = InputSpace(faces, places, whole=options.whole, work=work)
        found = [self._batches(size, inputs, latents, seed) for size in options.sizes]
        measured = [one for one in found if one.count]
        homology = self._homology(inputs, latents, seed)
        said = [text for one in found for text in warnings(one, len(keys))]
        folds = {f"{m.name}@{one.size}": one.values[m.field].tolist() for m in DRAWN for one in measured}
        return Evaluation(
            metrics=tuple(metric for one in found for metric in metrics(one, score=_SCORES[options.space])),
            curves=(*_histograms(measured), *homology.curves),
            folds=folds,
            counts={f"batches of {one.size}": one.count for one in measured},
            rules=_RULES | {"latent space": _SPACES[options.space]},
            warnings=(*said, *inputs.warnings, *homology.warnings),
            scores=_scores(measured),
        )

    def _batches(self, size: int, inputs: InputSpace, latents: npt.NDArray[np.float32], seed: int) -> Batches:
        """The batches of one size; where there can be none, the reason."""
        total = len(latents)
        if size > total:
            return Batches(size, {}, reason=f"a batch of {size} cannot be drawn from {total:,} faces")
        random = np.random.default_rng((seed, size))
        found, repeated = [], 0
        for _ in range(self._options.count if size < total else 1):
            chosen = np.sort(random.choice(total, size, replace=False))
            pictures = inputs.distances(chosen)
            repeated += int(np.count_nonzero(pictures == 0) > size)
            try:
                found.append(discrepancy(pictures, distance_matrix(latents[chosen]), given="distances"))
            except MetricError as error:
                return Batches(size, {}, reason=f"batch {len(found) + 1}: {error}")
        return Batches.of(size, found, repeated=repeated)

    def _homology(self, inputs: InputSpace, latents: npt.NDArray[np.float32], seed: int) -> Shapes:
        """Figures of one random sample."""
        options = self._options
        if not options.sample:
            return Shapes((), ())
        chosen = np.random.default_rng((seed, 0)).permutation(len(latents))[: options.sample]
        spaces = {"pictures": inputs.distances(chosen), "embeddings": distance_matrix(latents[chosen])}
        return shapes(spaces, max_dimension=options.max_dimension, seconds=options.seconds)


def _histograms(measured: Sequence[Batches]) -> list[Curve]:
    """Figure 2a of the paper, and the same of the numbers to read beside it."""
    figures = []
    for one in DRAWN if measured else ():
        name, title, label = _WORDS[one.field]
        groups = {f"{batches.size} faces": batches.values[one.field] for batches in measured}
        chance = {f"chance, {batches.size}": 2 / batches.size for batches in measured}
        marks = chance if one.field == "shared_edges" else None
        y_label = "share of batches in each bin"
        figures.append(histogram(groups, name=name, title=title, x_label=label, y_label=y_label, marks=marks))
    return figures


def _scores(measured: Sequence[Batches]) -> dict[str, npt.NDArray[Any]]:
    """One row a batch: its size, its number, every measure. Two methods can be compared batch by batch."""
    if not measured:
        return {}
    columns: dict[str, npt.NDArray[Any]] = {
        "size": np.concatenate([np.full(one.count, one.size) for one in measured]),
        "batch": np.concatenate([np.arange(one.count) for one in measured]),
    }
    for measure in MEASURES:
        columns[measure.field] = np.concatenate([one.values[measure.field] for one in measured])
    return columns
