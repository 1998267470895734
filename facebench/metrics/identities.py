"""Labelled vectors, identity by identity: means, and closeness within a person.

The vectors are read in runs of whole identities, so a memory-mapped file of millions of rows is never held at once, and
added up in float64. Who is shown is said by :class:`Groups`, which also says in which order: the identities by number,
and within an identity as the faces were given. Nothing here is a sample or an approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_matrix
from facebench.metrics.vectors import lengths_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Vectors = npt.NDArray[np.floating[Any]]
    Singles = npt.NDArray[np.float32]
    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

Means = Literal["raw", "unit"]
"""What an identity's mean is taken of: vectors as the network gave them, or scaled to unit length."""

_RUN_BYTES = 16 << 20  # of vectors in float64; a function holds at most five such arrays


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Which rows of some vectors show whom.

    Attributes:
        ids: The identities, rising, shape ``(N,)``.
        rows: Rows of the vectors, one identity after another, shape ``(M,)``.
        bounds: Where each identity's rows start, then M, shape ``(N + 1,)``.
    """

    ids: Ints
    rows: Ints
    bounds: Ints

    @classmethod
    def of(cls, labels: npt.ArrayLike, *, rows: npt.ArrayLike | None = None) -> Groups:
        """Groups faces by label; those with a label below 0 belong to nobody and are left out.

        Args:
            labels: Identity of each face, integers of shape ``(M,)``.
            rows: Row of each face among the vectors, integers of shape ``(M,)``; the same as its place if not given.

        Raises:
            MetricError: If labels or rows are not integers, one for each face, or nobody is left.
        """
        who = np.asarray(labels)
        where = np.arange(who.size) if rows is None else np.asarray(rows)
        if who.ndim != 1 or who.dtype.kind not in "iu" or where.shape != who.shape or where.dtype.kind not in "iu":
            raise MetricError(
                f"labels and rows must be one integer for each face; found {who.dtype} {who.shape} and {where.dtype} "
                f"{where.shape}"
            )
        order = np.argsort(who, kind="stable")
        order = order[np.searchsorted(who[order], 0) :]
        if not order.size:
            raise MetricError(f"no face has a label; found {who.size} faces of nobody; labels count from 0")
        ids, starts = np.unique(who[order], return_index=True)
        bounds = np.append(starts, order.size)
        return cls(ids.astype(np.int64), where[order].astype(np.int64), bounds.astype(np.int64))

    @property
    def counts(self) -> Ints:
        """Faces of each identity, shape ``(N,)``."""
        return np.diff(self.bounds)

    def first(self, count: int) -> Groups:
        """The first identities, at most so many."""
        kept = self.bounds[: count + 1]
        return Groups(self.ids[:count], self.rows[: kept[-1]], kept)


@dataclass(frozen=True, slots=True, eq=False)
class IdentityMeans:
    """One vector an identity.

    Attributes:
        ids: The identities, rising, shape ``(N,)``.
        vectors: Their means, not scaled to unit length, float32 of shape ``(N, D)``.
        counts: Faces behind each mean, shape ``(N,)``.
    """

    ids: Ints
    vectors: Singles
    counts: Ints


@dataclass(frozen=True, slots=True, eq=False)
class WithinIdentities:
    """How close the faces of each of N identities are, as cosine similarities.

    Attributes:
        counts: Faces of each, shape ``(N,)``.
        pairwise: Mean over all pairs of its faces, shape ``(N,)``; NaN where there is one face.
        to_centre: Mean over its faces of the similarity to the identity's mean, shape ``(N,)``.
        left_out: The same, to the mean of the *other* faces, shape ``(N,)``; NaN where there is one face, or others
            that cancel out.
        consistent: Share of its faces whose similarity to the identity's mean is above each threshold, shape
            ``(T, N)``.
    """

    counts: Ints
    pairwise: Doubles
    to_centre: Doubles
    left_out: Doubles
    consistent: Doubles


def identity_means(vectors: npt.ArrayLike, groups: Groups, *, how: Means = "raw") -> IdentityMeans:
    """Returns the mean vector of each identity.

    ``"raw"`` is the plain mean of the vectors as they are, by which the published separability scripts go: faces with
    long embeddings, usually the clear ones, count for more. ``"unit"`` lets every face count the same.

    Memory beyond input and result: 32 MiB, or twice the largest identity in float64.

    Args:
        vectors: One vector a face, shape ``(M, D)``; it may be memory-mapped.
        groups: Who is shown.
        how: What is averaged.

    Raises:
        MetricError: If vectors are not finite, one of length 0 is to be scaled, or rows go beyond them.
        UnknownName: If there is no such mean.
    """
    given = _checked(vectors, groups, how)
    means = np.empty((groups.ids.size, given.shape[1]), dtype=np.float32)
    for part, block, starts in _runs(given, groups):
        if how == "unit":
            _scale(block, groups, part)
        means[part] = np.add.reduceat(block, starts, axis=0) / groups.counts[part, None]
    return IdentityMeans(groups.ids, means, groups.counts)


def within_identities(
    vectors: npt.ArrayLike, groups: Groups, *, thresholds: Sequence[float] = (), how: Means = "raw"
) -> WithinIdentities:
    """Returns how close the faces of each identity are to one another and to their mean.

    With the unit vectors x_1 .. x_n of an identity the mean over its pairs is ``(|sum x|^2 - n) / (n (n - 1))``, exact
    without a pair being formed. The similarity to the mean is inflated, since each face is part of it (1 for a single
    face, and about ``1 / sqrt(n)`` for faces that have nothing in common); ``left_out`` is not.
    Consistency is that of DCFace (Kim et al., CVPR 2023, in its similarity form: above the threshold).

    Memory beyond input and result: 80 MiB, or five times the largest identity in float64.

    Args:
        vectors: One vector a face, shape ``(M, D)``; it may be memory-mapped.
        groups: Who is shown.
        thresholds: T cosine similarities.
        how: What the identity's mean is taken of.

    Raises:
        MetricError: If vectors are not finite, one has length 0, the faces of an identity cancel out, or rows go beyond
            the vectors.
        UnknownName: If there is no such mean.
    """
    given = _checked(vectors, groups, how)
    counts = groups.counts
    pairwise, centre, left_out = (np.full(counts.size, np.nan) for _ in range(3))
    consistent = np.empty((len(thresholds), counts.size))
    for part, block, starts in _runs(given, groups):
        n = counts[part]
        member = np.repeat(np.arange(n.size), n)
        units = block if how == "unit" else block.copy()
        _scale(units, groups, part)
        several = n > 1
        total = np.add.reduceat(units, starts, axis=0)
        sums = np.einsum("nd,nd->n", total, total)
        pairwise[part][several] = (sums[several] - n[several]) / (n[several] * (n[several] - 1.0))
        if how == "raw":
            total = np.add.reduceat(block, starts, axis=0)
        centres = total / lengths_above_0(total, groups.ids[part], "identity means")[:, None]
        close = np.einsum("nd,nd->n", units, centres[member])
        centre[part] = np.add.reduceat(close, starts) / n
        for place, threshold in enumerate(thresholds):
            consistent[place, part] = np.add.reduceat((close > threshold).astype(np.float64), starts) / n
        others = total[member]
        others -= block
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing is left of one face, or of opposite ones
            alone = np.einsum("nd,nd->n", units, others) / lengths_of(others)
        left_out[part][several] = (np.add.reduceat(alone, starts) / n)[several]
    return WithinIdentities(counts, pairwise, centre, left_out, consistent)


def mean_similarity(vectors: npt.ArrayLike) -> float:
    """Returns the mean cosine similarity over all pairs of some vectors, such as identity means.

    ``(|sum c|^2 - N) / (N (N - 1))`` of their unit vectors c, in float64: no pair is formed.

    Args:
        vectors: Shape ``(N, D)``, of any length, at least two.

    Raises:
        MetricError: If vectors are not finite, one has length 0, or there is only one.
    """
    checked = as_matrix(vectors)
    count, size = checked.shape
    if count < 2:
        raise MetricError("a mean over pairs needs at least 2 vectors; found 1")
    lengths = lengths_above_0(checked, None)
    total = np.zeros(size)
    height = _height(size)
    for start in range(0, count, height):
        rows = slice(start, start + height)
        total += (checked[rows] / lengths[rows, None]).sum(axis=0)
    return float((total @ total - count) / (count * (count - 1.0)))


def _checked(vectors: npt.ArrayLike, groups: Groups, how: Means) -> Vectors:
    """Vectors that have the rows asked for; their members are looked at run by run."""
    given: Vectors = np.asarray(vectors)
    if how not in ("raw", "unit"):
        raise UnknownName("identity mean", how, ("raw", "unit"))
    if given.ndim != 2 or not given.shape[1] or given.dtype.kind not in "iuf":
        raise MetricError(f"vectors must be real numbers, (rows, dimensions); found {given.dtype} {given.shape}")
    if int(groups.rows.max()) >= len(given) or int(groups.rows.min()) < 0:
        raise MetricError(f"rows must lie between 0 and {len(given) - 1}; found {int(groups.rows.max())}")
    return given


def _runs(vectors: Vectors, groups: Groups) -> Iterator[tuple[slice, Doubles, Ints]]:
    """Runs of whole identities: which, their vectors as a float64 copy, where each one's start among them."""
    most, first, count = _height(vectors.shape[1]), 0, groups.ids.size
    while first < count:
        last = int(np.searchsorted(groups.bounds, groups.bounds[first] + most, side="right")) - 1
        part = slice(first, min(max(first + 1, last), count))
        edges = groups.bounds[part.start : part.stop + 1]
        block = as_matrix(vectors[groups.rows[edges[0] : edges[-1]]]).astype(np.float64)
        yield part, block, edges[:-1] - edges[0]
        first = part.stop


def _height(size: int) -> int:
    return max(1, _RUN_BYTES // (8 * size))


def _scale(block: Doubles, groups: Groups, part: slice) -> None:
    """Scales the vectors of some identities to unit length, in place."""
    block /= lengths_above_0(block, groups.rows[groups.bounds[part.start] : groups.bounds[part.stop]])[:, None]


def lengths_above_0(vectors: Vectors, names: Ints | None, what: str = "vectors") -> Doubles:
    """Lengths, none of them 0 or infinite; ``names`` and ``what`` are for the error: the rows' numbers, and of what."""
    lengths = lengths_of(vectors)
    bad = np.flatnonzero(~(lengths > 0) | ~np.isfinite(lengths))
    if bad.size:
        name = int(bad[0]) if names is None else int(names[bad[0]])
        raise MetricError(
            f"{what} of length 0, or infinite, have no direction; found {bad.size}, the first is number {name}; look "
            "for images that the embedder failed on"
        )
    return lengths
