"""From embeddings of pictures to one vector for each template, a stretch of templates at a time.

The embeddings of IJB-C are 2 x 960 MB and usually memory-mapped. They are gathered, fused and pooled in stretches of
whole templates, so that beyond the input nothing grows but the templates themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebench import MetricError
from facebench.metrics import fuse, pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from facebench import Embeddings
    from facebench_ijb.lists import Rows
    from facebench_ijb.options import TemplateOptions

_ROWS = 1 << 15  # pictures in a stretch: 64 MB of 512 values


def template_vectors(
    embeddings: Embeddings, rows: Rows, options: TemplateOptions, *, name: str
) -> npt.NDArray[np.float32]:
    """The unit vector of each template.

    Memory beyond the input: the result, and 200 MB or three times the largest template.

    Args:
        embeddings: Of at least the pictures of the lists.
        rows: The lists.
        options: The three flags.
        name: The protocol's, for messages.

    Returns:
        float32 (T, D), in the order of ``rows.ids``.

    Raises:
        DataError: When a picture has no embedding.
        MetricError: When mirrored embeddings are wanted and absent, or a template has no direction.
    """
    mirror = options.mirror
    if mirror != "none" and embeddings.mirrored is None:
        raise MetricError(
            f"mirror fusion {mirror!r} needs embeddings of the mirrored faces, which are not there; "
            f"embed them, or set protocol.{name}.mirror=none"
        )
    place = embeddings.rows(rows.keys)[rows.face]
    order = np.argsort(rows.template, kind="stable")
    vectors = np.empty((len(rows.ids), embeddings.vectors.shape[1]), dtype=np.float32)
    weights = rows.faceness if uses_faceness(rows, options) else None
    for part in _stretches(rows.template[order]):
        chosen = order[part]
        here = place[chosen]
        mirrored = embeddings.mirrored[here] if embeddings.mirrored is not None and mirror != "none" else None
        pooled = pool(
            fuse(embeddings.vectors[here], mirrored, how=mirror),
            rows.ids[rows.template[chosen]],
            rows.media[chosen],
            weights=None if weights is None else weights[chosen],
            norm=options.norm,
        )
        vectors[np.searchsorted(rows.ids, pooled.ids)] = pooled.vectors
    return vectors


def uses_faceness(rows: Rows, options: TemplateOptions) -> bool:
    """Whether detector scores weigh the pictures: asked for, and there."""
    return options.faceness == "on" and rows.faceness is not None


def flags(rows: Rows, options: TemplateOptions) -> dict[str, str]:
    """The three flags in words, as rules of a result."""
    norms = {
        "keep": "the length of a picture's embedding is kept, so that long ones weigh more (N1 in eval_ijbc.py, N0 in "
        "ijb_evals.py; the default of both)",
        "unit": "each picture's embedding is scaled to unit length before pooling (N0 in eval_ijbc.py, N1 in "
        "ijb_evals.py; CVLface's headline)",
    }
    mirrors = {
        "sum": "embeddings of the picture and of its mirror image are added as they are, before all else (F1)",
        "none": "mirror images are not used (F0)",
    }
    faceness = "each picture is multiplied by its detector score (D1)"
    if not uses_faceness(rows, options):
        why = "the lists have none" if options.faceness == "on" else "switched off"
        faceness = f"detector scores are not used (D0): {why}"
    return {"norm": norms[options.norm], "faceness": faceness, "mirror": mirrors[options.mirror]}


def _stretches(templates: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Runs of whole templates of at most about ``_ROWS`` rows; ``templates`` ascend."""
    start = 0
    while start < len(templates):
        stop = min(start + _ROWS, len(templates))
        if stop < len(templates):
            whole = int(np.searchsorted(templates, templates[stop]))
            stop = whole if whole > start else int(np.searchsorted(templates, templates[stop], side="right"))
        yield slice(start, stop)
        start = stop
