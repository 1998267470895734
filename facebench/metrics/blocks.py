"""Scores and templates for networks that say, block by block, how sure they are of an embedding (URL, and PFE before).

Such a network returns D numbers in K equal blocks and K confidences for each face: the inverse variances 1 / sigma^2 of
the blocks. Two faces i and j are then compared by URL's uncertainty-guided score (Shi et al., CVPR 2020, section 3.5),

    score(i, j) = -1/2 sum_k |f_i^k - f_j^k|^2 / (v_i^k + v_j^k) - D / (2 K) sum_k log(v_i^k + v_j^k),    v = sigma^2,

half of PFE's mutual likelihood score (Shi and Jain, ICCV 2019) with one variance a block; constants are dropped. Higher
is more alike. Where all variances are one number it orders pairs as the mean of the block cosines does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_matrix
from facebench.metrics.products import placed, rows_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import torch

    from facebench.metrics.checks import Floats
    from facebench.metrics.products import Singles
    from facebench.metrics.retrieval import Scorer

    Doubles = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

LIKELIHOOD_RULE = (
    "second score, URL's uncertainty-guided one (Shi et al., CVPR 2020, section 3.5), half of PFE's mutual likelihood "
    "score: blocks of unit length, their squared distance over the sum of both variances (1 / confidence) and the log "
    "of that sum, both with a minus"
)
"""The score in words, for the rules of a result."""

BlockPooling = Literal["mean", "precision"]
"""How :func:`pool_blocks` weighs the images of a template."""

# Within these float32 holds a variance, its inverse and sums of them.
_LEAST, _MOST = 1e-30, 1e30
_PAIRS = 256  # of 512 dimensions: they fit into the cache
_POOLED_BYTES = 32 << 20
_BLOCK_BYTES = 160 << 20
_TILE = (128, 1024)  # rows and columns of scores that stay in the cache while the blocks are added up


@dataclass(frozen=True, slots=True, eq=False)
class PooledBlocks:
    """One embedding in blocks, with confidences, for each template.

    Attributes:
        ids: Template ids, ascending, shape ``(T,)``, int64.
        vectors: Pooled embeddings, each of their K blocks of unit length, shape ``(T, D)``, in the images' precision.
        confidence: Inverse variance of each block, shape ``(T, K)``, float64.
        images: How many images each template has, shape ``(T,)``, int64.
    """

    ids: Ints
    vectors: Floats
    confidence: Doubles
    images: Ints


def unit_blocks(vectors: npt.ArrayLike, blocks: int) -> Floats:
    """Returns the vectors with each of their blocks scaled to Euclidean length 1, in their own precision.

    Args:
        vectors: One embedding a row, shape ``(N, D)``.
        blocks: K, how many equal blocks a row has; it divides D.

    Raises:
        MetricError: If vectors are not finite, do not part into so many blocks, or a block has length 0.
    """
    checked = as_matrix(vectors)
    _require_parts(checked.shape[1], blocks)
    parts = checked.reshape(len(checked), blocks, -1)
    lengths = _lengths(parts)
    if not lengths.all():
        row, block = np.argwhere(lengths == 0)[0]
        raise MetricError(
            f"blocks of length 0 have no direction; found {np.count_nonzero(lengths == 0)} of {lengths.size}, the "
            f"first is block {block} of row {row}; look for images that the embedder failed on"
        )
    return (parts / lengths.astype(checked.dtype)[:, :, None]).reshape(checked.shape)


def likelihood_scores(
    vectors: npt.ArrayLike, confidence: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike
) -> Doubles:
    """Returns URL's uncertainty-guided score of each listed pair; the formula stands at the head of the module.

    Differences, squares and sums run in float64. A pair scores the same in either order, bit for bit. Memory beyond
    input and result: the confidences twice in float64 and 4 MiB for 512 dimensions. A pair costs 2 to 3 microseconds.

    Args:
        vectors: One embedding a row, usually from :func:`unit_blocks`, shape ``(N, D)``.
        confidence: Inverse variances of the K blocks of each row, shape ``(N, K)``, above 0; K divides D.
        first: Row of the first embedding of each pair, integers of shape ``(P,)``.
        second: Row of the second one, likewise.

    Returns:
        Scores without a unit, in nats up to a constant, float64 of shape ``(P,)``.

    Raises:
        MetricError: If vectors or confidences are not as described, rows are not integers within range, or the two
            lists differ in length or are empty.
    """
    checked = as_matrix(vectors)
    variances = 1.0 / _as_confidence(confidence, checked)
    left, right = _as_rows(first, len(checked), "first"), _as_rows(second, len(checked), "second")
    if left.shape != right.shape:
        raise MetricError(f"pairs need two rows each; found {left.size} first and {right.size} second rows")
    blocks = variances.shape[1]
    size = checked.shape[1] // blocks
    scores = np.empty(left.size)
    for start in range(0, left.size, _PAIRS):
        one, other = left[start : start + _PAIRS], right[start : start + _PAIRS]
        apart = np.subtract(checked[one], checked[other], dtype=np.float64).reshape(one.size, blocks, size)
        spread = variances[one] + variances[other]
        terms = np.einsum("nkd,nkd->nk", apart, apart) / spread + size * np.log(spread)
        scores[start : start + _PAIRS] = -0.5 * terms.sum(axis=1)
    return scores


def likelihood_blocks(probe_confidence: npt.ArrayLike, gallery_confidence: npt.ArrayLike) -> Scorer:
    """Returns a scorer with which :func:`facebench.metrics.retrieve` orders a gallery by the uncertainty-guided score.

    Scores are float32, from one exact product for each block of the embeddings. Memory beyond the vectors: at most 160
    MiB of scores, or a single row, and 40 bytes for each confidence: 0.3 GB for TinyFace's 157,871 entries with K = 16.
    Such a search takes three to four times as long as one by dot product.

    Args:
        probe_confidence: Inverse variances of the K blocks of each probe, shape ``(P, K)``, above 0.
        gallery_confidence: Likewise for the gallery, shape ``(G, K)``.

    Raises:
        MetricError: When the scorer is used, if confidences do not belong to the vectors or are not above 0, or the
            device cannot be used.
    """

    def scored(probes: Singles, gallery: Singles, device: str) -> Iterator[tuple[slice, torch.Tensor]]:
        import torch

        left, right = _Side.of(probes, probe_confidence, device), _Side.of(gallery, gallery_confidence, device)
        if len(left.variances) != len(right.variances):
            raise MetricError(
                f"probes have {len(left.variances)} confidences each and the gallery {len(right.variances)}; embed "
                "both with one model"
            )
        height = min(len(probes), rows_within(_BLOCK_BYTES, len(gallery)))
        block = torch.empty((height, len(gallery)), device=left.vectors.device)
        tall, wide = _TILE if block.device.type == "cpu" else block.shape
        for start in range(0, len(probes), height):
            rows = slice(start, min(start + height, len(probes)))
            out = block[: rows.stop - start]
            for top in range(0, len(out), tall):
                for column in range(0, len(gallery), wide):
                    tile = out[top : top + tall, column : column + wide]
                    _fill(left, start + top, right, column, tile)
            yield rows, out

    return scored


def pool_blocks(
    vectors: npt.ArrayLike,
    confidence: npt.ArrayLike,
    templates: npt.ArrayLike,
    *,
    how: BlockPooling = "precision",
    rows: npt.ArrayLike | None = None,
) -> PooledBlocks:
    """Returns one embedding with confidences for each template, from the unit blocks of its images.

    ``"precision"`` is PFE's rule (``aggregate_PFE``, without its renormalised variance): every block is the mean of the
    images' blocks weighted by their confidences, scaled to unit length, and has the smallest of their variances.
    ``"mean"`` is their plain mean, scaled to unit length, with the mean of their variances, so that a template is no
    surer than its pictures are. Which of the two URL's own tables follow is not known.

    Sums run in float64. Memory beyond input and result: the confidences in float64, 16 bytes an image and about 100 MiB
    (or three times the largest template in float64).

    Args:
        vectors: One embedding an image, blocks of any length but 0, shape ``(N, D)``; it may be memory-mapped.
        confidence: Inverse variances of the K blocks of each of them, shape ``(N, K)``, above 0; K divides D.
        templates: Template id of each image, integers of shape ``(M,)``; N of them where ``rows`` is None.
        how: The rule.
        rows: Row of each image among the vectors, integers of shape ``(M,)``; None takes every row once.

    Raises:
        MetricError: If vectors or confidences are not as described, ids or rows are not integers, one for each image,
            or a block of an image or a template has no direction.
        UnknownName: If there is no such rule.
    """
    if how not in ("mean", "precision"):
        raise UnknownName("block pooling", how, ("mean", "precision"))
    checked = as_matrix(vectors)
    sure = _as_confidence(confidence, checked)
    chosen = np.arange(len(checked)) if rows is None else _as_rows(rows, len(checked), "image")
    owners = np.asarray(templates)
    if owners.shape != chosen.shape or owners.dtype.kind not in "iu":
        raise MetricError(
            f"templates must be one integer for each of the {chosen.size} images; found {owners.dtype} of shape "
            f"{owners.shape}"
        )
    order = np.argsort(owners, kind="stable")
    ordered = owners[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    bounds = np.append(starts, ordered.size)
    pooled = np.empty((starts.size, checked.shape[1]), dtype=checked.dtype)
    found = np.empty((starts.size, sure.shape[1]))
    ids = ordered[starts].astype(np.int64, copy=False)
    for part in _runs(bounds, max(1, _POOLED_BYTES // (8 * checked.shape[1]))):
        edges = bounds[part.start : part.stop + 1]
        here = chosen[order[edges[0] : edges[-1]]]
        pooled[part], found[part] = _pooled(checked[here], sure[here], edges - edges[0], ids[part], how)
    return PooledBlocks(ids, pooled, found, np.diff(bounds))


def _pooled(vectors: Floats, sure: Doubles, edges: Ints, ids: Ints, how: BlockPooling) -> tuple[Doubles, Doubles]:
    """Pooled vectors and confidences of some templates, whose images stand between neighbouring edges."""
    starts = edges[:-1]
    parts = unit_blocks(vectors.astype(np.float64), sure.shape[1]).reshape(len(vectors), sure.shape[1], -1)
    if how == "precision":
        parts *= sure[:, :, None]
        confidence = np.maximum.reduceat(sure, starts, axis=0)
    else:
        confidence = np.diff(edges)[:, None] / np.add.reduceat(1.0 / sure, starts, axis=0)
    sums = np.add.reduceat(parts, starts, axis=0)
    lengths = _lengths(sums)
    if not lengths.all():
        row, block = np.argwhere(lengths == 0)[0]
        raise MetricError(
            f"block {block} of template {ids[row]} pools to length 0 and has no direction; look for images whose "
            "embeddings are opposite"
        )
    return (sums / lengths[:, :, None]).reshape(len(sums), -1), confidence


def _runs(bounds: Ints, most: int) -> Iterator[slice]:
    """Runs of whole templates of at most ``most`` images, or of one template that has more."""
    first = 0
    while first < bounds.size - 1:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + most, side="right")) - 1)
        yield slice(first, last)
        first = last


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One side of a search, on its device.

    Attributes:
        vectors: Shape ``(N, D)``, float32.
        squares: Squared length of each block, shape ``(K, N)``, float32.
        variances: Shape ``(K, N)``, float32.
    """

    vectors: torch.Tensor
    squares: torch.Tensor
    variances: torch.Tensor

    @classmethod
    def of(cls, vectors: Singles, confidence: npt.ArrayLike, device: str) -> _Side:
        """Checks the confidences of checked vectors."""
        variances = 1.0 / _as_confidence(confidence, vectors)
        squares = _lengths(vectors.reshape(len(vectors), variances.shape[1], -1)) ** 2
        small = (np.ascontiguousarray(values.T, dtype=np.float32) for values in (squares, variances))
        return cls(placed(vectors, device), *(placed(values, device) for values in small))


def _fill(left: _Side, top: int, right: _Side, column: int, out: torch.Tensor) -> None:
    """Fills ``out`` with the scores of the probes from ``top`` on against the entries from ``column`` on."""
    import torch

    high, wide = out.shape
    rows, columns = slice(top, top + high), slice(column, column + wide)
    blocks = len(left.variances)
    size = left.vectors.shape[1] // blocks
    out.zero_()
    for block in range(blocks):
        members = slice(block * size, (block + 1) * size)
        spread = left.variances[block, rows, None] + right.variances[block, None, columns]
        one, other = left.vectors[rows, members], right.vectors[columns, members]
        apart = torch.addmm(right.squares[block, None, columns], one, other.T, alpha=-2.0)
        apart.add_(left.squares[block, rows, None]).clamp_(min=0.0)
        out.sub_(apart.div_(spread), alpha=0.5)
        out.sub_(spread.log_(), alpha=size / 2)


def _lengths(parts: Floats) -> Doubles:
    """Euclidean length of each block, shape ``(N, K)`` for ``(N, K, D / K)``, in float64."""
    lengths: Doubles = np.sqrt(np.einsum("nkd,nkd->nk", parts, parts, dtype=np.float64))
    return lengths


def _require_parts(dimensions: int, blocks: int) -> None:
    """Refuses a number of blocks that the dimensions cannot be parted into."""
    if blocks < 1 or dimensions % blocks:
        raise MetricError(f"{dimensions} dimensions do not part into {blocks} equal blocks; one confidence a block")


def _as_confidence(confidence: npt.ArrayLike, vectors: Floats) -> Doubles:
    """Checks the confidences of some vectors; returns them in float64, shape ``(N, K)``."""
    checked = as_matrix(confidence, "confidences")
    if len(checked) != len(vectors):
        raise MetricError(f"confidences are needed for each of the {len(vectors)} vectors; found {len(checked)}")
    _require_parts(vectors.shape[1], checked.shape[1])
    wrong = (checked < _LEAST) | (checked > _MOST)
    if wrong.any():
        row, block = np.argwhere(wrong)[0]
        raise MetricError(
            f"confidences are inverse variances, above 0 ({_LEAST:g} to {_MOST:g}); found {checked[row, block]:g} in "
            f"block {block} of row {row}, {np.count_nonzero(wrong)} such in all"
        )
    return checked.astype(np.float64, copy=False)


def _as_rows(values: npt.ArrayLike, count: int, what: str) -> Ints:
    """Checks row numbers."""
    rows = np.asarray(values)
    if rows.ndim != 1 or not rows.size or rows.dtype.kind not in "iu":
        raise MetricError(f"{what} rows must be a list of integers; found {rows.dtype} of shape {rows.shape}")
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= count:
        raise MetricError(f"{what} rows must lie between 0 and {count - 1}; found {low if low < 0 else high}")
    return rows.astype(np.int64, copy=False)
