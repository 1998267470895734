"""The score ``pa`` of pairs of templates, from embeddings with a confidence for each block (URL)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.metrics import LIKELIHOOD_RULE, likelihood_scores, pool_blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    from facebench import Embeddings
    from facebench_ijb.lists import Pairs, Rows

Pooling = Literal["mean", "precision"]
_TEMPLATES: dict[Pooling, str] = {
    "precision": "a template's block is the mean of all its pictures' unit blocks weighted by confidence, with the "
    "least of their variances (PFE)",
    "mean": "a template's block is the mean of all its pictures' unit blocks, with the mean of their variances",
}


def pair_likelihoods(embeddings: Embeddings, rows: Rows, pairs: Pairs, *, how: Pooling) -> npt.NDArray[np.float64]:
    """The score of each listed pair.

    Media, detector scores and mirror images play no part. Memory beyond the input: the templates, about 100 MiB, and
    what ``facebench.metrics.likelihood_scores`` states.

    Args:
        embeddings: Of at least the pictures of the lists, with confidences; they may be memory-mapped.
        rows: The lists.
        pairs: Template numbers.
        how: How templates are pooled.

    Returns:
        float64 (P,).

    Raises:
        DataError: When a picture has no embedding.
        MetricError: When confidences cannot be used, or a block has no direction.
    """
    place = embeddings.rows(rows.keys)[rows.face]
    confidence = np.asarray(embeddings.confidence)
    pooled = pool_blocks(embeddings.vectors, confidence, rows.template, how=how, rows=place)
    first, second = (np.searchsorted(pooled.ids, side) for side in (pairs.first, pairs.second))
    return likelihood_scores(pooled.vectors, pooled.confidence, first, second)


def likelihood_rule(how: Pooling) -> str:
    """How the score is made, in words."""
    return (
        f"{LIKELIHOOD_RULE}; {_TEMPLATES[how]}. 1:1 pairs only; media, detector scores and mirror images play no part"
    )
