"""From images to templates: how IJB-B, IJB-C and IJB-S pool the features of one person's images and video frames.

A *template* is a set of images of one person that is enrolled or searched as a whole; a *media* is the still, or the
video, that an image came from. Frames of one video say nearly the same thing many times, so each media speaks once:

* optionally, each image's feature is scaled to unit length (``norm="unit"``) or keeps its length (``norm="keep"``);
* optionally, it is multiplied by a weight, such as the detector's faceness;
* images of one media are averaged: m = (1 / n) sum w_i f_i, over the n images, not over the weights;
* optionally, each media is scaled to unit length (``media="unit"``, MagFace's quality flag 0);
* media are *added*, and the template is scaled to unit length.

Table headings name these choices badly: InsightFace's ``use_norm_score=True`` ("N1") keeps the lengths in
``eval_ijbc.py``, ``ijb_11.py``, ``ijb_1n.py`` and CVLface, but divides by them in ``ijb_evals.py``. Both files mean
``norm="keep"`` with faceness as their default; CVLface's headline numbers are ``norm="unit"`` with faceness.
Mirrored images are added before pooling (:func:`facebench.metrics.fuse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_matrix, as_scores
from facebench.metrics.vectors import lengths_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench.metrics.checks import Floats

    Ints = npt.NDArray[np.int64]

Length = Literal["keep", "unit"]
"""What becomes of an image's feature length; see the module."""
MediaPooling = Literal["mean", "unit"]
"""What becomes of a media's mean; see the module."""

_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """One vector a template.

    Attributes:
        ids: Template ids, ascending, shape ``(T,)``, int64.
        vectors: Pooled features of unit length, shape ``(T, D)``, float32.
        images: How many images each template has, shape ``(T,)``, int64.
        medias: How many media each template has, shape ``(T,)``, int64.
    """

    ids: Ints
    vectors: npt.NDArray[np.float32]
    images: Ints
    medias: Ints


def pool(
    features: npt.ArrayLike,
    templates: npt.ArrayLike,
    medias: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    norm: Length = "keep",
    media: MediaPooling = "mean",
) -> Pooled:
    """Returns the pooled feature of each template, as InsightFace's ``image2template_feature`` makes it.

    A media id counts within its template only: the same id in two templates names unrelated media. Images may come in
    any order. Sums run in the precision of the features.

    Memory beyond the input: the result (4 bytes a template and dimension), 60 bytes an image and 64 MiB; at IJB-C size
    (469,375 images, 23,124 templates, 512 dimensions) about 140 MiB. Features in other types than float32 and float64
    are copied.

    Args:
        features: Image features, mirror images already added, shape ``(N, D)``.
        templates: Template id of each image, integers of shape ``(N,)``.
        medias: Media id of each image, integers of shape ``(N,)``.
        weights: A number of 0 or more for each image, shape ``(N,)``, usually the detector's faceness; None for 1.
        norm: ``"keep"`` lets long features weigh more, ``"unit"`` scales each image to length 1 first.
        media: ``"mean"``, or ``"unit"`` to scale each media's mean to length 1 before adding.

    Raises:
        MetricError: If features or weights are not finite, lengths differ, ids are not integers, or a feature, media or
            template that is to be scaled to unit length has length 0.
        UnknownName: If there is no such ``norm`` or ``media``.
    """
    for kind, name, offered in (("image norm", norm, ("keep", "unit")), ("media pooling", media, ("mean", "unit"))):
        if name not in offered:
            raise UnknownName(kind, name, offered)
    checked = as_matrix(features, "features")
    template_ids = _as_ids(templates, len(checked), "templates")
    media_ids = _as_ids(medias, len(checked), "medias")
    share = _shares(checked, weights, norm)
    order = np.lexsort((media_ids, template_ids))
    ordered_templates, ordered_medias = template_ids[order], media_ids[order]
    new_template = np.append(True, ordered_templates[1:] != ordered_templates[:-1])
    new_media = new_template | np.append(True, ordered_medias[1:] != ordered_medias[:-1])
    starts, media_starts = np.flatnonzero(new_template), np.flatnonzero(new_media)
    ids = ordered_templates[starts]
    media_images = np.diff(np.append(media_starts, len(checked)))
    mean_share = share[order] / np.repeat(media_images, media_images).astype(checked.dtype)
    medias_of = np.diff(np.append(np.searchsorted(media_starts, starts), media_starts.size))
    layout = _Layout(order, mean_share, np.append(starts, len(checked)), np.append(media_starts, len(checked)))
    vectors = np.empty((ids.size, checked.shape[1]), dtype=np.float32)
    block = max(1, _BLOCK_BYTES // (8 * checked.shape[1] * max(1, media_starts.size // ids.size)))
    for first in range(0, ids.size, block):
        rows = slice(first, min(first + block, ids.size))
        vectors[rows] = _pooled(checked, layout, rows, ids, medias_of, media)
    return Pooled(ids, vectors, np.diff(layout.templates), medias_of)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where the images of each template and media stand.

    Attributes:
        order: Rows of the images, sorted by template and media, shape ``(N,)``.
        shares: What each of them is multiplied by, in that order, shape ``(N,)``.
        templates: Where each template starts in that order, then N, shape ``(T + 1,)``.
        medias: Where each media starts, then N, shape ``(M + 1,)``.
    """

    order: Ints
    shares: Floats
    templates: Ints
    medias: Ints


def _pooled(
    features: Floats, layout: _Layout, rows: slice, ids: Ints, medias_of: Ints, media: MediaPooling
) -> npt.NDArray[np.float32]:
    """The unit vectors of a run of templates."""
    low, high = int(layout.templates[rows.start]), int(layout.templates[rows.stop])
    if media == "mean":
        sums = _segment_sums(features, layout, layout.templates[rows.start : rows.stop + 1])
    else:
        bounds = layout.medias[np.searchsorted(layout.medias, low) : np.searchsorted(layout.medias, high) + 1]
        owners = np.repeat(ids[rows], medias_of[rows])
        means = _scaled(_segment_sums(features, layout, bounds), owners, "a media of template")
        counts = medias_of[rows]
        sums = np.add.reduceat(means, np.cumsum(counts) - counts, axis=0)
    return _scaled(sums, ids[rows], "template").astype(np.float32, copy=False)


def _segment_sums(features: Floats, layout: _Layout, bounds: Ints) -> Floats:
    """Weighted sums of the images between neighbouring bounds, shape ``(len(bounds) - 1, D)``.

    It is a product with a sparse matrix, which reads every feature once where it lies and copies none.
    """
    from scipy import sparse

    low, high = bounds[0], bounds[-1]
    picks = sparse.csr_array(
        (layout.shares[low:high], layout.order[low:high], bounds - low), shape=(bounds.size - 1, len(features))
    )
    sums: Floats = picks @ features
    return sums


def _scaled(vectors: Floats, owners: Ints, what: str) -> Floats:
    """Scales rows to unit length in place; refuses rows that have none."""
    lengths = lengths_of(vectors)
    lost = np.flatnonzero((lengths == 0) | ~np.isfinite(lengths))
    if lost.size:
        raise MetricError(
            f"{what} {owners[lost[0]]} pools to length {lengths[lost[0]]:g} and has no direction; found {lost.size} "
            "such; look for failed embeddings and for weights that are all 0"
        )
    vectors /= lengths.astype(vectors.dtype)[:, None]
    return vectors


def _shares(features: Floats, weights: npt.ArrayLike | None, norm: Length) -> Floats:
    """What each image is multiplied by, before its media's mean, shape ``(N,)``."""
    shares = np.ones(len(features))
    if norm == "unit":
        lengths = lengths_of(features)
        zeros = np.flatnonzero(lengths == 0)
        if zeros.size:
            raise MetricError(
                f"features of length 0 cannot be scaled to unit length; found {zeros.size} of {len(features)}, the "
                f"first is row {zeros[0]}; look for images that the embedder failed on"
            )
        shares /= lengths
    if weights is not None:
        given = as_scores(weights, "weights")
        if given.shape != shares.shape:
            raise MetricError(f"one weight an image is needed; found {given.size} for {len(features)} images")
        if given.min() < 0:
            raise MetricError(f"weights must be 0 or more; found {given.min():.6g} at index {np.argmin(given)}")
        shares *= given
    return shares.astype(features.dtype, copy=False)


def _as_ids(values: npt.ArrayLike, count: int, what: str) -> Ints:
    """Checks one integer an image."""
    array = np.asarray(values)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise MetricError(
            f"{what} must be one integer for each of the {count} images; found {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64, copy=False)
